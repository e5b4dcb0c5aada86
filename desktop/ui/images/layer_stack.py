"""An image's layers as a stack of slabs, the base at the bottom, each with its step and size beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from desktop.ui.images.layer import ImageLayer
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import disk, tr

SLAB_WIDTH, DEPTH_X, DEPTH_Y = 150, 35, 17
LEAST, MOST = 7, 54
ROW = 50
LABEL_X = 228


class _Slabs(QWidget):
    """The painted stack; the keys Up and Down select a layer."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.layers: list[ImageLayer] = []
        self.chosen = 0
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def set_layers(self, layers: Sequence[ImageLayer]) -> None:
        self.layers = list(layers)
        self.chosen = max(range(len(layers)), key=lambda n: layers[n].size, default=0)
        self._tell()

    def _tell(self) -> None:
        self.setAccessibleName(
            tr("Layers, newest first: {list}", list="; ".join(f"{la.step}, {disk(la.size)}" for la in self.layers[:30]))
        )
        self.setFixedHeight(max(80, sum(self._heights()) + 16))
        self.update()

    def _slab(self, layer: ImageLayer) -> float:
        biggest = max((la.size for la in self.layers), default=1) or 1
        return max(LEAST, MOST * math.sqrt(layer.size / biggest))

    def _heights(self) -> list[int]:
        return [max(ROW, round(self._slab(layer)) + DEPTH_Y + 12) for layer in self.layers]

    def _at(self, y: float) -> int:
        top = 8
        for number, height in enumerate(self._heights()):
            if top <= y < top + height:
                return number
            top += height
        return -1

    def sizeHint(self) -> QSize:
        return QSize(500, self.height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if (number := self._at(event.position().y())) >= 0:
            self.chosen = number
            self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        by = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if by is None or not self.layers:
            super().keyPressEvent(event)
            return
        self.chosen = min(max(self.chosen + by, 0), len(self.layers) - 1)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self.layers:
            painter.setFont(theme.font("body"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, tr("The layers are unknown"))
            return
        top = 8
        for number, (layer, height) in enumerate(zip(self.layers, self._heights(), strict=True)):
            self._paint_layer(painter, layer, QRect(0, top, self.width(), height), number == self.chosen)
            top += height

    def _paint_layer(self, painter: QPainter, layer: ImageLayer, box: QRect, chosen: bool) -> None:
        theme = self._theme
        tall = self._slab(layer)
        left, top = 18.0, box.y() + (box.height() - tall - DEPTH_Y) / 2
        biggest = max(la.size for la in self.layers) or 1
        weight = 0.0 if not layer.size else 0.25 + 0.45 * math.sqrt(layer.size / biggest)
        front = theme.colour("c1") if chosen else _blend(theme.colour("sel"), theme.colour("c1"), weight)
        edge = QPen(_blend(front, theme.colour("text"), 0.25), 1)
        painter.setPen(edge)
        up = [
            QPointF(left, top + DEPTH_Y),
            QPointF(left + DEPTH_X, top),
            QPointF(left + DEPTH_X + SLAB_WIDTH, top),
            QPointF(left + SLAB_WIDTH, top + DEPTH_Y),
        ]
        side = [up[3], up[2], QPointF(up[2].x(), up[2].y() + tall), QPointF(up[3].x(), up[3].y() + tall)]
        painter.setBrush(_blend(front, theme.colour("surface"), 0.12))
        painter.drawPolygon(QPolygonF(up))
        painter.setBrush(_blend(front, QColor("#000000"), 0.22))
        painter.drawPolygon(QPolygonF(side))
        painter.setBrush(front)
        painter.drawRect(QRectF(left, top + DEPTH_Y, SLAB_WIDTH, tall))
        middle = box.y() + box.height() / 2
        painter.setPen(theme.pen("accent" if chosen else "line2", 1))
        painter.drawLine(QPointF(left + SLAB_WIDTH + DEPTH_X + 2, middle), QPointF(LABEL_X, middle))
        label = QRect(LABEL_X, int(middle) - 23, box.width() - LABEL_X - 12, 46)
        if chosen:
            painter.setPen(QPen(theme.colour("focus"), 2) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("sel"))
            painter.drawRoundedRect(QRectF(label), 6, 6)
        painter.setFont(theme.font("name"))
        painter.setPen(theme.colour("text"))
        size = disk(layer.size) if layer.size else ""
        width = painter.fontMetrics().horizontalAdvance(size) + 18
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(label.adjusted(0, 3, -10, -20), right, size)
        painter.setFont(theme.font("mono"))
        text = painter.fontMetrics().elidedText(layer.step, Qt.TextElideMode.ElideRight, label.width() - 10 - width)
        painter.drawText(label.adjusted(10, 3, -width, -20), Qt.AlignmentFlag.AlignVCenter, text)
        painter.setFont(theme.font("small"))
        painter.setPen(theme.colour("text2"))
        fact = layer.fact or (tr("files") if layer.size else tr("no files, only settings"))
        fact = painter.fontMetrics().elidedText(fact, Qt.TextElideMode.ElideRight, label.width() - 20)
        painter.drawText(label.adjusted(10, 23, -10, -2), Qt.AlignmentFlag.AlignVCenter, fact)


def _blend(one: QColor, other: QColor, part: float) -> QColor:
    return QColor(
        round(one.red() + (other.red() - one.red()) * part),
        round(one.green() + (other.green() - one.green()) * part),
        round(one.blue() + (other.blue() - one.blue()) * part),
    )


class LayerStack(QScrollArea):
    """The slabs in a scroll area."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self._slabs = _Slabs(theme)
        holder = QWidget()
        holder.setObjectName("scrolled")
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 6, 0, 6)
        column.addWidget(self._slabs)
        column.addStretch(1)
        self.setWidget(holder)

    def set_layers(self, layers: Sequence[ImageLayer]) -> None:
        self._slabs.set_layers(layers)

    @property
    def layers(self) -> list[ImageLayer]:
        return self._slabs.layers

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._slabs.update()
