"""The steps of a build on a time axis: a list whose rows paint their time beside those of all others."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.client.builds import Step
from desktop.ui.builds.model import StepRow, rows_of
from desktop.ui.kit.glyphs import paint_state
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import duration, tr

ROW, HEAD = 31, 31
NOTE_WIDTH = 92
TICK_WIDTH = 52  # pixels between two times on the axis, at least
NOW_MS = 500  # between two repaintings of a build that runs
Index = QModelIndex | QPersistentModelIndex


class StepModel(QAbstractListModel):
    """Rows of steps; the span of the axis in Unix seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[StepRow] = []
        self.begin_s = self.end_s = 0.0

    def load(self, steps: Sequence[Step]) -> None:
        fresh = rows_of(steps)
        times = [t for step in steps for t in (step.started_s, step.ended_s) if t is not None]
        self.begin_s = min(times, default=0.0)
        runs = any(step.started_s is not None and step.ended_s is None for step in steps)
        self.end_s = time.time() if runs else max(times, default=0.0)
        if not self._insert(fresh):
            self.beginResetModel()
            self.rows = fresh
            self.endResetModel()
            return
        self.rows = fresh
        if fresh:
            self.dataChanged.emit(self.index(0), self.index(len(fresh) - 1))

    def _insert(self, fresh: Sequence[StepRow]) -> bool:
        """Add rows for what is new in `fresh`, so that what is selected and where it is scrolled to stays. False: it
        has not all the rows of before, in their order."""
        rest = iter(fresh)
        if not all(any(row.key == old.key for row in rest) for old in self.rows):
            return False
        known = {row.key for row in self.rows}
        for number, row in enumerate(fresh):
            if row.key not in known:
                self.beginInsertRows(QModelIndex(), number, number)
                self.rows.insert(number, row)
                self.endInsertRows()
        return True

    @property
    def span_s(self) -> float:
        return max(self.end_s - self.begin_s, 0.001)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> str | None:
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.said
        if role == Qt.ItemDataRole.ToolTipRole and row.step is not None:
            return row.step.name
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid() or self.rows[index.row()].step is None:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable


def axis(width: int) -> tuple[int, int]:
    """Where the time axis begins and ends in a row of `width` pixels."""
    return min(round(width * 0.46), 420), width - NOTE_WIDTH - 12


def ticks(span_s: float, width: int) -> list[float]:
    """Round times on an axis of `span_s` seconds and `width` pixels, from 0 on."""
    size, most = 0.001, max(1, width // TICK_WIDTH)
    while True:
        for part in (1, 2, 5):
            if span_s / (size * part) <= most:
                return [n * size * part for n in range(int(span_s / (size * part)) + 1)]
        size *= 10


class _Head(QWidget):
    """The axis's times above the rows."""

    def __init__(self, theme: Theme, model: StepModel) -> None:
        super().__init__()
        self._theme, self._model = theme, model
        self.setFixedHeight(HEAD)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setFont(theme.font("small"))
        painter.setPen(theme.colour("text3"))
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(self.rect().adjusted(16, 0, 0, 0), middle, tr("Step"))
        painter.drawText(self.rect().adjusted(0, 0, -12, 0), middle | Qt.AlignmentFlag.AlignRight, tr("Time"))
        left, right = axis(self.width())
        if self._model.rows and right - left > 60:
            free = left
            for tick in ticks(self._model.span_s, right - left):
                x = left + round(tick / self._model.span_s * (right - left))
                text = duration(tick).replace(".0 ", " ") if tick else tr("0 s")
                width = painter.fontMetrics().horizontalAdvance(text)
                if x >= free and x + width < right + 8:
                    painter.drawText(QRect(x, 0, width + 2, self.height()), middle, text)
                    free = x + width + 10
        painter.fillRect(QRect(0, self.height() - 1, self.width(), 1), theme.colour("line"))


class _Delegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, icons: Icons, model: StepModel) -> None:
        super().__init__()
        self._theme, self._icons, self._model = theme, icons, model

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(0, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme, row, box = self._theme, self._model.rows[index.row()], option.rect
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if row.step is None:
            painter.fillRect(box, theme.colour("sunken"))
            painter.setFont(theme.font("section"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(box.adjusted(16, 0, -12, 0), Qt.AlignmentFlag.AlignVCenter, row.text)
        else:
            self._paint_step(painter, box, row, row.step, option.state)
        painter.restore()

    def _paint_step(self, painter: QPainter, box: QRect, row: StepRow, step: Step, state: QStyle.StateFlag) -> None:
        theme = self._theme
        left, right = axis(box.width())
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(box, theme.colour("sel"))
            painter.fillRect(QRect(box.x(), box.y(), 3, box.height()), theme.colour("indicator"))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(box, theme.colour("hover"))
        painter.setPen(theme.pen("line"))
        for tick in ticks(self._model.span_s, right - left):
            x = left + tick / self._model.span_s * (right - left)
            painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))
        self._paint_mark(painter, QRect(box.x() + 14, box.y(), 16, box.height()), step)
        painter.setFont(theme.font("mono"))
        painter.setPen(theme.colour("text3" if step.cached or step.started_s is None else "text"))
        place = QRect(box.x() + 38, box.y(), left - 50, box.height())
        text = painter.fontMetrics().elidedText(row.text.replace("\n", " "), Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, text)
        self._paint_bar(painter, box, step, left, right)
        painter.setFont(theme.font("small"))
        painter.setPen(theme.colour("bad" if step.error else "text2"))
        note = box.adjusted(0, 0, -12, 0)
        painter.drawText(note, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, row.note)

    def _paint_mark(self, painter: QPainter, place: QRect, step: Step) -> None:
        if step.error:
            paint_state(painter, self._theme, State.PROBLEM, QRectF(place).center(), 11)
        elif step.cached:
            self._icons.paint(painter, "lightning", "text3", place, 14)
        elif step.ended_s is not None:
            self._icons.paint(painter, "check", "run", place, 14)
        else:
            waits = step.started_s is None
            paint_state(painter, self._theme, State.STOPPED if waits else State.WORKING, QRectF(place).center(), 10)

    def _paint_bar(self, painter: QPainter, box: QRect, step: Step, left: int, right: int) -> None:
        if step.started_s is None:
            return
        model = self._model
        end_s = step.ended_s if step.ended_s is not None else model.end_s
        per_s = (right - left) / model.span_s
        x = left + (step.started_s - model.begin_s) * per_s
        width = max(4.0, (end_s - step.started_s) * per_s)
        token = "bad" if step.error else "text3" if step.cached else "c1" if step.ended_s is None else "start"
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.brush(token))
        x = min(x, right - 4.0)
        painter.drawRoundedRect(QRectF(x, box.center().y() - 3.5, min(width, right - x), 8), 3, 3)


class StepsView(QWidget):
    """Signals: opened(step id): its output is wanted."""

    opened = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = StepModel()
        self._steps: dict[str, Step] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._head = _Head(theme, self.model)
        column.addWidget(self._head)
        self.view = QListView()
        self.view.setProperty("kind", "plain")
        self.view.setAccessibleName(tr("Steps of the build"))
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setModel(self.model)
        self._delegate = _Delegate(theme, icons, self.model)
        self.view.setItemDelegate(self._delegate)
        self.view.activated.connect(self._on_activated)
        column.addWidget(self.view, 1)
        theme.changed.connect(self.view.viewport().update)
        self._clock = QTimer(self)
        self._clock.setInterval(NOW_MS)
        self._clock.timeout.connect(self._refresh)

    def clear(self) -> None:
        self._steps = {}
        self._clock.stop()
        self._refresh()

    def add(self, steps: Sequence[Step]) -> None:
        """Take reports, newer ones in place of older."""
        self._steps |= {step.id: step for step in steps}
        self._refresh()
        if any(step.started_s is not None and step.ended_s is None for step in self._steps.values()):
            self._clock.start()
        else:
            self._clock.stop()

    def stop(self) -> None:
        """No more reports will come."""
        self._clock.stop()

    def name_of(self, step_id: str) -> str:
        step = self._steps.get(step_id)
        return step_id if step is None else step.name

    def _refresh(self) -> None:
        self.model.load(list(self._steps.values()))
        self._head.update()

    def _on_activated(self, index: QModelIndex) -> None:
        if (step := self.model.rows[index.row()].step) is not None:
            self.opened.emit(step.id)
