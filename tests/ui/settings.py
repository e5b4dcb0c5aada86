"""The page object of the Settings page."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QAbstractButton, QLabel
from pytestqt.qtbot import QtBot

from desktop.settings.table import SETTINGS, Value
from desktop.ui.kit.slider import Slider
from desktop.ui.settings.page import SettingsPage as SettingsView
from desktop.ui.settings.rows import Row
from tests.ui.finding import button, field
from tests.ui.hands import CONTROL, LIMIT_MS, Hands


class SettingsPage:
    """What a user sees and does there. `name` is that of `cove config`."""

    def __init__(self, page: SettingsView, qtbot: QtBot) -> None:
        self._page, self._qtbot, self._hands = page, qtbot, Hands(qtbot)

    def wait_until_read(self) -> None:
        self._qtbot.waitUntil(lambda: bool(self._page.rows), timeout=LIMIT_MS)

    def names(self) -> set[str]:
        """All settings that the page has a card for."""
        return set(self._page.rows)

    def _row(self, name: str) -> Row:
        """The card of the setting, on the group's view that holds it."""
        group = SETTINGS[name].group
        if self._page.nav.current != group:
            self._page.nav.choose(group)  # for what follows; `choose_group` clicks
        return self._page.rows[name]

    def tab_stops(self) -> list[str]:
        return self._hands.tab_stops(self._page)

    def choose_group(self, title: str) -> None:
        self._hands.click(button(self._page.nav, title))

    def type(self, name: str, text: str) -> None:
        """Replace the text of the setting's field and press Enter."""
        row = self._row(name)
        line = field(row, row.title)
        self._hands.fill(line, text)
        self._hands.key(line, Qt.Key.Key_Return)

    def select(self, name: str) -> None:
        """Click into the setting's field and select its text."""
        row = self._row(name)
        line = field(row, row.title)
        self._hands.click(line)
        self._hands.key(line, Qt.Key.Key_A, CONTROL)

    def type_over(self, name: str, text: str) -> None:
        """Type into the setting's field as it is, and press Enter; the field then has this text alone."""
        row = self._row(name)
        line = field(row, row.title)
        assert line.hasFocus()
        self._hands.type(text)
        assert line.text() == text
        self._hands.key(line, Qt.Key.Key_Return)

    def text(self, name: str) -> str:
        row = self._row(name)
        return field(row, row.title).text()

    def press(self, name: str, text: str) -> None:
        """Click a button of the setting's card, a segment or a switch, once it is there."""
        row = self._row(name)

        def is_there() -> bool:
            shown = (b for b in row.findChildren(QAbstractButton) if b.isVisible())
            return any(text in (b.text(), b.accessibleName()) for b in shown)

        self._qtbot.waitUntil(is_there, timeout=LIMIT_MS)
        self._hands.click(button(self._row(name), text))

    def slide(self, name: str, key: Qt.Key) -> None:
        """Give the setting's slider the focus and press a key."""
        (slider,) = self._row(name).findChildren(Slider)
        slider.setFocus(Qt.FocusReason.TabFocusReason)
        self._hands.key(slider, key)

    def add_folder(self, path: str) -> None:
        row = self._row("folders.shared")
        self._hands.fill(field(row, "Add the path of a folder"), path)
        self._hands.click(button(row, "Add"))

    def begin_folder(self, path: str) -> None:
        """Type the beginning of a folder's path, and do not add it yet."""
        self._hands.fill(field(self._row("folders.shared"), "Add the path of a folder"), path)

    @property
    def new_folder(self) -> str:
        """The text of the field for one more folder."""
        return field(self._row("folders.shared"), "Add the path of a folder").text()

    def click_handle(self, name: str) -> None:
        """Click the handle of the setting's slider, without moving it."""
        (slider,) = self._row(name).findChildren(Slider)
        part = (slider.value() - slider.minimum()) / (slider.maximum() - slider.minimum())
        self._hands.click(slider, QPoint(round(8 + part * (slider.width() - 16)), slider.height() // 2))

    def problem(self, name: str) -> str:
        row = self._row(name)
        return row.problem.text() if row.problem.isVisible() else ""

    def wait_until_refused(self, name: str, words: str) -> None:
        self._qtbot.waitUntil(lambda: words in self.problem(name), timeout=LIMIT_MS)

    def wait_until_shown(self, name: str, text: str) -> None:
        """Wait until the setting's field has that text."""
        self._qtbot.waitUntil(lambda: self.text(name) == text, timeout=LIMIT_MS)

    def wait_until_read_as(self, name: str, value: Value) -> None:
        """Wait until the page has read and shown that value, whichever group is in sight."""

        def has_read() -> bool:
            entry = self._page.rows[name].entry
            return entry is not None and entry.value == value

        self._qtbot.waitUntil(has_read, timeout=LIMIT_MS)

    def wait_until_says(self, name: str, text: str) -> None:
        """Wait until the setting's card has that label."""
        self._qtbot.waitUntil(lambda: text in self.labels(name), timeout=LIMIT_MS)

    def wait_until_right(self, name: str) -> None:
        self._qtbot.waitUntil(lambda: not self.problem(name), timeout=LIMIT_MS)

    def labels(self, name: str) -> list[str]:
        return [label.text() for label in self._row(name).findChildren(QLabel) if label.isVisible()]

    @property
    def waiting(self) -> str:
        """What the bar at the foot says."""
        return self._page.waiting.text() if self._page.foot.isVisible() else ""

    def wait_until_waiting(self, words: str) -> None:
        self._qtbot.waitUntil(lambda: words in self.waiting, timeout=LIMIT_MS)

    def wait_until_nothing_waits(self) -> None:
        self._qtbot.waitUntil(lambda: not self.waiting, timeout=LIMIT_MS)

    def press_restart(self) -> None:
        self._hands.click(self._page.restart)
