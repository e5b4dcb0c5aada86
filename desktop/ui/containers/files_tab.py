"""The Files tab of a container: its file system, whether it runs or not."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from desktop.ui.containers.tab import ContainerTab
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.files.folder import Source
from desktop.ui.files.view import FilesView
from desktop.ui.kit.page import Desk


class FilesTab(ContainerTab):
    """The files of the container, read anew when it starts or ends."""

    def __init__(self, desk: Desk, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._container: Container | None = None
        self.files = FilesView(desk, session)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.files)

    def show_container(self, container: Container) -> None:
        was, self._container = self._container, container
        if was is None or was.status != container.status:
            self.files.show_source(Source.container(container.id, container.name))

    def leave(self) -> None:
        super().leave()
        self._container = None
        self.files.clear()

    @property
    def search_field(self) -> QLineEdit:
        return self.files.search
