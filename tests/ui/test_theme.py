"""A change of theme or zoom reaches every widget, and each of them once."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

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
