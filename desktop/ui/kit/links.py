"""A column of links to other things, with a note beside each."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.ui.kit.buttons import Link
from desktop.ui.kit.cards import Label
from desktop.ui.kit.glyphs import StateGlyph
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme


class Links(QScrollArea):
    """Signals: chosen(key)."""

    chosen = Signal(str)

    def __init__(self, theme: Theme, none: str, parent: QWidget | None = None) -> None:
        """`none` is the sentence shown without links."""
        super().__init__(parent)
        self._theme, self._none = theme, none
        self._shown: list[tuple[str, str, str, State | None]] | None = None
        self.setWidgetResizable(True)
        inner = QWidget()
        inner.setObjectName("scrolled")
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(17, 14, 16, 14)
        self._column.setSpacing(8)
        self.setWidget(inner)
        self.tell([])

    def tell(self, links: Sequence[tuple[str, str, str, State | None]]) -> None:
        """Show links of (key, text, note, state)."""
        if list(links) == self._shown:
            return
        self._shown = list(links)
        while item := self._column.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        if not links:
            self._column.addWidget(Label(self._theme, self._none, "body", "text2"))
        for key, text, note, state in links:
            row = QWidget()
            line = QHBoxLayout(row)
            line.setContentsMargins(0, 0, 0, 0)
            line.setSpacing(10)
            if state is not None:
                line.addWidget(StateGlyph(self._theme, state, 10))
            link = Link(self._theme, text)
            link.clicked.connect(lambda _=False, k=key: self.chosen.emit(k))
            line.addWidget(link)
            line.addWidget(Label(self._theme, note, "small", "text2"))
            line.addStretch(1)
            self._column.addWidget(row)
        self._column.addStretch(1)
