"""Text-only tabs."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import (
    QTabBar,
    QWidget,
)

from desktop.ui.kit.theme import Theme


class Tabs(QTabBar):
    """Text-only tabs; the current one is underlined."""

    def __init__(self, theme: Theme, names: tuple[str, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("tabs")
        self._theme = theme
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(False)
        self.setElideMode(Qt.TextElideMode.ElideNone)
        theme.changed.connect(self._on_theme)
        self._on_theme()
        for name in names:
            self.addTab(name)
        self.setFixedHeight(40)

    def _on_theme(self) -> None:
        self.setFont(self._theme.font("section"))
        self.updateGeometry()

    def tabSizeHint(self, index: int) -> QSize:
        text = self.tabText(index).replace("&&", "&")
        return QSize(QFontMetrics(self._theme.font("section")).horizontalAdvance(text) + 27, 40)

    def minimumTabSizeHint(self, index: int) -> QSize:
        return self.tabSizeHint(index)
