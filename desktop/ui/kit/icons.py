"""Phosphor icons by name and colour token, as pixmaps that are cached by name, token, size and device pixel ratio.

The font and the names of its characters are QtAwesome's (`fonts/phosphor-*`). Its code is not loaded: it brings all of
qtpy and OpenGL, 16 MB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QFont, QFontDatabase, QIcon, QPainter, QPixmap

from desktop.ui.kit.theme import Theme

GLYPH_SHARE = 0.98  # of the icon's height; the rest is bearing


@cache
def _phosphor() -> tuple[str, Mapping[str, str]]:
    """The font's family, and its characters by name. Raises FileNotFoundError without QtAwesome."""
    spec = find_spec("qtawesome")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the font of the icons is not here: install QtAwesome")
    fonts = Path(spec.submodule_search_locations[0]) / "fonts"
    [charmap], [font] = fonts.glob("phosphor-charmap-*.json"), fonts.glob("phosphor-[0-9]*.ttf")
    number = QFontDatabase.addApplicationFont(str(font))
    codes = json.loads(charmap.read_text())
    return QFontDatabase.applicationFontFamilies(number)[0], {name: chr(int(code, 16)) for name, code in codes.items()}


class Icons:
    """Phosphor's icons in the theme's colours."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme

    def pixmap(self, name: str, token: str, size: int = 16, ratio: float = 1.0) -> QPixmap:
        """A square of `size` logical pixels; `ratio` is the device pixel ratio. Raises KeyError for an unknown name."""
        key = ("icon", name, token, size, ratio)
        if (found := self._theme.cached(key)) is not None:
            return found
        family, characters = _phosphor()
        side = round(size * ratio)
        pixmap = QPixmap(side, side)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        font = QFont(family)
        font.setPixelSize(round(GLYPH_SHARE * side))
        painter.setFont(font)
        painter.setPen(self._theme.colour(token))
        painter.drawText(QRectF(0, 0, side, side), Qt.AlignmentFlag.AlignCenter, characters[name])
        painter.end()
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
