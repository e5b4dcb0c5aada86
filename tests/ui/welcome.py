"""The page object of the welcome."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from desktop.ui.shell.app import Cove
from desktop.ui.welcome.page import WelcomePage
from desktop.ui.welcome.panel import Panel
from tests.ui.finding import button
from tests.ui.hands import LIMIT_MS, Hands


class Welcome:
    """What a user sees and does there."""

    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        page = cove.window.page("welcome")
        assert isinstance(page, WelcomePage)
        self._cove, self._page, self._qtbot, self._hands = cove, page, qtbot, Hands(qtbot)

    @property
    def is_shown(self) -> bool:
        return self._page.isVisible()

    @property
    def has_bars(self) -> bool:
        """Whether the sidebar or a bar is in sight."""
        window = self._cove.window
        return window.sidebar.isVisible() or window.top.isVisible() or window.status.isVisible()

    @property
    def _panel(self) -> Panel:
        panel = self._page.stack.currentWidget()
        assert isinstance(panel, Panel)
        return panel

    @property
    def title(self) -> str:
        return self._panel.title.text()

    def stages(self) -> list[str]:
        """What the three steps at the left say to a screen reader."""
        return [stage.accessibleName() for stage in self._page.side.stages]

    @property
    def boot(self) -> str:
        """The steps of the engine's start, as a screen reader says them; empty if none are in sight."""
        return self._page.side.boot.accessibleName() if self._page.side.boot.isVisible() else ""

    def words(self) -> list[str]:
        return [label.text() for label in self._panel.findChildren(QLabel) if label.isVisible()]

    def wait_until_title(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: self.title.startswith(text), timeout=LIMIT_MS)

    def wait_until_printed(self, text: str, end: str) -> None:
        printed = self._page.hello.printed
        self._qtbot.waitUntil(
            lambda: text in printed.text.toPlainText() and printed.head.right.text() == end, timeout=LIMIT_MS
        )

    def wait_until_offered(self, text: str) -> None:
        """Wait until a button in sight says that."""

        def is_there() -> bool:
            try:
                return button(self._page, text).isEnabled()
            except AssertionError:
                return False

        self._qtbot.waitUntil(is_there, timeout=LIMIT_MS)

    def press(self, text: str) -> None:
        self.wait_until_offered(text)
        self._hands.click(button(self._page, text))

    def step_said(self, name: str) -> str:
        """What one of a run's five steps says to a screen reader."""
        return self._page.hello.steps.marks[name].accessibleName()

    def tab_stops(self) -> list[str]:
        """All that Tab comes to, in its order, from the first step on."""
        stops = self._hands.tab_stops(self._page)
        first = stops.index(self.stages()[0])
        return [*stops[first:], *stops[:first]]

    @property
    def focused(self) -> str:
        """The accessible name of what has the focus."""
        focused = self._cove.window.focusWidget()
        return "" if focused is None else focused.accessibleName()

    def tab_to(self, name: str) -> None:
        """Press Tab until that has the focus."""
        for _ in range(40):
            if self.focused == name:
                return
            self._hands.key(self._cove.window, Qt.Key.Key_Tab)
        raise AssertionError(f"Tab never comes to {name!r}")

    def key(self, key: Qt.Key) -> None:
        self._hands.key(self._cove.window, key)

    def picture(self, path: str) -> None:
        self._cove.window.grab().save(path)
