"""The line above a page: its title and a short summary of its content."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout

from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme


class PageHead(QHBoxLayout):
    """`title` and `summary` are labels; the summary begins empty."""

    def __init__(self, theme: Theme, title: str) -> None:
        super().__init__()
        self.setContentsMargins(0, 5, 0, 0)
        self.setSpacing(13)
        self.title = Label(theme, title, "title")
        self.title.setFixedHeight(50)
        self.summary = Label(theme, "", "body", "text2")
        self.addWidget(self.title)
        self.addWidget(self.summary)
        self.addStretch(1)
