"""The engine's own data about one object, as JSON with a search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from PySide6.QtGui import QGuiApplication, QTextOption
from PySide6.QtWidgets import (
    QHBoxLayout,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.fields import Field
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr


class InspectTab(QWidget):
    """The inspect data as JSON, with search."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 12, 24, 12)
        column.setSpacing(10)
        row = QHBoxLayout()
        self.search = Field(theme, icons, tr("Find"), "magnifying-glass")
        self.search.setFixedWidth(320)
        copy = Button(theme, icons, tr("Copy"), "copy-simple")
        row.addWidget(self.search)
        row.addStretch(1)
        row.addWidget(copy)
        column.addLayout(row)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setWordWrapMode(QTextOption.WrapMode.NoWrap)
        self.text.setAccessibleName(tr("Inspect"))
        column.addWidget(self.text, 1)
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.text.toPlainText()))
        self.search.returnPressed.connect(self._find)
        self.search.textChanged.connect(self._find)
        theme.changed.connect(self._on_theme)
        self._on_theme()

    def _on_theme(self) -> None:
        self.text.setFont(self._theme.font("mono"))

    def tell(self, data: Mapping[str, Any]) -> None:
        text = json.dumps(data, indent=2, ensure_ascii=False)
        if text != self.text.toPlainText():
            at = self.text.verticalScrollBar().value()
            self.text.setPlainText(text)
            self.text.verticalScrollBar().setValue(at)

    def clear(self) -> None:
        self.text.clear()

    def fail(self, why: str) -> None:
        """Show why there is no data, in place of what was read before."""
        self.text.setPlainText(why)

    def _find(self) -> None:
        if (needle := self.search.text()) and not self.text.find(needle):
            self.text.moveCursor(self.text.textCursor().MoveOperation.Start)
            self.text.find(needle)
