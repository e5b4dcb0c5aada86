"""Surfaces with a border, and what stands on them: titles, facts, a banner."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import (
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.glyphs import StateGlyph
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import ElidedLabel, IconLabel, Label
from desktop.ui.kit.states import State
from desktop.ui.kit.steps import BootStep, StepBars
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr


class Card(QFrame):
    """A surface with a border; `edge` is the colour token of a bar at its left that marks a problem."""

    def __init__(self, theme: Theme, edge: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.edge = edge
        theme.changed.connect(self.update)

    def set_edge(self, edge: str) -> None:
        self.edge = edge
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(self._theme.colour("line"), 1))
        painter.setBrush(self._theme.brush("surface"))
        painter.drawRoundedRect(box, 10, 10)
        if self.edge:
            path = QPainterPath()
            path.addRoundedRect(QRectF(self.rect()), 10, 10)
            painter.setClipPath(path)
            painter.fillRect(QRect(0, 0, 4, self.height()), self._theme.colour(self.edge))


class CardTitle(QWidget):
    """Icon, title, a note beside it, and a second note at the right."""

    def __init__(self, theme: Theme, icons: Icons, icon: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(IconLabel(theme, icons, icon, "text2", 18))
        self.title = Label(theme, title, "section")
        self.fact = ElidedLabel(theme, "", "small", "text2")
        self.right = Label(theme, "", "small", "text2")
        row.addWidget(self.title)
        row.addWidget(self.fact)
        row.addStretch(1)
        row.addWidget(self.right)
        self._row = row

    def add(self, widget: QWidget) -> None:
        """A control at the right end."""
        self._row.addWidget(widget)


class FactsView(QScrollArea):
    """Names and values as a view of their own, which scrolls."""

    def __init__(self, theme: Theme, icons: Icons, icon: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setAccessibleName(title)
        inner = QWidget()
        inner.setObjectName("scrolled")
        column = QVBoxLayout(inner)
        column.setContentsMargins(17, 14, 16, 14)
        self._card = FactsCard(theme, icons, icon, title)
        column.addWidget(self._card)
        column.addStretch(1)
        self.setWidget(inner)

    def tell(self, facts: list[tuple[str, str, bool]]) -> None:
        """Show rows of (name, value, whether to use the mono font)."""
        self._card.tell(facts)


class Banner(Card):
    """Shows above a page that contact is lost or the VM is starting, with the steps of the start and a button."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, "start", parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(24, 12, 16, 16)
        row.setSpacing(14)
        self.glyph = StateGlyph(theme, State.WORKING, 14)
        row.addWidget(self.glyph, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(6)
        self.title = Label(theme, "", "step")
        self.title.setWordWrap(True)
        self.sentence = Label(theme, "", "body", "text2")
        self.sentence.setWordWrap(True)
        self.steps = StepBars(theme)
        column.addWidget(self.title)
        column.addWidget(self.sentence)
        column.addWidget(self.steps)
        row.addLayout(column, 1)
        self.button = Button(theme, icons, tr("Stop trying"))
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)

    def tell(self, state: State, title: str, sentence: str, steps: Sequence[BootStep] = ()) -> None:
        self.glyph.set_state(state)
        self.set_edge(state.token)
        self.title.setText(title)
        self.sentence.setText(sentence)
        self.steps.set_steps(steps)


class RoundedView(QWidget):
    """A card's border and round corners, painted over the square corners of the view inside."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        outside, inside = QPainterPath(), QPainterPath()
        outside.addRect(QRectF(self.rect()))
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        inside.addRoundedRect(box, 10, 10)
        painter.fillPath(outside.subtracted(inside), self._theme.colour("canvas"))
        painter.setPen(self._theme.pen("line"))
        painter.drawPath(inside)


class Framed(QWidget):
    """`view` with a card's border and round corners around it."""

    def __init__(self, theme: Theme, view: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        inner = QVBoxLayout(self)
        inner.setContentsMargins(1, 1, 1, 1)
        inner.addWidget(view)
        self._frame = RoundedView(theme, self)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._frame.setGeometry(self.rect())
        self._frame.raise_()


class FactsCard(Card):
    """Names and values in two columns; values can be copied."""

    def __init__(self, theme: Theme, icons: Icons, icon: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent=parent)
        self._theme = theme
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(12)
        self.head = CardTitle(theme, icons, icon, title)
        column.addWidget(self.head)
        self._facts: list[tuple[str, str, bool]] | None = None
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(9)
        self._grid.setColumnStretch(1, 1)
        column.addLayout(self._grid)
        column.addStretch(1)

    def tell(self, facts: list[tuple[str, str, bool]]) -> None:
        """Show rows of (name, value, whether to use the mono font: ids, addresses, paths). The same ones stay as they
        are, with what the user has selected in them."""
        if facts == self._facts:
            return
        self._facts = facts
        while item := self._grid.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        for row, (name, value, mono) in enumerate(facts):
            self._grid.addWidget(Label(self._theme, name, "small", "text2"), row, 0, Qt.AlignmentFlag.AlignTop)
            label = Label(self._theme, value, "mono" if mono else "name")
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setAccessibleName(f"{name}: {value}")
            self._grid.addWidget(label, row, 1)
        self.setVisible(bool(facts))
