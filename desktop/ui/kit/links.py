"""A column of links to other things, with a note beside each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.ui.kit.buttons import Link
from desktop.ui.kit.glyphs import StateGlyph
from desktop.ui.kit.labels import Label
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """One line: a link, a note, a state, and the text of a button at its end."""

    key: str
    text: str
    note: str = ""
    state: State | None = None
    act: str = ""


class Links(QScrollArea):
    """Signals: chosen(key), acted(key) for a line's button."""

    chosen = Signal(str)
    acted = Signal(str)

    def __init__(self, theme: Theme, none: str, parent: QWidget | None = None) -> None:
        """`none` is the sentence shown without links."""
        super().__init__(parent)
        self._theme, self._none = theme, none
        self._shown: list[Linked] | None = None
        self.setWidgetResizable(True)
        inner = QWidget()
        inner.setObjectName("scrolled")
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(17, 14, 16, 14)
        self._column.setSpacing(8)
        self.setWidget(inner)
        self.tell([])

    def tell(self, links: Sequence[Linked]) -> None:
        """Show `links` instead of those before."""
        if list(links) == self._shown:
            return
        self._shown = list(links)
        while item := self._column.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        if not links:
            self._column.addWidget(Label(self._theme, self._none, "body", "text2"))
        for each in links:
            row = QWidget()
            line = QHBoxLayout(row)
            line.setContentsMargins(0, 0, 0, 0)
            line.setSpacing(10)
            if each.state is not None:
                line.addWidget(StateGlyph(self._theme, each.state, 10))
            link = Link(self._theme, each.text)
            link.clicked.connect(lambda _=False, k=each.key: self.chosen.emit(k))
            line.addWidget(link)
            line.addWidget(Label(self._theme, each.note, "small", "text2"))
            line.addStretch(1)
            if each.act:
                act = Link(self._theme, each.act)
                act.setAccessibleName(f"{each.act}: {each.text}")
                act.clicked.connect(lambda _=False, k=each.key: self.acted.emit(k))
                line.addWidget(act)
            self._column.addWidget(row)
        self._column.addStretch(1)
