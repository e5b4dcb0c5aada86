"""Chooses what to do next and does it, by events of the X server: what a hand can do and nothing else.

Bounds: in a dialog for files the monkey only types a path in its own folder or presses Escape, and it types no slash
anywhere else, so it neither mounts nor writes what is not its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from PySide6.QtCore import QObject, QPoint, QRect, QTimer
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QApplication,
    QFileDialog,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QTabBar,
    QWidget,
)

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.dialogs import Dialog
from tests.ui.finding import indexes
from tests.ui.screen import Screen

LEFT, MIDDLE, RIGHT, WHEEL_UP, WHEEL_DOWN, BACK, FORWARD = 1, 2, 3, 4, 5, 8, 9
TARGETS = (QAbstractButton, QTabBar, QLineEdit, QAbstractScrollArea, QAbstractSlider, QPlainTextEdit)
KEYS = [
    *["Tab"] * 4, *["Return"] * 4, *["Escape"] * 4, *["Down"] * 4, *["Up"] * 3, *["space"] * 3, *["Delete"] * 2,
    "Left", "Right", "Home", "End", "Prior", "Next", "F3", "F6", "Menu", "BackSpace", "a", "s", "1",
]  # fmt: skip
SHORTCUTS: list[tuple[str, ...]] = [
    *[("Control_L", key) for key in "aaafffkknlctoz.0b,"],
    *[("Control_L", str(number)) for number in range(1, 10)],
    ("Control_L", "plus"), ("Control_L", "minus"), ("Control_L", "Tab"), ("Control_L", "Return"), ("Control_L", "w"),
    ("Control_L", "Shift_L", "p"), ("Control_L", "Shift_L", "r"), ("Control_L", "Shift_L", "Tab"),
    ("Alt_L", "Left"), ("Alt_L", "Right"), ("Alt_L", "Return"), ("Shift_L", "F10"), ("Shift_L", "Tab"),
    ("Shift_L", "Down"), ("Shift_L", "F3"),
]  # fmt: skip
WORDS = [
    "web", "talker", "busybox", "shop", "data", "backend", "sleep 1000", "true", "8080", "a", "-1", "x y", "64m", ">",
    "ls -l", "top", "vi", "exit", "seq 1 9999", "localhost:1", "127.0.0.1", "10.99.0.0", "Bad Name", "latest", "quit",
]  # fmt: skip
COMMANDS = ["Show the bin", "Undo the last deletion", "Create a volume"]  # of the palette
SIZES = [(1280, 800), (1000, 640), (960, 600), (1100, 700)]
PAUSE_MS, LOOK_MS = 12, 400  # between two actions; now and then a user looks at what came


class Monkey(QObject):
    """Does `count` actions of `choice` on the process's windows, each noted in `trace`; then calls `tired()`."""

    def __init__(self, screen: Screen, choice: random.Random, own: Path, trace: TextIO) -> None:
        super().__init__()
        self._screen, self._choice, self._own, self._trace = screen, choice, own, trace
        self.left = 0
        self.tired: Callable[[], None] = lambda: None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._act)

    def begin(self, count: int, tired: Callable[[], None]) -> None:
        self.left, self.tired = count, tired
        self._timer.start(LOOK_MS)

    def pause(self) -> None:
        self._timer.stop()

    def _act(self) -> None:
        if self.left <= 0:
            self.tired()
            return
        self._timer.start(LOOK_MS if self._choice.random() < 0.03 else PAUSE_MS)
        popup = QApplication.activePopupWidget()
        top = popup or QApplication.activeModalWidget() or QApplication.activeWindow() or self._any_window()
        if top is None:
            return
        self.left -= 1
        if popup is None and not top.isActiveWindow():
            self._screen.focus(int(top.winId()))  # no window manager does it
        if isinstance(top.window(), QFileDialog) or isinstance(QApplication.activeModalWidget(), QWidget):
            self._bounded(top.window())
        elif isinstance(popup, QMenu):
            self._in_menu(popup)
        elif (dialog := _dialog_in(top)) is not None and self._choice.random() < 0.8:
            self._in_dialog(dialog)
        else:
            self._anywhere(top)

    @staticmethod
    def _any_window() -> QWidget | None:
        return next((w for w in QApplication.topLevelWidgets() if w.isVisible()), None)

    # where there are bounds ------------------------------------------------------------------------------------------

    def _bounded(self, top: QWidget) -> None:
        """A dialog for files, or what it asks."""
        name = top.findChild(QLineEdit, "fileNameEdit") if isinstance(top, QFileDialog) else None
        if name is None or self._choice.random() < 0.5:
            self._key("Escape")
            return
        folder = top.fileMode() == QFileDialog.FileMode.Directory if isinstance(top, QFileDialog) else False
        wanted = str(self._own if folder else self._own / f"file{self._choice.randrange(5)}")
        if name.hasFocus() and name.text() == wanted:
            self._key("Return")
        elif not name.hasFocus():
            self._click(name, name.rect().center())
        else:
            self._note(f"type {wanted!r} into a file dialog")
            self._screen.key("a", "Control_L")
            self._screen.type(wanted)
            self._screen.key("Return") if self._choice.random() < 0.5 else self._screen.key("Escape")

    # anywhere --------------------------------------------------------------------------------------------------------

    def _in_menu(self, menu: QMenu) -> None:
        entries = [entry for entry in menu.actions() if entry.isVisible() and entry.isEnabled()]
        if entries and self._choice.random() < 0.6:
            self._click(menu, menu.actionGeometry(self._choice.choice(entries)).center())
        else:
            self._key(self._choice.choice(["Escape", "Down", "Up", "Return", "Right", "Left"]))

    def _in_dialog(self, dialog: Dialog) -> None:
        chance = self._choice.random()
        if chance < 0.2:
            buttons = [b for b in dialog.findChildren(Button) if b.isVisible() and b.isEnabled()]
            self._click(buttons[-1], buttons[-1].rect().center()) if buttons else self._key("Return")
        elif chance < 0.3:
            self._key("Escape")
        elif chance < 0.6:
            self._click_some(dialog)
        elif chance < 0.75:
            self._word()
        else:
            self._key(self._choice.choice(["Escape", "Return", "Tab", "Tab", "space", "Down"]))

    def _anywhere(self, top: QWidget) -> None:
        deeds: list[tuple[int, Callable[[], None]]] = [
            (26, lambda: self._click_some(top)),
            (14, lambda: self._click_row(top)),
            (4, lambda: self._shortcut(("Control_L", str(self._choice.randrange(1, 10))))),
            (4, lambda: self._key("Delete")),
            (3, lambda: self._key("Menu")),
            (10, lambda: self._click_at(self._spot(top))),
            (14, lambda: self._key(self._choice.choice(KEYS))),
            (10, lambda: self._shortcut(self._choice.choice(SHORTCUTS))),
            (8, lambda: self._word()),
            (2, lambda: self._command(self._choice.choice(COMMANDS))),
            (8, lambda: self._wheel(self._spot(top))),
            (5, lambda: self._drag(self._spot(top), self._spot(top))),
            (6, lambda: self._move(self._spot(top))),
            (1, lambda: self._resize(top)),
        ]
        self._choice.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])[0]()

    def _click_some(self, parent: QWidget) -> None:
        """Click one of the controls that are visible in `parent`."""
        found = [w for w in parent.findChildren(QWidget) if isinstance(w, TARGETS) and w.isVisible() and w.isEnabled()]
        if not found:
            self._click_at(self._spot(parent))
            return
        widget = self._choice.choice(found)
        inside = widget.visibleRegion().boundingRect()
        small = isinstance(widget, QAbstractButton)
        self._click(widget, inside.center() if small or inside.isEmpty() else self._in(inside))

    def _click_row(self, parent: QWidget) -> None:
        """Click one of the rows of a list that is visible in `parent`; sometimes for its menu."""
        views = [v for v in parent.findChildren(QAbstractItemView) if v.isVisible() and v.model() is not None]
        rows = [(view, view.visualRect(index)) for view in views for index in indexes(view.model())]
        rows = [(view, row & view.viewport().rect()) for view, row in rows]
        if not (seen := [(view, row) for view, row in rows if not row.isEmpty()]):
            self._click_some(parent)
            return
        view, row = self._choice.choice(seen)
        self._click(view.viewport(), self._in(row), self._choice.choice([LEFT, LEFT, RIGHT]))

    def _click(self, widget: QWidget, at: QPoint, button: int | None = None) -> None:
        name = widget.accessibleName() or (widget.text() if isinstance(widget, QAbstractButton | QLineEdit) else "")
        self._click_at(widget.mapToGlobal(at), f"{type(widget).__name__} {name!r}", button)

    def _click_at(self, place: QPoint, what: str = "", button: int | None = None) -> None:
        button = button or self._choice.choices([LEFT, RIGHT, MIDDLE, BACK, FORWARD], [85, 9, 2, 2, 2])[0]
        times = self._choice.choices([1, 2], [9, 1])[0]
        held = self._choice.choices([(), ("Control_L",), ("Shift_L",)], [90, 6, 4])[0]
        self._note(f"click {button} x{times} {'+'.join(held)} at {place.x()},{place.y()} {what}")
        self._screen.point(place.x(), place.y())
        with self._screen.held(*held):
            for _ in range(times):
                self._screen.button(button, True)
                self._screen.button(button, False)

    def _key(self, name: str) -> None:
        self._note(f"key {name}")
        self._screen.key(name)

    def _shortcut(self, keys: Sequence[str]) -> None:
        self._note(f"keys {'+'.join(keys)}")
        self._screen.key(keys[-1], *keys[:-1])

    def _word(self) -> None:
        word = self._choice.choice(WORDS)
        ends = self._choice.random() < 0.3
        self._note(f"type {word!r}{' Return' if ends else ''}")
        self._screen.type(word)
        if ends:
            self._screen.key("Return")

    def _command(self, title: str) -> None:
        """By the palette, as one does it who knows its name."""
        self._note(f"command {title!r}")
        self._screen.key("k", "Control_L")
        self._screen.type(f">{title}")
        self._screen.key("Return")

    def _wheel(self, place: QPoint) -> None:
        button, notches = self._choice.choice([WHEEL_UP, WHEEL_DOWN, WHEEL_DOWN]), self._choice.randrange(1, 8)
        self._note(f"wheel {button} x{notches} at {place.x()},{place.y()}")
        self._screen.point(place.x(), place.y())
        for _ in range(notches):
            self._screen.button(button, True)
            self._screen.button(button, False)

    def _drag(self, begin: QPoint, end: QPoint) -> None:
        self._note(f"drag {begin.x()},{begin.y()} to {end.x()},{end.y()}")
        self._screen.point(begin.x(), begin.y())
        self._screen.button(LEFT, True)
        for step in range(1, 6):
            between = begin + (end - begin) * step / 5
            self._screen.point(between.x(), between.y())
        self._screen.button(LEFT, False)

    def _move(self, place: QPoint) -> None:
        self._note(f"move to {place.x()},{place.y()}")
        self._screen.point(place.x(), place.y())

    def _resize(self, top: QWidget) -> None:
        width, height = self._choice.choice(SIZES)
        self._note(f"resize to {width}x{height}")
        self._screen.resize(int(top.window().winId()), width, height)

    def _spot(self, widget: QWidget) -> QPoint:
        return widget.mapToGlobal(self._in(widget.rect()))

    def _in(self, area: QRect) -> QPoint:
        x = self._choice.randint(area.left(), max(area.left(), area.right()))
        return QPoint(x, self._choice.randint(area.top(), max(area.top(), area.bottom())))

    def _note(self, what: str) -> None:
        self._trace.write(f"{self.left} left: {what}\n")


def _dialog_in(top: QWidget) -> Dialog | None:
    return next((dialog for dialog in top.findChildren(Dialog) if dialog.isVisible()), None)
