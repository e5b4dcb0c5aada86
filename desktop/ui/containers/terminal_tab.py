"""The Terminal tab of a container: a shell in the running container."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop.ui.containers.tab import ContainerTab
from desktop.ui.containers.terminal import Shell, TerminalView
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr


class TerminalTab(ContainerTab):
    """Runs a shell when it is first shown for a container, and keeps it while the container's page is open."""

    def __init__(self, theme: Theme, icons: Icons, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._session = theme, session
        self._container: Container | None = None
        self._shell: Shell | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.view = TerminalView(theme)
        column.addWidget(self.view, 1)
        self._foot = QWidget()
        foot = QHBoxLayout(self._foot)
        foot.setContentsMargins(24, 8, 24, 8)
        self._said = Label(theme, "", "small", "text2")
        self.again = Button(theme, icons, tr("Open a new shell"), "terminal-window", height=28)
        self.again.clicked.connect(self._open)
        foot.addWidget(self._said)
        foot.addStretch(1)
        foot.addWidget(self.again)
        column.addWidget(self._foot)
        self._foot.hide()
        self._more = QTimer(self)  # processes the rest of a burst in the next frame
        self._more.setSingleShot(True)
        self._more.setInterval(8)
        self._more.timeout.connect(self._on_more)
        self.view.typed.connect(self._on_typed)
        self.view.resized.connect(self._on_resized)

    def show_container(self, container: Container) -> None:
        was, self._container = self._container, container
        if was is None or was.id != container.id:
            self.stop()
            self.view.reset()
            if container.status == "running":
                self._open()
            else:
                self._say(
                    tr("{name} is not running. A terminal needs it to run.", name=container.title), may_open=False
                )
        elif container.status == "running" and self._shell is None:
            self._open()
        elif not container.is_running and self._shell is None:
            self._say(tr("{name} is not running. A terminal needs it to run.", name=container.title), may_open=False)
        self.view.setFocus()

    def _open(self) -> None:
        assert self._container is not None  # callers have set it
        self.stop()
        self._foot.hide()
        workers = self._session.workers
        rows, columns = self.view.size_in_cells
        shell = Shell(
            self._session.client,
            self._container.id,
            rows,
            columns,
            ready=lambda: workers.here(lambda: self._on_ready(shell)),
        )
        self._shell = shell
        self.view.reset()
        workers.lasting("shell", shell.run)
        workers.lasting("shell-input", shell.run_input)
        self.view.setFocus()

    def stop(self) -> None:
        """Close the shell's connection; the shell gets SIGHUP."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def leave(self) -> None:
        super().leave()
        self.stop()
        self._container = None

    def _on_ready(self, shell: Shell) -> None:
        if shell is not self._shell:
            return
        if data := shell.take():
            self.view.feed(data)
        if shell.has_more:
            self._more.start()
        elif shell.ended:
            self._shell = None
            if shell.problem:
                text = shell.problem
            elif shell.exit_code in (126, 127):
                text = tr("There is no shell in this container.")
            else:
                text = tr(
                    "The shell ended with status {code}.", code=shell.exit_code if shell.exit_code is not None else "?"
                )
            running = self._container is not None and self._container.status == "running"
            self._say(text, may_open=running)

    def _on_more(self) -> None:
        if self._shell is not None:
            self._on_ready(self._shell)

    def _say(self, text: str, *, may_open: bool) -> None:
        self._said.setText(text)
        self.again.setVisible(may_open)
        self._foot.show()

    def _on_typed(self, data: bytes) -> None:
        if self._shell is not None:
            self._shell.write(data)

    def _on_resized(self, rows: int, columns: int) -> None:
        if self._shell is not None:
            self._shell.resize(rows, columns)

    def paintEvent(self, _event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), self._theme.colour("surface"))
