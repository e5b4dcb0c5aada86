"""The page object of pages whose list is a table: names, filter, boxes, bar, menu."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QModelIndex, QPoint, Qt
from PySide6.QtWidgets import QAbstractButton
from pytestqt.qtbot import QtBot

from desktop.ui.kit.detail import DetailCard
from desktop.ui.kit.table_page import TablePage as View
from desktop.ui.shell.app import Cove
from tests.ui.finding import button, indexes
from tests.ui.hands import LIMIT_MS, NONE, Hands


class TablePage:
    """A page with a table, by its first column's texts."""

    def __init__(self, cove: Cove, qtbot: QtBot, page: View[Any]) -> None:
        self._cove, self._qtbot, self._hands, self._page = cove, qtbot, Hands(qtbot), page

    def names(self) -> list[str]:
        return self._page.names()

    def wait_until_shown(self, name: str) -> None:
        self._qtbot.waitUntil(lambda: name in self.names(), timeout=LIMIT_MS)

    def wait_until_gone(self, name: str) -> None:
        self._qtbot.waitUntil(lambda: name not in self.names(), timeout=LIMIT_MS)

    def row(self, name: str) -> list[str]:
        """The texts of a row; empty if it is not shown."""
        index = next((i for i in indexes(self._page.view.model()) if i.data() == name), None)
        columns = range(self._page.view.model().columnCount())
        return [] if index is None else [str(index.siblingAtColumn(n).data()) for n in columns]

    def wait_until_says(self, name: str, words: str) -> None:
        self._qtbot.waitUntil(lambda: any(words in text for text in self.row(name)), timeout=LIMIT_MS)

    def _index(self, name: str) -> QModelIndex:
        self.wait_until_shown(name)
        view = self._page.view
        index = next(i for i in indexes(view.model()) if i.data() == name)
        view.scrollTo(index)
        return index

    def choose(self, name: str) -> None:
        """Click the row `name`."""
        view, rect = self._page.view, self._page.view.visualRect(self._index(name))
        self._hands.click(view.viewport(), rect.center())
        self._qtbot.waitUntil(view.hasFocus, timeout=LIMIT_MS)

    def check(self, *names: str) -> None:
        """Click the boxes of these rows."""
        for name in names:
            rect = self._page.view.visualRect(self._index(name))
            self._hands.click(self._page.view.viewport(), QPoint(19, rect.center().y()))

    def menu_on(self, name: str) -> list[str]:
        """Right-click the row; returns what its menu offers."""
        view, rect = self._page.view, self._page.view.visualRect(self._index(name))
        return self._hands.open_menu_on(view.viewport(), rect.center())

    def choose_in_menu(self, text: str) -> None:
        """Click an entry of the open menu."""
        self._hands.choose(self._hands.open_menu(), text)

    def choose_in_menu_by_keys(self, text: str) -> None:
        """The current row's menu by the key for it, then the arrows and Return."""
        self.press(Qt.Key.Key_F10, Qt.KeyboardModifier.ShiftModifier)
        self._hands.choose_by_keys(self._hands.open_menu(), text)

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
        self._hands.key(self._cove.window, key, modifiers)

    def tab_stops(self) -> list[str]:
        return self._hands.tab_stops(self._page)

    def filter(self, text: str) -> None:
        """Type into the page's filter."""
        self._hands.fill(self._page.search, text)

    def choose_segment(self, name: str) -> None:
        self._hands.click(button(self._page.segments, name))

    def choose_tab(self, name: str) -> None:
        """Click a tab of the card beside the table."""
        assert isinstance(self._page.detail, DetailCard)
        self._hands.choose_tab(self._page.detail.tabs, name)

    def wait_until_titled(self, title: str) -> None:
        """Wait until the card beside the table shows that."""
        assert isinstance(self._page.detail, DetailCard)
        card = self._page.detail
        self._qtbot.waitUntil(lambda: card.title.text() == title, timeout=LIMIT_MS)

    def press_button(self, name: str) -> None:
        """Click a button of the page."""
        self._hands.click(button(self._page, name))

    @property
    def bulk_text(self) -> str:
        bulk = self._page.bulk
        return bulk.count.text() if bulk is not None and bulk.isVisible() else ""

    def press_in_bar(self, text: str) -> None:
        """Click a button of the bar for selected rows."""
        assert self._page.bulk is not None
        found: QAbstractButton = button(self._page.bulk, text)
        self._hands.click(found)
