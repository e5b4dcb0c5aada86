"""The Inspect tab of a container."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from desktop.ui.containers.looking import Looker
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.feed.container import Container
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.inspect import InspectTab as InspectView
from desktop.ui.kit.theme import Theme


class InspectTab(ContainerTab):
    """All that the engine says about the container."""

    def __init__(self, theme: Theme, icons: Icons, looker: Looker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._looker = looker
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.view = InspectView(theme, icons)
        column.addWidget(self.view)

    def show_container(self, container: Container) -> None:
        self._looker.look(container, lambda told: self.view.tell(told.data), lambda error: self.view.fail(str(error)))

    def leave(self) -> None:
        super().leave()
        self._looker.drop()
        self.view.clear()

    @property
    def search_field(self) -> QLineEdit:
        return self.view.search
