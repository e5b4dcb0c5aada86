"""Things in boxes at computed places, and lines between them: the mechanism of the map of networks and of a project's
graph.

A thing is a button, so Tab, Enter, tooltips and screen readers work as everywhere; the arrow keys go to the nearest
thing in their direction. The lines are painted below. Places are given in units that `scale` turns into pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSizeF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QEnterEvent,
    QFont,
    QFontMetrics,
    QHelpEvent,
    QHideEvent,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QScrollArea, QToolTip, QWidget

from desktop.ui.kit.buttons import FocusByKeyboard
from desktop.ui.kit.glyphs import FRAMES_PER_S, TURN_MS, motion_allowed, paint_state
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme

SCALES = (0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5)
ASIDE = 2.0  # a step by arrow key: a pixel aside counts as much as so many ahead
WAYS = {
    Qt.Key.Key_Left: QPointF(-1, 0),
    Qt.Key.Key_Right: QPointF(1, 0),
    Qt.Key.Key_Up: QPointF(0, -1),
    Qt.Key.Key_Down: QPointF(0, 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """How one thing looks. `name` is for screen readers. `note` stands below the title, with `is_row` beside it.
    `leads_out`: a click leaves the window, so the title is underlined. Without a frame (`is_bare`) it is a headline.
    Things with the same `group` are lit together."""

    title: str
    name: str
    note: str = ""
    state: State | None = None
    icon: str = ""
    icon_token: str = "text2"
    title_token: str = "text"
    is_row: bool = False
    is_bare: bool = False
    leads_out: bool = False
    is_mono: bool = True  # the note: an address
    group: str = ""


def nearest(boxes: Mapping[str, QRectF], start: str, way: QPointF) -> str:
    """The key of the box that a step from `start` in direction `way` leads to; empty if there is none that way.

    What stands beside the start, in its row or column, goes before all else.
    """
    begin = boxes[start]
    best, least = "", (True, math.inf)
    for key, box in boxes.items():
        there = box.center() - begin.center()
        ahead = there.x() * way.x() + there.y() * way.y()
        if key == start or ahead <= 1:
            continue
        if way.x():
            apart = max(box.top() - begin.bottom(), begin.top() - box.bottom())
        else:
            apart = max(box.left() - begin.right(), begin.left() - box.right())
        if apart > 2 * ahead:
            continue
        aside = abs(there.x() * way.y()) + abs(there.y() * way.x())
        cost = (apart > 0, ahead + ASIDE * max(0.0, apart) + aside / 8)
        if cost < least:
            best, least = key, cost
    return best


class Thing(FocusByKeyboard):
    """One thing of a diagram."""

    def __init__(self, diagram: Diagram, key: str, box: Box) -> None:
        super().__init__(diagram)
        self._diagram, self.key, self.box = diagram, key, box
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setText(box.title)
        self.setAccessibleName(box.name)

    def tell(self, box: Box) -> None:
        """Show `box` from now on."""
        if box == self.box:
            return
        self.box = box
        self.setText(box.title)
        if self.accessibleName() != box.name:
            self.setAccessibleName(box.name)
        self.update()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self._diagram.tip_of(self.key), self)
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not event.modifiers() and (way := WAYS.get(Qt.Key(event.key()))) is not None:
            self._diagram.step(self.key, way)
        elif event.key() in WAYS:
            event.ignore()  # a plain button would go to the next one
        else:
            super().keyPressEvent(event)

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self._diagram.light(self.key)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._diagram.light("")

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, diagram, box = QPainter(self), self._diagram, self.box
        theme, scale = diagram.theme, diagram.scale
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(scale, scale)
        area = QRectF(0, 0, self.width() / scale, self.height() / scale)
        is_lit = self.ringed or diagram.is_lit(self.key)
        if not box.is_bare or is_lit:
            painter.setPen(theme.pen("accent" if is_lit else "line2", 1.6 if is_lit else 1))
            painter.setBrush(theme.brush("sel" if is_lit else "raised"))
            inset = 0.8 if is_lit else 0.5
            painter.drawRoundedRect(area.adjusted(inset, inset, -inset, -inset), 7, 7)
        if self.ringed:
            painter.setPen(theme.pen("focus", 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(area.adjusted(1, 1, -1, -1), 7, 7)
        left = 8.0 if box.is_bare else 12.0
        if box.state is not None:
            paint_state(painter, theme, box.state, QPointF(left + 5, area.center().y()), 10, diagram.turn)
            left += 20
        elif box.icon:
            square = QRect(round(left), round(area.center().y()) - 8, 16, 16)
            diagram.icons.paint(painter, box.icon, box.icon_token, square)
            left += 24
        self._paint_words(painter, area.adjusted(left, 0, -8, 0))

    def _paint_words(self, painter: QPainter, room: QRectF) -> None:
        theme, box = self._diagram.theme, self.box
        title, note = theme.font("section"), theme.font("monosmall" if box.is_mono else "caption")
        metrics = QFontMetrics(title)
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        line = QRectF(room)
        if box.note and not box.is_row:
            high, low = metrics.height(), QFontMetrics(note).height()
            line = QRectF(room.x(), room.center().y() - (high + low) / 2, room.width(), high)
            painter.setFont(note)
            painter.setPen(theme.colour("text2"))
            below = QRectF(room.x(), line.bottom(), room.width(), low)
            painter.drawText(below, flags, self._elided(note, box.note, room.width()))
        text = self._elided(title, box.title, room.width())
        painter.setFont(title)
        painter.setPen(theme.colour("accent" if box.leads_out else box.title_token))
        painter.drawText(line, flags, text)
        width = metrics.horizontalAdvance(text)
        if box.leads_out:
            y = line.center().y() + metrics.ascent() / 2 + 1.5
            painter.drawLine(QPointF(line.x(), y), QPointF(line.x() + width, y))
        if box.note and box.is_row:
            note = theme.font("monosmall" if box.is_mono else "small")
            beside = line.adjusted(width + 10, 0, 0, 0)
            painter.setFont(note)
            painter.setPen(theme.colour("text2"))
            painter.drawText(beside, flags, self._elided(note, box.note, beside.width()))

    @staticmethod
    def _elided(font: QFont, text: str, width: float) -> str:
        return QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, max(0, math.ceil(width)))


class Diagram(QWidget):
    """The canvas. A subclass paints what is below the things (`paint_below`) and says their tooltips (`tip_of`).

    Signals: chosen(key) by click or Enter; scaled() after a change of `scale`.
    """

    chosen = Signal(str)
    scaled = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("scrolled")
        self.theme, self.icons = theme, icons
        self.scale, self.turn = 1.0, 0.0
        self._things: dict[str, Thing] = {}
        self._boxes: dict[str, QRectF] = {}
        self._size = QSizeF()
        self._lit = ""
        self._turning = QTimer(self)
        self._turning.setInterval(1000 // FRAMES_PER_S)
        self._turning.timeout.connect(self._on_turn)
        theme.changed.connect(self.update)

    @property
    def unit(self) -> float:
        """How much larger the text is than by default: places follow it."""
        return self.theme.base_px / 13

    @property
    def things(self) -> Mapping[str, Thing]:
        """What is shown, by key, in the order of Tab."""
        return self._things

    def box_of(self, key: str) -> QRectF:
        """The place of a thing, in units."""
        return self._boxes[key]

    def show_things(self, boxes: Iterable[tuple[str, Box, QRectF]], size: QSizeF) -> None:
        """Show these on a canvas of that size. Those that stay keep the focus; Tab goes through them in this order."""
        before, self._things = self._things, {}
        self._boxes, self._size = {}, size
        for key, box, place in boxes:
            thing = before.pop(key, None)
            if thing is None:
                thing = Thing(self, key, box)
                thing.clicked.connect(lambda _=False, k=key: self.chosen.emit(k))
            else:
                thing.tell(box)
            self._things[key], self._boxes[key] = thing, place
        for thing in before.values():
            thing.hide()
            thing.deleteLater()
        self._arrange()
        last: Thing | None = None
        for thing in self._things.values():
            thing.show()
            if last is not None:
                QWidget.setTabOrder(last, thing)
            last = thing
        self._check_turning()
        self.update()

    def _arrange(self) -> None:
        for key, thing in self._things.items():
            thing.setGeometry(self.scaled_rect(self._boxes[key]).toRect())
        self.setMinimumSize(math.ceil(self._size.width() * self.scale), math.ceil(self._size.height() * self.scale))

    def scaled_rect(self, place: QRectF) -> QRectF:
        """`place` in pixels of the widget."""
        scale = self.scale
        return QRectF(place.x() * scale, place.y() * scale, place.width() * scale, place.height() * scale)

    def set_scale(self, scale: float) -> None:
        if scale != self.scale:
            self.scale = scale
            self._arrange()
            self.update()
            self.scaled.emit()

    def step(self, key: str, way: QPointF) -> None:
        """Go to the nearest thing in direction `way`."""
        if found := nearest(self._boxes, key, way):
            self._things[found].setFocus(Qt.FocusReason.TabFocusReason)
            self.reveal(found)

    def reveal(self, key: str) -> None:
        """Scroll until the thing is visible."""
        parent = self.parentWidget()
        area = parent.parentWidget() if parent is not None else None
        if isinstance(area, QScrollArea):
            area.ensureWidgetVisible(self._things[key])

    def light(self, key: str) -> None:
        """The pointer is over that thing; empty: over none."""
        before, self._lit = self._group(self._lit), key
        after = self._group(key)
        for other, thing in self._things.items():
            if self._group(other) in (before, after) and self._group(other):
                thing.update()
        if before != after:
            self.on_lit()

    def _group(self, key: str) -> str:
        thing = self._things.get(key)
        return "" if thing is None else thing.box.group or key

    def is_lit(self, key: str) -> bool:
        return bool(self._lit) and self._group(key) == self._group(self._lit)

    def on_lit(self) -> None:
        """Other things are lit now."""

    def tip_of(self, key: str) -> str:
        """The tooltip of a thing."""
        return self._things[key].box.name

    def paint_below(self, painter: QPainter, exposed: QRectF) -> None:
        """Paint what is below the things; `exposed`, in units, has to be painted anew."""
        raise NotImplementedError

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(self.scale, self.scale)
        seen, scale = QRectF(event.rect()), self.scale
        self.paint_below(
            painter, QRectF(seen.x() / scale, seen.y() / scale, seen.width() / scale, seen.height() / scale)
        )

    # the arc of what is starting -------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._check_turning()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._turning.stop()

    def _check_turning(self) -> None:
        if self.isVisible() and motion_allowed(self) and any(self._working()):
            self._turning.start()
        else:
            self._turning.stop()

    def _working(self) -> Iterable[Thing]:
        return (thing for thing in self._things.values() if thing.box.state is State.WORKING)

    def _on_turn(self) -> None:
        self.turn = (self.turn + 1000 / FRAMES_PER_S / TURN_MS) % 1
        for thing in self._working():
            thing.update()


class DiagramView(QScrollArea):
    """A diagram that scrolls, and with the wheel and Ctrl, or `zoom`, gets larger and smaller.

    Signals: chosen(key); resized(): it has another width or height."""

    chosen = Signal(str)
    resized = Signal()

    def __init__(self, diagram: Diagram, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(name)
        self.diagram = diagram
        diagram.chosen.connect(self.chosen)
        self.setWidget(diagram)

    def zoom(self, steps: int, at: QPoint | None = None) -> None:
        """Go `steps` larger, or smaller if negative; what is at `at` of the viewport (its middle) stays there."""
        diagram = self.diagram
        number = min(range(len(SCALES)), key=lambda n: abs(SCALES[n] - diagram.scale))
        self.zoom_to(SCALES[max(0, min(len(SCALES) - 1, number + steps))], at)

    def zoom_to(self, scale: float, at: QPoint | None = None) -> None:
        diagram, place = self.diagram, at if at is not None else self.viewport().rect().center()
        below = diagram.mapFrom(self.viewport(), place)
        factor = scale / diagram.scale
        diagram.set_scale(scale)
        self.horizontalScrollBar().setValue(round(below.x() * factor) - place.x())
        self.verticalScrollBar().setValue(round(below.y() * factor) - place.y())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.resized.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if event.modifiers() == Qt.KeyboardModifier.ControlModifier and event.angleDelta().y():
            self.zoom(1 if event.angleDelta().y() > 0 else -1, event.position().toPoint())
            event.accept()
        else:
            super().wheelEvent(event)
