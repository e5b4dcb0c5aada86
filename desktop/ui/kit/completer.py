"""Completions of a field: Enter on one accepts it, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QStringListModel, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCompleter, QLineEdit


class Completer(QCompleter):
    """Offers those of `texts` that contain what was typed.

    Qt passes Enter on a completion to the field as well, which would run what the field stands for before the user has
    seen it complete.
    """

    def __init__(self, texts: Sequence[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setModel(QStringListModel(list(texts), self))
        self.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setFilterMode(Qt.MatchFlag.MatchContains)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        popup = self.popup()
        is_enter = isinstance(event, QKeyEvent) and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if watched is popup and event.type() == QEvent.Type.KeyPress and is_enter and popup.currentIndex().isValid():
            text = str(popup.currentIndex().data())
            popup.hide()
            field = self.widget()
            if isinstance(field, QLineEdit):
                field.setText(text)
            return True
        return super().eventFilter(watched, event)
