"""Mouse and keyboard events as a user makes them, delivered to the top-level window as the platform does.

Qt then finds the widget below the pointer and the widget with the focus, so a control that is covered, hidden or out
of focus does not react here either.
"""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QAction, QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit, QMenu, QTabBar, QWidget
from pytestqt.qtbot import QtBot

from tests.support.limits import HANG_S

LIMIT_MS = int(HANG_S * 1000)
NONE = Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


class Hands:
    """Points, clicks and types in the top-level window of a widget."""

    def __init__(self, qtbot: QtBot) -> None:
        self._qtbot = qtbot

    def move(self, widget: QWidget, at: QPoint | None = None) -> QPoint:
        """Move the pointer to `at` of `widget` (its middle by default); returns the place in its window."""
        assert widget.isVisible(), f"{widget} cannot be pointed at: it is hidden"
        window = widget.window()
        QApplication.processEvents()  # pending layout changes first, then the pointer moves
        place = widget.mapTo(window, at if at is not None else widget.rect().center())
        QTest.mouseMove(window.windowHandle(), place)
        QApplication.processEvents()
        return widget.mapTo(window, at if at is not None else widget.rect().center())

    def click(
        self,
        widget: QWidget,
        at: QPoint | None = None,
        button: Qt.MouseButton = LEFT,
        modifiers: Qt.KeyboardModifier = NONE,
    ) -> None:
        place = self.move(widget, at)
        QTest.mouseClick(widget.window().windowHandle(), button, modifiers, place)

    def double_click(self, widget: QWidget, at: QPoint) -> None:
        place = self.move(widget, at)
        QTest.mouseDClick(widget.window().windowHandle(), LEFT, NONE, place)

    def key(self, window: QWidget, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
        """Press and release `key` in `window`; the widget with the focus gets it."""
        QTest.keyClick(window.windowHandle(), key, modifiers)

    def tab_stops(self, inside: QWidget) -> list[str]:
        """Press Tab through the whole window; the names of what is reached in `inside`, in this order, as a screen
        reader says them."""
        stops: list[QWidget] = []
        while True:
            self.key(inside.window(), Qt.Key.Key_Tab)
            focused = QApplication.focusWidget()
            assert focused is not None, "nothing has the focus"
            if focused in stops:
                break
            stops.append(focused)
        assert focused is stops[0], f"Tab goes round from {focused} on, and never comes to {stops[0]} again"
        begin = next((n for n, stop in enumerate(stops) if not inside.isAncestorOf(stop)), 0)
        found = [stop for stop in (*stops[begin:], *stops[:begin]) if inside.isAncestorOf(stop)]
        return [stop.accessibleName() or (stop.text() if isinstance(stop, QAbstractButton) else "") for stop in found]

    def type(self, text: str) -> None:
        """Type into the widget that has the focus."""
        focused = QApplication.focusWidget()
        assert focused is not None, "nothing has the focus"
        QTest.keyClicks(focused, text)

    def fill(self, field: QLineEdit, text: str) -> None:
        """Click into `field` and replace its text; close the list of completions."""

        def has_focus() -> bool:
            if not field.hasFocus():
                self.click(field)  # a list of completions that opened late takes this click and closes
                if not field.isActiveWindow():
                    field.activateWindow()  # the offscreen platform made the popup the active window
            return field.hasFocus()

        self._qtbot.waitUntil(has_focus, timeout=LIMIT_MS)
        self.key(field.window(), Qt.Key.Key_A, CONTROL)
        self.key(field.window(), Qt.Key.Key_Delete)
        self.type(text)
        if (completer := field.completer()) is not None and (popup := completer.popup()) and popup.isVisible():
            QTest.keyClick(popup, Qt.Key.Key_Escape)
            field.window().activateWindow()  # the offscreen platform activates the popup instead
        assert field.text() == text

    def choose_tab(self, tabs: QTabBar, name: str) -> None:
        """Click the tab `name`."""
        names = [tabs.tabText(number) for number in range(tabs.count())]
        self.click(tabs, tabs.tabRect(names.index(name)).center())

    def choose(self, menu: QMenu, text: str) -> None:
        """Click the entry `text` of an open menu."""
        self.click(menu, self._place_of(menu, text).center())

    def choose_by_keys(self, menu: QMenu, text: str) -> None:
        """Choose the entry `text` of an open menu by the arrows and Return."""
        action(menu, text)
        while (entry := menu.activeAction()) is None or entry.text() != text:
            self.key(menu, Qt.Key.Key_Down)
        self.key(menu, Qt.Key.Key_Return)

    @staticmethod
    def _place_of(menu: QMenu, text: str) -> QRect:
        return menu.actionGeometry(action(menu, text))

    def open_menu_on(self, viewport: QWidget, at: QPoint) -> list[str]:
        """Right-click there; returns what the menu offers."""
        self.click(viewport, at, RIGHT)
        if QApplication.activePopupWidget() is None:  # Linux platforms open it at the press; the offscreen one does not
            event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, viewport.mapToGlobal(at))
            QApplication.sendEvent(viewport, event)
        return [entry.text() for entry in self.open_menu().actions() if not entry.isSeparator()]

    def open_menu(self) -> QMenu:
        """Wait for a menu to open."""
        self._qtbot.waitUntil(lambda: isinstance(QApplication.activePopupWidget(), QMenu), timeout=LIMIT_MS)
        menu = QApplication.activePopupWidget()
        assert isinstance(menu, QMenu)
        return menu


def action(menu: QMenu, text: str) -> QAction:
    """The entry of `menu` that says `text`. Raises AssertionError."""
    said = [entry.text().replace("&&", "&") for entry in menu.actions()]
    assert text in said, f"{text!r} is not in the menu {said}"
    return menu.actions()[said.index(text)]
