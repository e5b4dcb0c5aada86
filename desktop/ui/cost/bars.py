"""A bar of parts with its legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from desktop.ui.cost.model import Part
from desktop.ui.kit.buttons import Link
from desktop.ui.kit.cards import Card, CardTitle
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme

TOKENS = ("c2", "c1", "c5", "c4", "c6", "c3")
REST_TOKEN = "cidle"
LEGEND_COLUMNS = 3
LEAST_WIDTH = 3.0


class StackBar(QWidget):
    """`amounts` side by side, to the scale of `whole`; what they leave of it is drawn as not held."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._amounts: Sequence[float] = ()
        self._whole = 0.0
        self.setFixedHeight(26)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def tell(self, amounts: Sequence[float], whole: float) -> None:
        self._amounts, self._whole = amounts, max(whole, sum(amounts))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, box = QPainter(self), QRectF(self.rect())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        path = QPainterPath()
        path.addRoundedRect(box, 6, 6)
        painter.setClipPath(path)
        painter.fillRect(box, self._theme.colour(REST_TOKEN))
        x = 0.0
        for number, amount in enumerate(self._amounts):
            if amount <= 0 or not self._whole:
                continue
            width = max(LEAST_WIDTH, box.width() * amount / self._whole)
            painter.fillRect(QRectF(x, 0, width, box.height()), self._theme.colour(TOKENS[number % len(TOKENS)]))
            x += width + 2


class Swatch(QWidget):
    """The colour of a part."""

    def __init__(self, theme: Theme, token: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._token = theme, token
        self.setFixedSize(10, 10)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.brush(self._token))
        painter.drawRoundedRect(QRectF(self.rect()), 3, 3)


class PartsCard(Card):
    """A title, the bar, and a legend whose names lead to their pages. Signals: chosen(place)."""

    chosen = Signal(str)

    def __init__(
        self, theme: Theme, icons: Icons, icon: str, title: str, note: str, said: Callable[[float], str],
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """`said(amount)`: an amount in words."""
        super().__init__(theme, parent=parent)
        self._theme, self._said = theme, said
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(14)
        self.head = CardTitle(theme, icons, icon, title)
        self.head.fact.set_text(note)
        self.bar = StackBar(theme)
        self._legend = QGridLayout()
        self._legend.setHorizontalSpacing(24)
        self._legend.setVerticalSpacing(10)
        for number in range(LEGEND_COLUMNS):
            self._legend.setColumnStretch(number, 1)
        self.note = Label(theme, "", "small", "text2")
        self.note.setWordWrap(True)
        self.note.hide()
        column.addWidget(self.head)
        column.addWidget(self.bar)
        column.addLayout(self._legend)
        column.addWidget(self.note)

    def tell(self, parts: Sequence[Part], whole: float, rest: str = "") -> None:
        """Show `parts` of `whole`; `rest` is the word for what they leave of it."""
        self.bar.tell([part.amount for part in parts], whole)
        said = [f"{part.name} {self._said(part.amount)}" for part in parts]
        self.bar.setAccessibleName(", ".join(said))
        while item := self._legend.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        lines = [self._line(TOKENS[n % len(TOKENS)], part) for n, part in enumerate(parts)]
        left = whole - sum(part.amount for part in parts)
        if rest and left > 0:
            lines.append(self._line(REST_TOKEN, Part(rest, left)))
        for number, line in enumerate(lines):
            self._legend.addWidget(line, number // LEGEND_COLUMNS, number % LEGEND_COLUMNS)

    def add_note(self, text: str) -> None:
        """The sentence below the legend; empty: none."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _line(self, token: str, part: Part) -> QWidget:
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(Swatch(self._theme, token))
        if part.place:
            link = Link(self._theme, part.name)
            link.clicked.connect(lambda: self.chosen.emit(part.place))
            row.addWidget(link)
        else:
            row.addWidget(Label(self._theme, part.name, "body", "text2"))
        row.addWidget(Label(self._theme, self._said(part.amount), "section"))
        row.addStretch(1)
        return holder
