"""The Terminal tab of a container: shells in the running container, several at once."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from desktop.ui.containers.shell import SHELL, Shell
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.containers.terminal import TerminalView
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.dialogs import OneField
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.labels import Label
from desktop.ui.kit.menus import Act, open_below
from desktop.ui.kit.page import Desk
from desktop.ui.kit.tabs import Tabs
from desktop.ui.kit.words import shortened, tr

FRAME_MS = 8  # between two parts of a burst of output


class ShellView(QWidget):
    """One shell with its screen. It stays when the shell ends, with a button for a new one.

    Signals: ended().
    """

    ended = Signal()

    def __init__(self, desk: Desk, session: EngineSession, container_id: str, command: Sequence[str]) -> None:
        super().__init__()
        self._session, self._container_id, self._command = session, container_id, command
        self._shell: Shell | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.view = TerminalView(desk.theme)
        column.addWidget(self.view, 1)
        self._foot = QWidget()
        foot = QHBoxLayout(self._foot)
        foot.setContentsMargins(24, 8, 24, 8)
        self._said = Label(desk.theme, "", "small", "text2")
        self.again = Button(desk.theme, desk.icons, tr("Open a new shell"), "terminal-window", height=28)
        self.again.clicked.connect(self.open)
        foot.addWidget(self._said)
        foot.addStretch(1)
        foot.addWidget(self.again)
        column.addWidget(self._foot)
        self._foot.hide()
        self._more = QTimer(self)  # processes the rest of a burst in the next frame
        self._more.setSingleShot(True)
        self._more.setInterval(FRAME_MS)
        self._more.timeout.connect(self._on_more)
        self.view.typed.connect(self._on_typed)
        self.view.resized.connect(self._on_resized)

    @property
    def runs(self) -> bool:
        return self._shell is not None

    def open(self) -> None:
        """Start the shell, in place of the one that has ended."""
        self.close_shell()
        self._foot.hide()
        workers = self._session.workers
        shell = Shell(
            self._session.client,
            self._container_id,
            self._command,
            *self.view.size_in_cells,
            ready=lambda: workers.here(lambda: self._on_ready(shell)),
        )
        self._shell = shell
        self.view.reset()
        workers.lasting("shell", shell.run)
        workers.lasting("shell-input", shell.run_input)
        self.view.setFocus()

    def close_shell(self) -> None:
        """Close the shell's connection; the shell gets SIGHUP."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        self._more.stop()

    def may_open(self, is_running: bool) -> None:
        """Whether the container runs: only then a new shell can be opened."""
        self.again.setVisible(is_running)

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
                text = tr("There is no such shell in this container.")
            else:
                status = shell.exit_code if shell.exit_code is not None else "?"
                text = tr("The shell ended with status {code}.", code=status)
            self._said.setText(text)
            self._foot.show()
            self.ended.emit()

    def _on_more(self) -> None:
        if self._shell is not None:
            self._on_ready(self._shell)

    def _on_typed(self, data: bytes) -> None:
        if self._shell is not None:
            self._shell.write(data)

    def _on_resized(self, rows: int, columns: int) -> None:
        if self._shell is not None:
            self._shell.resize(rows, columns)


class TerminalTab(ContainerTab):
    """Shells in the container; they run on while other tabs of its page are shown. The first is opened when the tab is
    asked for, not when the page of another container happens to begin with it.

    Signals: start_asked() for a stopped container.
    """

    start_asked = Signal()

    def __init__(self, desk: Desk, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk, self._session, self._theme = desk, session, desk.theme
        self._container: Container | None = None
        self._is_wanted = False  # a shell is to be opened as soon as the container runs
        self._opened = 0  # counts the shells of this container, for their titles
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._build_bar(desk))
        self._stack = QStackedWidget()
        self.none = self._build_none(desk)
        self._stack.addWidget(self.none)
        column.addWidget(self._stack, 1)
        self._shells: list[ShellView] = []
        for keys, call in (("Ctrl+Shift+T", self._on_new_key), ("Ctrl+Shift+W", self._on_close)):
            action = QAction(self)
            action.setShortcut(QKeySequence(keys))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            action.triggered.connect(lambda _=False, c=call: c())
            self.addAction(action)

    def _build_bar(self, desk: Desk) -> QWidget:
        """The bar above the terminal: a tab for each shell, and the buttons that open and close one."""
        self._bar = QFrame()
        self._bar.setObjectName("logbar")
        row = QHBoxLayout(self._bar)
        row.setContentsMargins(24, 6, 24, 6)
        row.setSpacing(8)
        self.tabs = Tabs(desk.theme, ())
        self.tabs.setAccessibleName(tr("Shells"))
        self.tabs.currentChanged.connect(self._on_tab)
        self.new = Button(
            desk.theme, desk.icons, tr("New shell"), "plus", height=28, tip=tr("New shell (Ctrl+Shift+T)")
        )
        self.other = Button(desk.theme, desk.icons, icon="caret-down", name=tr("Other shells"), height=28, icon_size=14)
        self.close_button = Button(
            desk.theme, desk.icons, tr("Close"), "x", height=28, tip=tr("Close this shell (Ctrl+Shift+W)")
        )
        self.new.clicked.connect(lambda: self.open(SHELL))
        self.other.clicked.connect(lambda: self._choose(self.other))
        self.close_button.clicked.connect(self._on_close)
        row.addWidget(self.tabs)
        row.addStretch(1)
        row.addWidget(self.new)
        row.addWidget(self.other)
        row.addWidget(self.close_button)
        return self._bar

    def _build_none(self, desk: Desk) -> EmptyPage:
        """What is shown without a shell."""
        self.first = Button(desk.theme, desk.icons, tr("Open a shell"), "terminal-window", kind="primary", height=36)
        self.choose = Button(desk.theme, desk.icons, tr("Another shell…"), height=36)
        self.start = Button(desk.theme, desk.icons, tr("Start"), "play", kind="primary", height=36)
        self.first.clicked.connect(lambda: self.open(SHELL))
        self.choose.clicked.connect(lambda: self._choose(self.choose))
        self.start.clicked.connect(self._on_start)
        return EmptyPage(desk.theme, desk.icons, "", "", (self.start, self.first, self.choose), art=False)

    # ContainerTab ----------------------------------------------------------------------------------------------------

    def want_shell(self) -> None:
        """The tab was asked for by name: open a shell, if none is open."""
        self._is_wanted = True
        if self._container is not None:
            self.show_container(self._container)

    def show_container(self, container: Container) -> None:
        self._container = container
        runs = container.status == "running" and not container.lost
        if runs and self._is_wanted and not self._shells:
            self.open(SHELL)
        self._is_wanted = self._is_wanted and not self._shells
        for shell in self._shells:
            shell.may_open(runs)
        self._bar.setVisible(bool(self._shells))
        self.new.setEnabled(runs)
        self.other.setEnabled(runs)
        self.first.setVisible(runs)
        self.choose.setVisible(runs)
        self.start.setVisible(not container.is_running and not container.lost)
        self.start.setEnabled(container.doing is None)
        name = container.title
        title = tr("No shell is open in {name}", name=name) if runs else tr("{name} is not running", name=name)
        self.none.title.setText(title)
        said = tr("It runs beside the container's own program and ends with it.")
        self.none.sentence.setText(said if runs else tr("A terminal needs it to run."))

    def leave(self) -> None:
        super().leave()
        while self._shells:
            self._close(0)
        self._container, self._is_wanted, self._opened = None, False, 0

    # shells ----------------------------------------------------------------------------------------------------------

    @property
    def shell(self) -> ShellView | None:
        """The visible one."""
        shown = self._stack.currentWidget()
        return shown if isinstance(shown, ShellView) else None

    def open(self, command: Sequence[str], title: str = "") -> None:
        """Open another shell, which runs `command`."""
        if self._container is None:
            return
        shell = ShellView(self._desk, self._session, self._container.id, command)
        self._shells.append(shell)
        self._opened += 1
        self._stack.addWidget(shell)
        self.tabs.addTab(title or tr("Shell {n}", n=self._opened))
        self.tabs.setCurrentIndex(len(self._shells) - 1)
        self._on_tab(len(self._shells) - 1)
        self._bar.show()
        shell.open()

    def _choose(self, button: Button) -> None:
        acts: list[Act | None] = [Act(name, "terminal-window", name) for name in ("/bin/sh", "/bin/bash", "/bin/ash")]
        acts += [None, Act("other", "pencil-simple", tr("Another command…"))]

        def chosen(key: str) -> None:
            if key == "other":
                self._ask_command()
            else:
                self.open([key], key.rpartition("/")[2])

        open_below(button, self._desk.icons, acts, chosen)

    def _ask_command(self) -> None:
        desk = self._desk
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Run a command on a terminal"),
            fact=tr("It runs in the container, beside its own program."),
            hint=tr("Command"),
            verb=tr("Run"),
            icon="play",
            sure=lambda text: self.open(shlex.split(text), shortened(text, 20)),
            wrong=_wrong_command,
        ).open()

    def _on_start(self) -> None:
        self._is_wanted = True
        self.start_asked.emit()

    def _on_new_key(self) -> None:
        if self._container is not None and self._container.status == "running":
            self.open(SHELL)

    def _on_tab(self, number: int) -> None:
        if 0 <= number < len(self._shells):
            self._stack.setCurrentWidget(self._shells[number])
            self._shells[number].view.setFocus()

    def _on_close(self) -> None:
        if self._shells:
            self._close(self.tabs.currentIndex())

    def _close(self, number: int) -> None:
        shell = self._shells.pop(number)
        shell.close_shell()
        self._stack.removeWidget(shell)
        shell.deleteLater()
        self.tabs.removeTab(number)
        self._on_tab(self.tabs.currentIndex())
        if not self._shells:
            self._bar.hide()
            self._stack.setCurrentWidget(self.none)

    def paintEvent(self, _event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), self._theme.colour("surface"))


def _wrong_command(text: str) -> str:
    """Why `text` is no command; empty if it is one."""
    try:
        shlex.split(text)
    except ValueError as e:
        return str(e)
    return ""
