"""What a page shows in place of content."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.glyphs import EmptyArt
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr


class EmptyPage(QWidget):
    """Shown by a page that has no content: picture, title, sentence, buttons and a command."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        title: str,
        sentence: str,
        buttons: Sequence[Button] = (),
        command: str = "",
        *,
        art: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 0, 24, 0)
        column.setSpacing(0)
        column.addStretch(1)
        centre = Qt.AlignmentFlag.AlignHCenter
        if art:
            column.addWidget(EmptyArt(theme), 0, centre)
            column.addSpacing(34)
        self.title = Label(theme, title, "title")
        self.sentence = Label(theme, sentence, "lead", "text2")
        self.sentence.setWordWrap(False)
        column.addWidget(self.title, 0, centre)
        column.addSpacing(8)
        column.addWidget(self.sentence, 0, centre)
        self.more = QVBoxLayout()  # for widgets that a page adds below the sentence
        column.addLayout(self.more)
        if buttons:
            column.addSpacing(18)
            row = QHBoxLayout()
            row.setSpacing(10)
            row.addStretch(1)
            for button in buttons:
                row.addWidget(button)
            row.addStretch(1)
            column.addLayout(row)
        if command:
            column.addSpacing(20)
            column.addWidget(Label(theme, tr("or in a terminal"), "small", "text2"), 0, centre)
            column.addSpacing(10)
            well = CodeWell(theme, icons, command)
            well.setFixedWidth(392)
            column.addWidget(well, 0, centre)
        column.addStretch(3)
