"""Small painted signs: the chip of a state, a bar of progress, the cap of a key."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QFontMetrics,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import (
    QSizePolicy,
    QWidget,
)

from desktop.ui.kit.glyphs import paint_state
from desktop.ui.kit.states import State
from desktop.ui.kit.steps import paint_bar
from desktop.ui.kit.theme import Theme


class Chip(QWidget):
    """The name of a state on the state's soft colour, with its glyph."""

    def __init__(
        self, theme: Theme, state: State = State.STOPPED, text: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme, self.state, self.text = theme, state, text
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)
        self.set_state(state, text)

    def set_state(self, state: State, text: str) -> None:
        self.state, self.text = state, text
        self.setAccessibleName(text)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(QFontMetrics(self._theme.font("smallname")).horizontalAdvance(self.text) + 30, 22)

    minimumSizeHint = sizeHint

    def paintEvent(self, _event: QPaintEvent) -> None:
        paint_chip(QPainter(self), self._theme, self.state, self.text, self.rect())


def paint_chip(painter: QPainter, theme: Theme, state: State | None, text: str, box: QRect) -> None:
    """Paint a chip into `box`, whose height is 20 to 22; without a `state` it is neutral and has no glyph."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.brush(state.soft if state else "stopsoft"))
    painter.drawRoundedRect(QRectF(box), box.height() / 2, box.height() / 2)
    left = 9
    if state:
        paint_state(painter, theme, state, QPointF(box.x() + 11, box.y() + box.height() / 2), 8.5)
        left = 20
    painter.setFont(theme.font("smallname"))
    painter.setPen(theme.colour(state.token if state else "text2"))
    painter.drawText(box.adjusted(left, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, text)
    painter.restore()


def chip_width(theme: Theme, text: str, *, with_glyph: bool) -> int:
    return QFontMetrics(theme.font("smallname")).horizontalAdvance(text) + (30 if with_glyph else 18)


class Bar(QWidget):
    """A progress bar from 0 to 1."""

    def __init__(self, theme: Theme, width: int = 80, token: str = "c1", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._token, self._fraction = theme, token, 0.0
        self.setFixedSize(width, 6)
        theme.changed.connect(self.update)

    def set_fraction(self, fraction: float) -> None:
        self._fraction = fraction
        self.setAccessibleName(f"{fraction:.0%}")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        paint_bar(QPainter(self), self._theme, QRectF(self.rect()), self._fraction, self._token)


class KeyCap(QWidget):
    """A key's name in a small frame."""

    def __init__(self, theme: Theme, key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._key = theme, key
        width = QFontMetrics(theme.font("captionname")).horizontalAdvance(key) + 10
        self.setFixedSize(max(18, width), 18)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.colour("line2"), 1))
        painter.setBrush(self._theme.brush("sunken"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        painter.setFont(self._theme.font("captionname"))
        painter.setPen(self._theme.colour("text2"))
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self._key)
