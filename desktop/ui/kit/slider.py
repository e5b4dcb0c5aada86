"""A slider that tells only values that the user has settled on."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QSlider, QWidget

SETTLED_MS = 400  # after the last key


class Slider(QSlider):
    """Signals: settled(value): the mouse let go, or no key was pressed for a moment. `step`: what one key moves."""

    settled = Signal(int)

    def __init__(self, name: str, least: int, most: int, step: int = 1, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._step = step
        self._told = 0  # what counts, in steps: a click that moves nothing sets nothing
        self.setAccessibleName(name)
        self.setRange(least // step, max(most // step, least // step + 1))
        self.setPageStep(max(1, (self.maximum() - self.minimum()) // 8))
        self.setFixedHeight(28)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(SETTLED_MS)
        self._pause.timeout.connect(self._tell)
        self.sliderReleased.connect(self._tell)
        self.actionTriggered.connect(self._on_action)

    def show_value(self, value: float) -> None:
        """Take `value` as what counts, and move there unless the user is moving it."""
        self._told = round(value / self._step)
        if not self.isSliderDown() and not self._pause.isActive():
            self.setValue(self._told)
            self._told = self.value()  # the nearest one that it can show

    @property
    def chosen(self) -> int:
        return self.value() * self._step

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the page scrolls

    def _on_action(self) -> None:
        if not self.isSliderDown():
            self._pause.start()

    def _tell(self) -> None:
        self._pause.stop()
        if self.value() != self._told:
            self._told = self.value()
            self.settled.emit(self.chosen)
