"""A change of theme or zoom reaches every widget, and each of them once."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QComboBox, QLabel, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.pagestack import PageStack
from desktop.ui.kit.tabs import Tabs
from desktop.ui.kit.theme import Theme

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

DEPTH = 10


class _Counting(QLabel):
    """Counts how often it is styled."""

    def __init__(self) -> None:
        super().__init__("text")
        self.styled = 0

    def changeEvent(self, event: QEvent) -> None:
        self.styled += event.type() == QEvent.Type.StyleChange
        super().changeEvent(event)


def test_a_widget_is_styled_as_often_however_deep_it_lies(theme: Theme, qtbot: QtBot) -> None:
    outer = QWidget()
    qtbot.addWidget(outer)
    inner, shallow, deep = outer, _Counting(), _Counting()
    QVBoxLayout(outer).addWidget(shallow)
    for _ in range(DEPTH):
        layer = QWidget(inner)
        layout = inner.layout() or QVBoxLayout(inner)
        layout.addWidget(layer)
        inner = layer
    QVBoxLayout(inner).addWidget(deep)
    outer.show()
    shallow.styled = deep.styled = 0
    theme.set_scheme("dark")
    assert deep.styled == shallow.styled > 0
    assert deep.palette().windowText().color() == theme.colour("text")
    before = deep.font().pixelSize()
    theme.set_zoom(2)
    assert deep.font().pixelSize() == before + 2


class _Page(QWidget):
    """One widget of each kind that the style sheet has rules for, and those that take their fonts from the theme."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("page")
        self.label = QLabel("text")
        self.label.setProperty("tone", "text2")
        layout = QVBoxLayout(self)
        for widget in (self.label, QLineEdit("field"), QComboBox(), QPlainTextEdit("lines"), *_with_fonts(theme)):
            layout.addWidget(widget)

    def picture(self) -> QImage:
        QApplication.processEvents()  # the layout follows the size of the text
        return self.grab().toImage()


def _with_fonts(theme: Theme) -> tuple[QWidget, ...]:
    return Label(theme, "title", "title"), ElidedLabel(theme, "heading", "heading"), Tabs(theme, ("one", "two"))


def test_a_hidden_page_has_the_new_look_when_it_is_shown(theme: Theme, qtbot: QtBot) -> None:
    stack = PageStack(theme)
    qtbot.addWidget(stack)
    stack.resize(500, 400)
    first, second = _Page(theme), _Page(theme)
    stack.addWidget(first)
    stack.addWidget(second)
    stack.show()
    stack.setCurrentWidget(second)
    stack.setCurrentWidget(first)
    before = first.picture()
    theme.set_scheme("dark")
    theme.set_zoom(2)
    theme.set_zoom(1)
    after = first.picture()
    stack.setCurrentWidget(second)
    assert second.picture() == after != before
    second.label.setProperty("tone", "")
    second.label.style().unpolish(second.label)
    second.label.style().polish(second.label)
    assert second.label.palette().windowText().color() == theme.colour("text")
