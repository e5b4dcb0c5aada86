"""States and Cove's mark, painted: shape first, then colour."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QHideEvent, QIcon, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap, QShowEvent
from PySide6.QtWidgets import QWidget

from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme

ARC_DEGREES = 110
TURN_MS = 1_200
FRAMES_PER_S = 12
# The mark on a square of 22: a bay that is open to the right, and a boat in it.
BAY_RADIUS, BAY_WIDTH, BAY_FROM, BAY_SPAN = 8.9, 4.3, 57, 267
BOAT_OFFSET, BOAT_RADIUS = 2.6, 3.0


def paint_state(
    painter: QPainter, theme: Theme, state: State, centre: QPointF, size: float = 10, turn: float = 0
) -> None:
    """Paint the glyph of `state`, `size` logical pixels wide; `turn` (0 to 1) turns the arc of a working one."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    colour = theme.colour(state.token)
    half = size / 2
    box = QRectF(centre.x() - half, centre.y() - half, size, size)
    stroke = max(1.5, size / 6)
    inset = stroke / 2
    ring = box.adjusted(inset, inset, -inset, -inset)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    pen = QPen(colour, stroke)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    match state:
        case State.RUNNING:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawEllipse(box.adjusted(0.5, 0.5, -0.5, -0.5))
        case State.WORKING:
            soft = QColor(colour)
            soft.setAlphaF(0.28)
            painter.setPen(QPen(soft, stroke))
            painter.drawEllipse(ring)
            painter.setPen(pen)
            painter.drawArc(ring, round((90 - turn * 360) * 16), -ARC_DEGREES * 16)
        case State.PAUSED:
            bar = size * 0.32
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawRoundedRect(QRectF(box.left() + 0.5, box.top(), bar, size), 1, 1)
            painter.drawRoundedRect(QRectF(box.right() - 0.5 - bar, box.top(), bar, size), 1, 1)
        case State.STOPPED:
            painter.setPen(pen)
            painter.drawEllipse(ring)
        case State.UNKNOWN:
            part = math.pi * ring.width() / stroke / 12  # six dashes, six gaps
            pen.setDashPattern([part, part])
            painter.setPen(pen)
            painter.drawEllipse(ring)
        case State.PROBLEM:
            _paint_triangle(painter, theme, colour, centre, size + 3)
        case State.DONE:
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
            painter.setPen(pen)
            left, mid, right = box.left() + 0.5, centre.x() - size * 0.12, box.right() - 0.5
            painter.drawPolyline(
                [
                    QPointF(left, centre.y()),
                    QPointF(mid, box.bottom() - size * 0.14),
                    QPointF(right, box.top() + size * 0.16),
                ]
            )
    painter.restore()


def _paint_triangle(painter: QPainter, theme: Theme, colour: QColor, centre: QPointF, size: float) -> None:
    half, height = size / 2, size * 0.88
    top, bottom = centre.y() - height / 2, centre.y() + height / 2
    path = QPainterPath()
    path.moveTo(centre.x(), top + 1)
    path.lineTo(centre.x() + half - 1, bottom - 1)
    path.lineTo(centre.x() - half + 1, bottom - 1)
    path.closeSubpath()
    outline = QPen(colour, 2)
    outline.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(outline)
    painter.setBrush(colour)
    painter.drawPath(path)
    sign = QPen(theme.colour("surface"), max(1.3, size / 9))
    sign.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(sign)
    painter.drawLine(QPointF(centre.x(), top + height * 0.36), QPointF(centre.x(), top + height * 0.62))
    painter.drawPoint(QPointF(centre.x(), top + height * 0.82))


def paint_mark(
    painter: QPainter, colour: QColor, box: QRectF, state: State = State.RUNNING, bad: QColor | None = None
) -> None:
    """Paint Cove's mark into the square `box`; `state` changes it as the tray shows states."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(box.center())
    unit = box.width() / 22
    painter.scale(unit, unit)
    bay = QRectF(-BAY_RADIUS, -BAY_RADIUS, 2 * BAY_RADIUS, 2 * BAY_RADIUS)
    pen = QPen(colour, 1.9 if state is State.STOPPED else BAY_WIDTH)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if state is State.WORKING:
        faint = QColor(colour)
        faint.setAlphaF(0.3)
        half = QPen(faint, BAY_WIDTH)
        half.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(half)
        painter.drawArc(bay, 185 * 16, (BAY_FROM + BAY_SPAN - 185) * 16)
        painter.setPen(pen)
        painter.drawArc(bay, BAY_FROM * 16, 123 * 16)
    else:
        painter.setPen(pen)
        painter.drawArc(bay, BAY_FROM * 16, BAY_SPAN * 16)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    if state is State.PAUSED:
        painter.drawRoundedRect(QRectF(-0.9, -3.6, 2.3, 7.2), 1, 1)
        painter.drawRoundedRect(QRectF(3.2, -3.6, 2.3, 7.2), 1, 1)
    elif state in (State.PROBLEM, State.UNKNOWN):
        painter.setBrush(bad or colour)
        painter.drawRoundedRect(QRectF(1.2, -4.6, 2.8, 5.6), 1.2, 1.2)
        painter.drawEllipse(QPointF(2.6, 3.7), 1.6, 1.6)
    elif state is not State.STOPPED:
        radius = 1.8 if state is State.WORKING else BOAT_RADIUS
        painter.drawEllipse(QPointF(BOAT_OFFSET, 0), radius, radius)
    painter.restore()


def mark_icon(colour: QColor, state: State = State.RUNNING, bad: QColor | None = None) -> QIcon:
    """The mark for the tray, the window and the task bar, in every size that desktops ask for."""
    icon = QIcon()
    for side in (16, 22, 24, 32, 48, 64, 128):
        pixmap = QPixmap(side, side)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        paint_mark(painter, colour, QRectF(1, 1, side - 2, side - 2), state, bad)
        painter.end()
        icon.addPixmap(pixmap)
    return icon


def paint_empty_art(painter: QPainter, theme: Theme, box: QRectF) -> None:
    """Paint the bay with a floating box, for empty pages; drawn for 170 by 140."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(box.center().x() - 1, box.center().y())
    bay = QPen(theme.colour("accentsoft"), 22)
    bay.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(bay)
    painter.drawArc(QRectF(-58, -58, 116, 116), 57 * 16, 210 * 16)
    line = QPen(theme.colour("accent"), 2)
    line.setCapStyle(Qt.PenCapStyle.RoundCap)
    line.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(line)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    side, centre = 20.0, QPointF(9, -8)
    corners = [
        QPointF(centre.x() + side * math.sin(math.radians(60 * i)), centre.y() - side * math.cos(math.radians(60 * i)))
        for i in range(6)
    ]
    painter.drawPolygon(corners)
    for corner in (1, 3, 5):
        painter.drawLine(centre, corners[corner])
    for left, right, y, strength in ((-25, 94, 27, 1.0), (-7, 78, 38, 0.6), (11, 64, 49, 0.35)):
        colour = theme.mixed("accent", strength)
        painter.setPen(QPen(colour, 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        path = QPainterPath(QPointF(left, y))
        steps = 60
        for step in range(1, steps + 1):
            x = left + (right - left) * step / steps
            path.lineTo(x, y + 2.6 * math.sin((x - left) / 26 * 2 * math.pi))
        painter.drawPath(path)
    painter.restore()


class StateGlyph(QWidget):
    """The glyph of one state as a widget; the arc of a working state turns while the widget is visible."""

    def __init__(
        self, theme: Theme, state: State = State.STOPPED, size: int = 10, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme, self._size, self._turn = theme, size, 0.0
        self.state = state
        self.setFixedSize(size + 6, size + 6)
        self._timer = QTimer(self)
        self._timer.setInterval(1000 // FRAMES_PER_S)
        self._timer.timeout.connect(self._on_frame)
        theme.changed.connect(self.update)
        self.set_state(state)

    def set_state(self, state: State) -> None:
        self.state = state
        self.setAccessibleName(state.word)
        if state is State.WORKING and self.isVisible() and motion_allowed(self):
            self._timer.start()
        else:
            self._timer.stop()
        self.update()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.set_state(self.state)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()

    def _on_frame(self) -> None:
        self._turn = (self._turn + 1000 / FRAMES_PER_S / TURN_MS) % 1
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_state(
            painter, self._theme, self.state, QPointF(self.width() / 2, self.height() / 2), self._size, self._turn
        )


class Mark(QWidget):
    """Cove's mark, for the head of the sidebar."""

    def __init__(self, theme: Theme, size: int = 22, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setFixedSize(size, size)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        token = "accentfill" if self._theme.scheme == "light" else "accent"
        paint_mark(painter, self._theme.colour(token), QRectF(self.rect()))


class EmptyArt(QWidget):
    """The picture of an empty page."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setFixedSize(190, 142)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        paint_empty_art(QPainter(self), self._theme, QRectF(self.rect()))


def motion_allowed(widget: QWidget) -> bool:
    """Whether the desktop's style allows animations."""
    from PySide6.QtWidgets import QStyle

    return widget.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration) > 0
