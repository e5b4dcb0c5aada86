"""The five steps of a run, painted: circles on a line, each with its name, its time and one fact."""

from __future__ import annotations

import time
from itertools import pairwise

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QListView, QSizePolicy, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from desktop.client.run import STEP_NAMES, Step, StepState
from desktop.ui.kit.buttons import FocusByKeyboard
from desktop.ui.kit.cards import Card
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.steps import paint_bar
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import counted, disk, duration, part_of, tr
from desktop.ui.run.layers import Index, Layer, LayerModel, LayerRole
from desktop.ui.run.run import Run

CIRCLE = 40
TOP = 25
STEP_ICONS = {
    "look": "magnifying-glass",
    "pull": "download-simple",
    "create": "file-plus",
    "mount": "stack",
    "start": "play",
}
LAYER_ROW = 33
MOST_LAYERS = 7  # with more, the list scrolls and keeps the first unfinished one visible


def step_title(name: str) -> str:
    return {
        "look": tr("Look"),
        "pull": tr("Pull"),
        "create": tr("Create"),
        "mount": tr("Mount"),
        "start": tr("Start"),
    }[name]


def step_promise(name: str) -> str:
    """What a step does, shown before it starts."""
    return {
        "look": tr("on this computer?"),
        "pull": tr("its layers, from the registry"),
        "create": tr("its record"),
        "mount": tr("its files, as an overlay"),
        "start": tr("isolated, with limits"),
    }[name]


class StepMark(FocusByKeyboard):
    """One step: circle, name, time, fact."""

    def __init__(self, theme: Theme, icons: Icons, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._icons, self.name = theme, icons, name
        self.step: Step | None = None
        self.time_text, self.fact = "", ""
        self.fraction: float | None = None
        self.turn = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(120, 150)

    minimumSizeHint = sizeHint

    def tell(self, step: Step | None, time_text: str, fact: str, fraction: float | None) -> None:
        self.step, self.time_text, self.fact, self.fraction = step, time_text, fact, fraction
        self.setAccessibleName(", ".join(part for part in (step_title(self.name), time_text, fact) if part))
        self.setToolTip(fact)
        self.update()

    @property
    def state(self) -> StepState | None:
        return self.step.state if self.step else None

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme, state = self._theme, self.state
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        centre = QPointF(self.width() / 2, TOP + CIRCLE / 2)
        circle = QRectF(centre.x() - CIRCLE / 2, TOP, CIRCLE, CIRCLE)
        box = circle.toRect()
        if state is StepState.DONE or state is StepState.FAILED:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("badfill" if state is StepState.FAILED else "accentfill"))
            painter.drawEllipse(circle)
            self._icons.paint(painter, "x" if state is StepState.FAILED else "check", "onfill", box, 18)
        elif state is StepState.RUNNING:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("accentsoft"))
            painter.drawEllipse(circle.adjusted(2, 2, -2, -2))
            ring = circle.adjusted(-0.5, -0.5, 0.5, 0.5)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.colour("cidle"), 3))
            painter.drawEllipse(ring)
            pen = QPen(theme.colour("indicator"), 3)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            painter.setPen(pen)
            if self.fraction is None:
                painter.drawArc(ring, round((90 - 360 * self.turn) * 16), -110 * 16)
            else:
                painter.drawArc(ring, 90 * 16, -round(360 * 16 * self.fraction))
            self._icons.paint(painter, STEP_ICONS[self.name], "accent", box, 16)
        else:
            painter.setBrush(theme.brush("surface"))
            painter.setPen(QPen(theme.colour("line2"), 1.5))
            painter.drawEllipse(circle.adjusted(0.75, 0.75, -0.75, -0.75))
            icon = "minus" if state is StepState.SKIPPED else STEP_ICONS[self.name]
            self._icons.paint(painter, icon, "text3" if state is StepState.SKIPPED else "text2", box, 16)
        if self.ringed:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(theme.pen("focus", 2))
            painter.drawEllipse(circle.adjusted(-3, -3, 3, 3))
        self._paint_words(painter, state)

    def _paint_words(self, painter: QPainter, state: StepState | None) -> None:
        theme = self._theme
        centre = Qt.AlignmentFlag.AlignCenter
        name_token = {StepState.FAILED: "bad", None: "text2"}.get(state, "text")
        painter.setFont(theme.font("step"))
        painter.setPen(theme.colour(name_token))
        painter.drawText(QRect(0, 74, self.width(), 20), centre, step_title(self.name))
        time_token = {StepState.FAILED: "bad", StepState.RUNNING: "accent"}.get(state or StepState.DONE, "text2")
        painter.setFont(theme.font("name"))
        painter.setPen(theme.colour(time_token))
        painter.drawText(QRect(0, 95, self.width(), 18), centre, self.time_text)
        painter.setFont(theme.font("small"))
        painter.setPen(theme.colour("text2"))
        fact = painter.fontMetrics().elidedText(self.fact, Qt.TextElideMode.ElideRight, self.width() - 8)
        painter.drawText(QRect(0, 114, self.width(), 17), centre, fact)


class FiveSteps(Card):
    """Look, Pull, Create, Mount, Start of one run. Signals: step_chosen(name)."""

    step_chosen = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent=parent)
        self.setFixedHeight(152)
        self.setAccessibleName(tr("The five steps"))
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 16, 0)
        row.setSpacing(0)
        self.marks = {name: StepMark(theme, icons, name) for name in STEP_NAMES}
        for name, mark in self.marks.items():
            row.addWidget(mark)
            mark.clicked.connect(lambda _=False, n=name: self.step_chosen.emit(n))
        self._run: Run | None = None
        self._frames = QTimer(self)
        self._frames.setInterval(1000 // 12)
        self._frames.timeout.connect(self._on_frame)

    def show_promises(self) -> None:
        """Say what each step will do, before a run."""
        for name, mark in self.marks.items():
            mark.tell(None, "", step_promise(name), None)

    def show_run(self, run: Run) -> None:
        self._run = run
        for name, mark in self.marks.items():
            step = run.steps.get(name)
            mark.tell(step, self._time(run, name, step), self._fact(run, name, step), self._fraction(run, name))
        if run.is_running and self.isVisible():
            self._frames.start()
        else:
            self._frames.stop()
        self.update()

    @staticmethod
    def _fraction(run: Run, name: str) -> float | None:
        return run.fraction if name == "pull" else None

    @staticmethod
    def _time(run: Run, name: str, step: Step | None) -> str:
        if step is None:
            usual = run.usual.of(name)
            return "" if usual is None or run.is_over else tr("usually {time}", time=duration(usual / 1000))
        match step.state:
            case StepState.RUNNING:
                passed = time.monotonic() - run.step_began.get(name, time.monotonic())
                return tr("{time} so far", time=duration(passed))
            case StepState.SKIPPED:
                return tr("skipped")
            case StepState.FAILED:
                return tr("failed after {time}", time=duration(step.ms / 1000))
            case _:
                return duration(step.ms / 1000)

    @staticmethod
    def _fact(run: Run, name: str, step: Step | None) -> str:
        if step is None:
            return "" if run.is_over else step_promise(name)
        if step.state is StepState.RUNNING:
            done, total = run.layers.fraction
            return part_of(done, total) if name == "pull" and total else step_promise(name)
        if step.state is StepState.SKIPPED:
            return step.detail
        if step.state is StepState.FAILED:
            return {
                "look": tr("could not ask"),
                "pull": tr("could not get it"),
                "create": tr("was refused"),
                "mount": tr("could not be mounted"),
                "start": tr("could not start"),
            }[name]
        pulled = "pull" in run.steps and run.steps["pull"].state is not StepState.SKIPPED
        if name == "look":
            return tr("not on this computer") if pulled else tr("found on this computer")
        if name == "pull":
            _done, total = run.layers.fraction
            return disk(total) if total else tr("up to date")
        if name == "create":
            return tr("wrote its record")
        if name == "start":
            return step.detail or tr("PID 1 is running")
        return step.detail

    def _on_frame(self) -> None:
        if self._run is not None:
            for mark in self.marks.values():
                mark.turn = (mark.turn + 1 / 14) % 1
            self.show_run(self._run)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._run is not None:
            self.show_run(self._run)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._frames.stop()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        marks = list(self.marks.values())
        y = marks[0].y() + TOP + CIRCLE / 2
        for left, right in pairwise(marks):
            through = left.state is StepState.DONE and right.state not in (None, StepState.SKIPPED)
            skipped = StepState.SKIPPED in (left.state, right.state)
            pen = QPen(self._theme.colour("indicator" if through else "ctl" if skipped else "line2"), 2)
            if not through:
                pen.setDashPattern([2.4, 2.4])
            pen.setCapStyle(Qt.PenCapStyle.RoundCap if through else Qt.PenCapStyle.FlatCap)
            painter.setPen(pen)
            from_x = left.x() + left.width() / 2 + CIRCLE / 2 + 6
            to_x = right.x() + right.width() / 2 - CIRCLE / 2 - 6
            painter.drawLine(QPointF(from_x, y), QPointF(to_x, y))


class _LayerDelegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, icons: Icons, model: LayerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._icons, self._model = theme, icons, model

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(100, LAYER_ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme = self._theme
        rect: QRect = option.rect
        layer = index.data(LayerRole)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if index.row() + 1 < self._model.rowCount():
            painter.setPen(theme.pen("line"))
            painter.drawLine(rect.left(), rect.bottom(), rect.right(), rect.bottom())
        middle = Qt.AlignmentFlag.AlignVCenter
        if isinstance(layer, Layer):
            icon, token = ("check", "text2") if layer.is_done else ("arrow-down", "accent")
            if layer.phase == "Pushing":
                icon = "arrow-up"
            if layer.is_unpacking:
                icon, token = "package", "accent"
            elif layer.word == tr("Waiting"):
                icon, token = "hourglass-simple", "text2"
            if layer.is_moved:
                token = "run"
            short, word = layer.id[:8], layer.word
        else:
            icon, token = "check", "text2"
            short = counted(self._model.here, "{n} layer", "{n} layers")
            word = self._model.here_word
        self._icons.paint(painter, icon, token, QRect(rect.x(), rect.y(), 16, rect.height()))
        painter.setFont(theme.font("mono"))
        painter.setPen(theme.colour("text2"))
        painter.drawText(QRect(rect.x() + 28, rect.y(), 100, rect.height()), middle, short)
        busy = isinstance(layer, Layer) and (layer.is_moving or layer.phase == "Extracting")
        painter.setFont(theme.font("name" if busy else "body"))
        painter.setPen(theme.colour("text" if busy else "text2"))
        painter.drawText(QRect(rect.x() + 144, rect.y(), 150, rect.height()), middle, word)
        if isinstance(layer, Layer):
            self._progress(painter, layer, rect)
        painter.restore()

    def _progress(self, painter: QPainter, layer: Layer, rect: QRect) -> None:
        theme, middle = self._theme, Qt.AlignmentFlag.AlignVCenter
        x = rect.x() + 314
        width = max(60, min(400, rect.right() - x - 278))
        if layer.is_done:
            painter.setFont(theme.font("small"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(QRect(x, rect.y(), 200, rect.height()), middle, duration(layer.ended_s - layer.began_s))
        elif layer.total or not layer.size:
            part = layer.done / layer.total if layer.total else 0
            if layer.phase in ("Verifying Checksum", "Download complete"):
                part = 1.0
            token = "c2" if layer.is_unpacking else "c1"
            if layer.total or layer.word == tr("Waiting"):
                paint_bar(painter, theme, QRectF(x, rect.y() + rect.height() / 2 - 3, width, 6), part, token)
            if layer.total:
                painter.setFont(theme.font("small"))
                painter.setPen(theme.colour("text2"))
                painter.drawText(
                    QRect(x + width + 20, rect.y(), 130, rect.height()), middle, part_of(layer.done, layer.total)
                )
        elif layer.done and layer.phase == "Extracting":  # an amount without a total: no bar
            painter.setFont(theme.font("small"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(QRect(x, rect.y(), 200, rect.height()), middle, disk(layer.done))
        if layer.size:
            painter.setFont(theme.font("smallname"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(rect, middle | Qt.AlignmentFlag.AlignRight, disk(layer.size))


class LayerList(QListView):
    """The layers of a pull or push; the height depends on their number."""

    def __init__(self, theme: Theme, icons: Icons, model: LayerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "plain")
        self.setModel(model)
        self.setItemDelegate(_LayerDelegate(theme, icons, model, self))
        self.setAccessibleName(tr("Layers"))
        self.setSelectionMode(QListView.SelectionMode.NoSelection)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        model.modelReset.connect(self._fit)
        model.dataChanged.connect(self._on_changed)
        self._layers = model
        theme.changed.connect(self.viewport().update)
        self._fit()

    def _fit(self) -> None:
        self.setFixedHeight(min(MOST_LAYERS, max(1, self.model().rowCount())) * LAYER_ROW + 2)

    def _on_changed(self) -> None:
        busy = self._layers.first_busy
        if busy >= 0 and not self.underMouse():
            self.scrollTo(self._layers.index(busy), QListView.ScrollHint.PositionAtTop)
