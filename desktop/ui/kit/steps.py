"""The steps of a VM start: as bars in the banner, as a list on the empty page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt, QTimer
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from desktop.ui.kit.glyphs import paint_state
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import duration, tr

ROW = 27
MOST_BARS = 5
LIST_WIDTH = 380


@dataclass(frozen=True, slots=True, kw_only=True)
class BootStep:
    """One step of the VM's start."""

    name: str  # the host agent's: see the ways in desktop/vm/start
    took_ms: float | None
    detail: str = ""
    done: bool = False
    failed: bool = False

    @property
    def title(self) -> str:
        return {
            "prepare": tr("Prepare"),
            "adopt": tr("Find the running VM"),
            "image": tr("Check the guest image"),
            "accelerator": tr("Find an accelerator"),
            "disk": tr("Find its disk"),
            "qemu": tr("Start QEMU"),
            "kernel": tr("Boot Linux"),
            "load": tr("Load the engine"),
            "template": tr("Save it for later starts"),
            "restore": tr("Restore the saved state"),
            "system": tr("Start the system"),
            "tunnel": tr("Connect and check keys"),
            "engine": tr("Start the engine"),
        }.get(self.name, self.name.capitalize())


class _Steps(QWidget):
    """Steps with their times; the time of a running step is updated while the widget is visible."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.steps: tuple[BootStep, ...] = ()
        self._seen: dict[str, float] = {}
        self._clock = QTimer(self)
        self._clock.setInterval(100)
        self._clock.timeout.connect(self.update)
        theme.changed.connect(self.update)

    def set_steps(self, steps: Sequence[BootStep]) -> None:
        self.steps = tuple(steps)
        now = time.monotonic()
        self._seen = {step.name: self._seen.get(step.name, now) for step in steps if not step.done}
        self.setVisible(bool(steps))
        self.setAccessibleName(", ".join(f"{step.title} {self.time_of(step)}" for step in steps))
        self._run_clock()
        self.update()

    def time_of(self, step: BootStep) -> str:
        if step.done:
            return duration((step.took_ms or 0) / 1000)
        if step.failed:
            return tr("failed")
        return tr("{time} so far", time=duration(time.monotonic() - self._seen.get(step.name, time.monotonic())))

    def _run_clock(self) -> None:
        if self.isVisible() and any(not step.done and not step.failed for step in self.steps):
            self._clock.start()
        else:
            self._clock.stop()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._run_clock()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._clock.stop()


def gathered(steps: Sequence[BootStep], most: int) -> list[BootStep]:
    """Reduce `steps` to at most `most`: the first finished ones are combined into one."""
    surplus = len(steps) - most
    first = list(steps[: surplus + 1])
    if surplus <= 0 or not all(step.done for step in first):
        return list(steps)
    took = sum(step.took_ms or 0 for step in first)
    return [BootStep(name="prepare", took_ms=took, done=True), *steps[surplus + 1 :]]


class StepList(_Steps):
    """One row for each step: glyph, name, detail, time."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._width = LIST_WIDTH

    def set_width(self, width: int) -> None:
        self._width = width
        self._fit()

    def set_steps(self, steps: Sequence[BootStep]) -> None:
        super().set_steps(steps)
        self._fit()

    def _fit(self) -> None:
        self.setFixedSize(self._width, max(1, len(self.steps)) * ROW)

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        middle = Qt.AlignmentFlag.AlignVCenter
        for number, step in enumerate(self.steps):
            y = number * ROW
            state = State.DONE if step.done else State.PROBLEM if step.failed else State.WORKING
            paint_state(painter, theme, state, QPointF(8, y + ROW / 2), 10, time.monotonic() / 1.2 % 1)
            painter.setFont(theme.font("small"))
            painter.setPen(theme.colour("text2" if step.done else "bad" if step.failed else "accent"))
            took = self.time_of(step)
            right = painter.fontMetrics().horizontalAdvance(took)
            painter.drawText(QRectF(0, y, self.width(), ROW), middle | Qt.AlignmentFlag.AlignRight, took)
            room = self.width() - right - 12
            painter.setFont(theme.font("body" if step.done else "section"))
            painter.setPen(theme.colour("text2" if step.done else "text"))
            title = painter.fontMetrics().elidedText(step.title, Qt.TextElideMode.ElideRight, room - 28)
            painter.drawText(QRectF(28, y, room - 28, ROW), middle, title)
            x = 28 + painter.fontMetrics().horizontalAdvance(title) + 8
            painter.setFont(theme.font("small"))
            painter.setPen(theme.colour("text3"))
            detail = painter.fontMetrics().elidedText(step.detail, Qt.TextElideMode.ElideRight, max(0, room - x))
            painter.drawText(QRectF(x, y, max(0, room - x), ROW), middle, detail)


class StepBars(_Steps):
    """The steps side by side, each under its bar: full when done, empty before, because durations are unknown."""

    def set_steps(self, steps: Sequence[BootStep]) -> None:
        self.setFixedHeight(60 if steps else 0)
        super().set_steps(gathered(steps, MOST_BARS))

    def paintEvent(self, _event: QPaintEvent) -> None:
        if not self.steps:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        gap = 12
        width = (self.width() - gap * (len(self.steps) - 1)) / len(self.steps)
        for number, step in enumerate(self.steps):
            x = number * (width + gap)
            paint_bar(painter, self._theme, QRectF(x, 12, width, 4), 1.0 if step.done else 0, "accentfill")
            painter.setFont(self._theme.font("section"))
            painter.setPen(self._theme.colour("text"))
            name = painter.fontMetrics().elidedText(step.title, Qt.TextElideMode.ElideRight, int(width))
            painter.drawText(QRectF(x, 22, width, 20), Qt.AlignmentFlag.AlignVCenter, name)
            painter.setFont(self._theme.font("small"))
            painter.setPen(self._theme.colour("text2" if step.done else "accent"))
            text = ", ".join(part for part in (self.time_of(step), step.detail) if part)
            text = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(width))
            painter.drawText(QRectF(x, 41, width, 18), Qt.AlignmentFlag.AlignVCenter, text)


def paint_bar(painter: QPainter, theme: Theme, box: QRectF, fraction: float, token: str) -> None:
    """A round bar filled to `fraction`."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    radius = box.height() / 2
    painter.setBrush(theme.brush("cidle"))
    painter.drawRoundedRect(box, radius, radius)
    if fraction > 0:
        painter.setBrush(theme.brush(token))
        width = max(box.height(), box.width() * min(1.0, fraction))
        painter.drawRoundedRect(QRectF(box.x(), box.y(), width, box.height()), radius, radius)
    painter.restore()
