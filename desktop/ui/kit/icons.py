"""Phosphor icons by name and colour token, as pixmaps that are cached by name, token, size and device pixel ratio."""

from __future__ import annotations

import qtawesome
from PySide6.QtCore import QRect, QSize
from PySide6.QtGui import QIcon, QPainter, QPixmap

from desktop.ui.kit.theme import Theme


class Icons:
    """`ph` icons of QtAwesome in the theme's colours; `name` without the set's prefix."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme

    def pixmap(self, name: str, token: str, size: int = 16, ratio: float = 1.0) -> QPixmap:
        """A square of `size` logical pixels; `ratio` is the device pixel ratio."""
        key = ("icon", name, token, size, ratio)
        if (found := self._theme.cached(key)) is not None:
            return found
        icon = qtawesome.icon(f"ph.{name}", color=self._theme.colour(token), scale_factor=1.12)
        pixmap: QPixmap = icon.pixmap(QSize(round(size * ratio), round(size * ratio)), 1.0)
        pixmap.setDevicePixelRatio(ratio)
        return self._theme.keep(key, pixmap)

    def icon(self, name: str, token: str = "text2") -> QIcon:
        """A QIcon for menus and actions, which choose the size."""
        icon = QIcon()
        for size in (16, 32):
            icon.addPixmap(self.pixmap(name, token, size))
        return icon

    def paint(self, painter: QPainter, name: str, token: str, box: QRect, size: int = 16) -> None:
        """Paint the icon centred in `box`."""
        pixmap = self.pixmap(name, token, size, painter.device().devicePixelRatioF())
        painter.drawPixmap(box.x() + (box.width() - size) // 2, box.y() + (box.height() - size) // 2, pixmap)
