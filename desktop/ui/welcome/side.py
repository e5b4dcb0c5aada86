"""The left side of the welcome: its three steps, those of the engine's start, and what Cove does not do."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from desktop.ui.kit.buttons import FocusByKeyboard
from desktop.ui.kit.glyphs import Mark
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import IconLabel, Label
from desktop.ui.kit.steps import BootStep, StepList
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

WIDTH, NARROW = 400, 280
CIRCLE = 24
INSET, NARROW_INSET = 40, 20
BLEED = 16  # of the current step's ground, on each side


class StageState(Enum):
    OPEN = auto()
    CURRENT = auto()
    DONE = auto()
    FAILED = auto()


class Stage(FocusByKeyboard):
    """One of the three steps: its number or a check, its title, and a time at the right. A click shows it."""

    def __init__(self, theme: Theme, icons: Icons, number: int, title: str, of: int) -> None:
        super().__init__()
        self._theme, self._icons, self._number, self._of = theme, icons, number, of
        self.setText(title)
        self.state, self.is_shown, self.right = StageState.OPEN, False, ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)
        self.tell(StageState.OPEN, is_shown=False)

    def tell(self, state: StageState, *, is_shown: bool, right: str = "") -> None:
        """`is_shown`: its content is at the right of the window."""
        self.state, self.is_shown, self.right = state, is_shown, right
        word = {StageState.DONE: tr("done"), StageState.FAILED: tr("failed")}.get(state, "")
        where = tr("Step {n} of {of}: {title}", n=self._number, of=self._of, title=self.text())
        self.setAccessibleName(", ".join(part for part in (where, word, right) if part))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(NARROW, max(40, QFontMetrics(self._theme.font("step")).height() + 20))

    minimumSizeHint = sizeHint

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme, box = self._theme, QRectF(self.rect())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.is_shown or self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("accentsoft" if self.is_shown else "hover"))
            painter.drawRoundedRect(box, 8, 8)
        if self.ringed:
            painter.setPen(theme.pen("focus", 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 8, 8)
        circle = QRectF(BLEED + 2, (box.height() - CIRCLE) / 2, CIRCLE, CIRCLE)
        self._paint_circle(painter, circle)
        middle = Qt.AlignmentFlag.AlignVCenter
        left = BLEED + 40
        painter.setFont(theme.font("small"))
        right = painter.fontMetrics().horizontalAdvance(self.right)
        painter.setPen(theme.colour("text2"))
        painter.drawText(box.adjusted(0, 0, -BLEED, 0), middle | Qt.AlignmentFlag.AlignRight, self.right)
        painter.setFont(theme.font("step" if self.is_shown or self.state is not StageState.OPEN else "lead"))
        painter.setPen(theme.colour("text" if self.is_shown or self.state is not StageState.OPEN else "text2"))
        room = self.width() - left - right - BLEED - 8
        title = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRectF(left, 0, room, box.height()), middle, title)

    def _paint_circle(self, painter: QPainter, circle: QRectF) -> None:
        theme = self._theme
        if self.state in (StageState.DONE, StageState.FAILED):
            is_done = self.state is StageState.DONE
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("accentfill" if is_done else "badfill"))
            painter.drawEllipse(circle)
            self._icons.paint(painter, "check" if is_done else "x", "onfill", circle.toRect(), 12)
            return
        token = "indicator" if self.state is StageState.CURRENT else "line2"
        painter.setBrush(theme.brush("surface"))
        painter.setPen(QPen(theme.colour(token), 2 if self.state is StageState.CURRENT else 1))
        painter.drawEllipse(circle.adjusted(1, 1, -1, -1))
        painter.setFont(theme.font("smallsection"))
        painter.setPen(theme.colour("accent" if self.state is StageState.CURRENT else "text2"))
        painter.drawText(circle, Qt.AlignmentFlag.AlignCenter, str(self._number))


class Side(QWidget):
    """Signals: chosen(number of a step, from 0)."""

    chosen = Signal(int)

    def __init__(self, theme: Theme, icons: Icons, titles: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._column = column = QVBoxLayout(self)
        column.setSpacing(0)
        head = QHBoxLayout()
        head.setContentsMargins(BLEED, 0, 0, 0)
        head.setSpacing(14)
        head.addWidget(Mark(theme, 28))
        head.addWidget(Label(theme, "Cove", "title"))
        head.addStretch(1)
        column.addLayout(head)
        column.addSpacing(36)
        title = Label(theme, tr("Welcome to Cove, in three steps"), "title")
        title.setWordWrap(True)
        title.setContentsMargins(BLEED, 0, BLEED, 0)
        column.addWidget(title)
        column.addSpacing(20)
        self.stages = [Stage(theme, icons, n, text, len(titles)) for n, text in enumerate(titles, start=1)]
        self.boot = StepList(theme)
        self.boot.hide()
        for number, stage in enumerate(self.stages):
            column.addWidget(stage)
            stage.clicked.connect(lambda _=False, n=number: self.chosen.emit(n))
            if number == 0:
                row = QHBoxLayout()
                row.setContentsMargins(BLEED + 40, 0, BLEED, 0)
                row.addWidget(self.boot)
                column.addLayout(row)
            column.addSpacing(12)
        column.addStretch(1)
        for icon, words in (
            ("user", tr("No account, ever")),
            ("eye-slash", tr("Nothing is sent anywhere")),
            ("folder-simple", tr("Existing Docker files are left alone")),
        ):
            row = QHBoxLayout()
            row.setContentsMargins(BLEED + 5, 5, 0, 5)
            row.setSpacing(19)
            row.addWidget(IconLabel(theme, icons, icon, "text2", 16))
            label = Label(theme, words, "body", "text2")
            label.setWordWrap(True)
            row.addWidget(label, 1)
            column.addLayout(row)
        theme.changed.connect(self.update)
        self.set_narrow(False)

    def set_narrow(self, narrow: bool) -> None:
        width, inset = (NARROW, NARROW_INSET) if narrow else (WIDTH, INSET)
        self.setFixedWidth(width)
        self._column.setContentsMargins(inset - BLEED, 28 if narrow else 42, inset - BLEED, 32)
        self.boot.set_width(width - 2 * inset - 40)

    def show_boot(self, steps: Sequence[BootStep]) -> None:
        self.boot.set_steps(steps)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._theme.colour("sidebar"))
        painter.fillRect(QRect(self.width() - 1, 0, 1, self.height()), self._theme.colour("line"))
