"""Actions as data, and the menus made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from desktop.ui.kit.icons import Icons


@dataclass(frozen=True, slots=True)
class Act:
    """One action on the selected things. `key` names it to the page, `shortcut` is shown beside it."""

    key: str
    icon: str
    text: str
    shortcut: str = ""

    @property
    def is_danger(self) -> bool:
        return self.icon == "trash"


def fill(menu: QMenu, icons: Icons, acts: Sequence[Act | None], chosen: Callable[[str], None]) -> None:
    """Add `acts` to `menu`; None is a separator. A choice calls `chosen(key)`."""
    for act in acts:
        if act is None:
            menu.addSeparator()
            continue
        entry = menu.addAction(icons.icon(act.icon, "bad" if act.is_danger else "text2"), act.text.replace("&", "&&"))
        if act.shortcut:
            entry.setShortcut(QKeySequence(act.shortcut))
        entry.triggered.connect(lambda _=False, key=act.key: chosen(key))


def open_menu(
    parent: QWidget, icons: Icons, acts: Sequence[Act | None], chosen: Callable[[str], None], place: QPoint
) -> QMenu:
    """Open a menu of `acts` at `place` (on the screen), inside the window of `parent`."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    fill(menu, icons, acts, chosen)
    menu.popup(inside(parent, menu, place))
    return menu


def open_below(button: QWidget, icons: Icons, acts: Sequence[Act | None], chosen: Callable[[str], None]) -> QMenu:
    """Open a menu of `acts` below `button`."""
    return open_menu(button, icons, acts, chosen, button.mapToGlobal(QPoint(0, button.height() + 4)))


def inside(parent: QWidget, menu: QMenu, place: QPoint) -> QPoint:
    """`place` moved so that `menu`, opened there, stays inside the window of `parent`."""
    window = parent.window()
    frame = QRect(window.mapToGlobal(QPoint(0, 0)), window.size())
    size = menu.sizeHint()
    x = max(frame.left(), min(place.x(), frame.right() + 1 - size.width() - 8))
    y = max(frame.top(), min(place.y(), frame.bottom() + 1 - size.height() - 8))
    return QPoint(x, y)
