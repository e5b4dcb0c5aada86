"""The groups of settings, as a column of buttons of which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QButtonGroup, QSizePolicy, QVBoxLayout, QWidget

from desktop.ui.kit.buttons import FocusByKeyboard
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme

WIDTH = 176


class _Entry(FocusByKeyboard):
    def __init__(self, theme: Theme, icons: Icons, icon: str, text: str) -> None:
        super().__init__()
        self._theme, self._icons, self._icon = theme, icons, icon
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, 32)

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect())
        if self.isChecked() or self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("accentsoft" if self.isChecked() else "hover"))
            painter.drawRoundedRect(box, 6, 6)
        if self.isChecked():
            painter.setBrush(theme.brush("indicator"))
            painter.drawRoundedRect(QRectF(0, 8, 3, self.height() - 16), 1.5, 1.5)
        if self.ringed:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(theme.pen("focus", 2))
            painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 5, 5)
        token = "accent" if self.isChecked() else "text2"
        self._icons.paint(painter, self._icon, token, QRect(10, 0, 18, self.height()))
        painter.setFont(theme.font("section" if self.isChecked() else "name"))
        painter.setPen(theme.colour("text" if self.isChecked() else "text2"))
        place = self.rect().adjusted(36, 0, -6, 0)
        text = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, text)


class Nav(QWidget):
    """Signals: chosen(key). `entries` are (key, icon, text); Tab comes to the chosen one, arrows move."""

    chosen = Signal(str)

    def __init__(
        self, theme: Theme, icons: Icons, entries: Sequence[tuple[str, str, str]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._keys = [key for key, _, _ in entries]
        for number, (_, icon, text) in enumerate(entries):
            entry = _Entry(theme, icons, icon, text)
            self._group.addButton(entry, number)
            column.addWidget(entry)
        column.addStretch(1)
        self._group.idToggled.connect(self._on_toggled)
        self.choose(self._keys[0])

    @property
    def current(self) -> str:
        return self._keys[self._group.checkedId()]

    def choose(self, key: str) -> None:
        self._group.button(self._keys.index(key)).setChecked(True)

    def focus_target(self) -> QWidget:
        return self._group.button(self._group.checkedId())

    def _on_toggled(self, number: int, on: bool) -> None:
        if on:
            self.chosen.emit(self._keys[number])
