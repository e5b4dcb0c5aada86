"""The logs of a project's containers as one, or those of one of its services."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from desktop.ui.compose.model import Project
from desktop.ui.containers.log_lines import LogLine, LogReader
from desktop.ui.containers.log_view import LogView
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.menus import Act, open_below
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import natural, tr

TAIL = 500  # lines of each container from before
GATHER_MS = 120  # lines within this time are put in the order of their times


class ProjectLog(QWidget):
    """Follows the logs of the running containers of one project while it is visible."""

    def __init__(self, theme: Theme, icons: Icons, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._icons = session, icons
        self._services: list[str] = []
        self._readers: dict[str, tuple[LogReader, str]] = {}
        self._project = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        bar = QFrame()
        bar.setObjectName("logbar")
        row = QHBoxLayout(bar)
        row.setContentsMargins(16, 8, 16, 8)
        self.which = Button(theme, icons, tr("All services"), "caret-down")
        self.which.clicked.connect(self._on_which)
        row.addWidget(self.which)
        row.addStretch(1)
        column.addWidget(bar)
        self.view = LogView(theme)
        self.view.empty_text = tr("Nothing was printed")
        column.addWidget(self.view)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(GATHER_MS)
        self._soon.timeout.connect(self._flush)

    def show_project(self, project: Project) -> None:
        """Show `project`, which may be the one already shown with other containers."""
        if project.name != self._project:
            self.stop()
            self.view.clear()
            self._project = project.name
            self._show_source("")
        self._services = sorted({container.title for container in project.containers}, key=natural)
        for container in project.containers:
            known = self._readers.get(container.id)
            if known is None or (known[0].ended and container.is_running):
                self._follow(container.id, container.title, tty=container.tty, is_first=known is None)

    def _on_which(self) -> None:
        every: list[Act | None] = [Act("every", "stack", tr("All services")), None]
        every += [Act(f"only/{name}", "cube", name) for name in self._services]
        open_below(self.which, self._icons, every, lambda key: self._show_source(key.partition("/")[2]))

    def _show_source(self, service: str) -> None:
        self.which.setText(service or tr("All services"))
        self.view.set_source(service)

    def _follow(self, container_id: str, title: str, *, tty: bool, is_first: bool) -> None:
        session = self._session
        reader = LogReader(
            session.client,
            container_id,
            tty=tty,
            tail=TAIL if is_first else 0,
            ready=lambda: session.workers.here(self._soon.start),
        )
        self._readers[container_id] = reader, title
        session.workers.lasting("project-log", reader.run)

    def _flush(self) -> None:
        lines: list[LogLine] = []
        for reader, title in self._readers.values():
            lines += [replace(line, text=f"{title} | {line.text}", source=title) for line in reader.take()]
        self.view.append(sorted(lines, key=lambda line: line.at_s))

    def stop(self) -> None:
        """End all streams."""
        for reader, _title in self._readers.values():
            reader.close()
        self._readers = {}
        self._project = ""
