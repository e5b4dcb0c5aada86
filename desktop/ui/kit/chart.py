"""A chart of one or two curves over time, with rules, a limit, marks, and a crosshair by mouse and arrow keys."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QBrush,
    QFontMetrics,
    QKeyEvent,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QWidget

from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

RULES = 4
TIMES = 5
FOOT = 24  # room for the times
SHORT_S = 900  # up to this span the times have seconds


@dataclass(frozen=True, slots=True)
class Curve:
    """`values` belong to the chart's times; None is a gap. The second curve of a chart is dashed."""

    name: str
    token: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What a chart shows between `begin_s` and `end_s` (Unix seconds). `marks` are times and words."""

    begin_s: float
    end_s: float
    times: Sequence[float]
    curves: Sequence[Curve]
    limit: float = 0.0
    marks: Sequence[tuple[float, str]] = field(default=())


def ceiling(value: float, base: int) -> float:
    """The smallest 1, 2, 4 or 8 times a power of ten that `value` fits, in units of powers of `base` (1000, 1024)."""
    unit = 1.0
    while value >= unit * base:
        unit *= base
    amount, power = value / unit, 1.0
    while amount > power * 10:
        power *= 10
    while power > 0.001 and amount <= power:
        power /= 10
    return next(step * power * unit for step in (1, 2, 4, 8, 10) if amount <= step * power)


class Chart(QWidget):
    """`words` says a value; `base` is 1000 or 1024, for round numbers at the rules; `least` is the lowest top."""

    def __init__(
        self,
        theme: Theme,
        name: str,
        words: Callable[[float], str],
        *,
        base: int = 1000,
        least: float = 1.0,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme, self._name, self._words, self._base, self._least = theme, name, words, base, least
        self._plot: Plot | None = None
        self._at: int | None = None  # the crosshair's point
        self._top = least
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName(name)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(400, 190)

    def minimumSizeHint(self) -> QSize:
        return QSize(200, 110)

    def tell(self, plot: Plot) -> None:
        self._plot = plot
        first = bisect.bisect_left(plot.times, plot.begin_s)  # a list may begin before the time that is shown
        known = [value for curve in plot.curves for value in curve.values[first:] if value is not None]
        peak = max(known, default=0.0)
        shown = max(peak, plot.limit if peak > plot.limit / 3 else 0.0)
        self._top = ceiling(max(shown * 1.05, self._least), self._base)
        if self._at is not None and self._at >= len(plot.times):
            self._at = None
        newest = [next((v for v in reversed(curve.values) if v is not None), None) for curve in plot.curves]
        said = [
            f"{curve.name} {self._words(value)}" if len(plot.curves) > 1 else self._words(value)
            for curve, value in zip(plot.curves, newest, strict=True)
            if value is not None
        ]
        text = ", ".join([*said, tr("peak {value}", value=self._words(peak))] if said else [tr("nothing measured")])
        self.setAccessibleName(f"{self._name}: {text}")
        self.update()

    # painting --------------------------------------------------------------------------------------------------------

    def _area(self) -> QRectF:
        metrics = QFontMetrics(self._theme.font("caption"))
        left = max(metrics.horizontalAdvance(self._words(self._top * n / RULES)) for n in range(RULES + 1)) + 8
        return QRectF(left, 8, max(10, self.width() - left - 2), max(10, self.height() - 8 - FOOT))

    def _x(self, area: QRectF, at_s: float) -> float:
        assert self._plot is not None
        return area.left() + (at_s - self._plot.begin_s) / (self._plot.end_s - self._plot.begin_s) * area.width()

    def _y(self, area: QRectF, value: float) -> float:
        return area.bottom() - min(1.0, value / self._top) * area.height()

    def paintEvent(self, _event: QPaintEvent) -> None:
        plot, theme = self._plot, self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if plot is None:
            return
        area = self._area()
        self._paint_rules(painter, area)
        self._paint_times(painter, area, plot)
        painter.save()
        painter.setClipRect(area.adjusted(0, -2, 0, 2))
        for number, curve in enumerate(plot.curves):
            self._paint_curve(painter, area, plot, curve, dashed=number > 0)
        painter.restore()
        for at_s, text in plot.marks:
            if plot.begin_s <= at_s <= plot.end_s:
                self._paint_mark(painter, area, self._x(area, at_s), text)
        if plot.limit and plot.limit <= self._top:
            y = self._y(area, plot.limit)
            pen = QPen(theme.colour("pause"), 1.2, Qt.PenStyle.DashLine)
            painter.setPen(pen)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setFont(theme.font("caption"))
            box = QRect(int(area.left()), int(y) + 2, int(area.width()) - 4, 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight, tr("limit {value}", value=self._words(plot.limit)))
        if self._at is not None:
            self._paint_cross(painter, area, plot, self._at)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(theme.pen("focus", 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)

    def _paint_rules(self, painter: QPainter, area: QRectF) -> None:
        theme = self._theme
        painter.setFont(theme.font("caption"))
        for number in range(RULES + 1):
            value = self._top * number / RULES
            y = round(self._y(area, value)) + 0.5
            painter.setPen(theme.pen("line"))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(theme.colour("text2"))
            box = QRectF(0, y - 8, area.left() - 6, 16)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, right, self._words(value) if number else "0")

    def _paint_times(self, painter: QPainter, area: QRectF, plot: Plot) -> None:
        theme = self._theme
        painter.setFont(theme.font("caption"))
        painter.setPen(theme.colour("text2"))
        length = plot.end_s - plot.begin_s
        form = "%H:%M:%S" if length <= SHORT_S else "%H:%M"
        width = painter.fontMetrics().horizontalAdvance("00:00:00") + 12
        count = max(2, min(TIMES, int(area.width() / width)))
        for number in range(count):
            at_s = plot.begin_s + length * number / (count - 1)
            text = datetime.fromtimestamp(at_s).astimezone().strftime(form)
            x = self._x(area, at_s)
            box = QRectF(x - width / 2, area.bottom() + 6, width, 16)
            box.moveLeft(max(area.left(), min(box.left(), area.right() - width)))
            side = Qt.AlignmentFlag.AlignLeft if not number else Qt.AlignmentFlag.AlignHCenter
            if number == count - 1:
                side = Qt.AlignmentFlag.AlignRight
            painter.drawText(box, side, text)

    def _paint_curve(self, painter: QPainter, area: QRectF, plot: Plot, curve: Curve, *, dashed: bool) -> None:
        theme = self._theme
        pen = QPen(theme.colour(curve.token), 1.6, Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine)
        fill = QLinearGradient(0, area.top(), 0, area.bottom())
        fill.setColorAt(0, theme.mixed(curve.token, 0.26))
        fill.setColorAt(1, theme.mixed(curve.token, 0.03))
        for run in self._runs(area, plot, curve):
            if not dashed:
                first, last = QPointF(run[0].x(), area.bottom()), QPointF(run[-1].x(), area.bottom())
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QBrush(fill))
                painter.drawPolygon(QPolygonF([first, *run, last]))
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(QPolygonF(run))

    def _runs(self, area: QRectF, plot: Plot, curve: Curve) -> list[list[QPointF]]:
        """The points without gaps between them, in pixels, with one before the left edge."""
        begin = max(0, bisect.bisect_left(plot.times, plot.begin_s) - 1)
        found: list[list[QPointF]] = [[]]
        for at_s, value in zip(plot.times[begin:], curve.values[begin:], strict=True):
            if value is None:
                found.append([])
            else:
                found[-1].append(QPointF(self._x(area, at_s), self._y(area, value)))
        return [run for run in found if run]

    def _paint_mark(self, painter: QPainter, area: QRectF, x: float, text: str) -> None:
        theme = self._theme
        painter.setPen(QPen(theme.colour("text3"), 1.2, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        painter.setFont(theme.font("caption"))
        width = painter.fontMetrics().horizontalAdvance(text)
        left = x + 5 if x + 5 + width < area.right() else x - 5 - width
        painter.setPen(theme.colour("text2"))
        painter.drawText(QPointF(left, area.top() + 11), text)

    def _paint_cross(self, painter: QPainter, area: QRectF, plot: Plot, number: int) -> None:
        theme = self._theme
        x = self._x(area, plot.times[number])
        if not area.left() - 1 <= x <= area.right() + 1:
            return
        painter.setPen(theme.pen("text3"))
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        text = self.words_at(number)
        painter.setFont(theme.font("caption"))
        width = painter.fontMetrics().horizontalAdvance(text) + 16
        box = QRectF(min(max(area.left(), x - width / 2), area.right() - width), area.top(), width, 22)
        painter.setPen(theme.pen("line2"))
        painter.setBrush(theme.brush("raised"))
        painter.drawRoundedRect(box, 5, 5)
        painter.setPen(theme.colour("text"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def words_at(self, number: int) -> str:
        """The point's time and values."""
        plot = self._plot
        if plot is None:
            return ""
        when = datetime.fromtimestamp(plot.times[number]).astimezone().strftime("%H:%M:%S")
        said = []
        for curve in plot.curves:
            value = curve.values[number]
            words = tr("not measured") if value is None else self._words(value)
            said.append(f"{curve.name} {words}" if len(plot.curves) > 1 else words)
        return ", ".join([when, *said])

    # the crosshair ---------------------------------------------------------------------------------------------------

    @property
    def crosshair(self) -> str:
        """What the crosshair says; empty without one."""
        return "" if self._at is None else self.words_at(self._at)

    def _cross(self, number: int | None) -> None:
        if number != self._at:
            self._at = number
            self.setAccessibleDescription(self.crosshair)
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        plot = self._plot
        if plot is None or not plot.times:
            return
        area = self._area()
        part = (event.position().x() - area.left()) / area.width()
        at_s = plot.begin_s + part * (plot.end_s - plot.begin_s)
        number = min(bisect.bisect_left(plot.times, at_s), len(plot.times) - 1)
        self._cross(number if 0 <= part <= 1 else None)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._cross(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        plot = self._plot
        if step is not None and plot is not None and plot.times:
            last = len(plot.times) - 1
            self._cross(max(0, min(last, (last if self._at is None else self._at) + step)))
        elif event.key() == Qt.Key.Key_Escape and self._at is not None:
            self._cross(None)
        else:
            super().keyPressEvent(event)
