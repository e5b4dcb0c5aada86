"""The look of the window as one object: colours, fonts, style sheet, palette, and the pixmaps made from them.

A `Theme` is created once and passed to everything that paints. Its caches are cleared when the colours change, and
`changed` makes painted widgets repaint; styled widgets follow the application's style sheet.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from itertools import pairwise
from string import Template

from PySide6.QtCore import QObject, QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QPainter,
    QPalette,
    QPen,
    QPixmap,
    QRadialGradient,
)
from PySide6.QtWidgets import QApplication

from desktop.ui.kit.tokens import SCHEMES, SCRIM_ALPHA, SHADOW_ALPHA, Scheme, Tokens, high_contrast

UI_FALLBACKS = ("Inter", "Segoe UI", "Cantarell", "Noto Sans", "DejaVu Sans")
MONO_FAMILIES = ("JetBrains Mono", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "DejaVu Sans Mono")
# Font names that Qt reports if the desktop sets no font. They are ignored in favour of the first fallback.
GENERIC_FAMILIES = frozenset({"", "Sans", "Sans Serif", "sans-serif", "MS Shell Dlg 2", "Bitstream Vera Sans"})
BASE_STYLE = "Fusion"
MIN_BASE_PX = 13
DISPLAY_FROM_PX = 16

# Role: (pixels above the base size, weight).
ROLES = {
    "display": (13, 600),
    "title": (7, 600),
    "heading": (3, 600),
    "figure": (5, 600),
    "section": (0, 600),
    "step": (1, 600),
    "lead": (1, 400),
    "body": (0, 400),
    "name": (0, 500),
    "small": (-1, 400),
    "smallname": (-1, 500),
    "smallsection": (-1, 600),
    "caption": (-2, 400),
    "captionname": (-2, 500),
    "input": (4, 500),
}
MONO_ROLES = {"mono": (-1, 400), "monobold": (-1, 700), "monosmall": (-2, 400), "monobody": (0, 400)}


@cache
def _system_family() -> str:
    family = QApplication.font().family()
    if family not in GENERIC_FAMILIES and QGuiApplication.platformName() not in ("offscreen", "minimal"):
        return family
    installed = set(QFontDatabase.families())
    return next((name for name in UI_FALLBACKS if name in installed), family)


@cache
def _system_px() -> int:
    """The desktop's text size in logical pixels, 0 if unknown. Call it before the theme sets the application's font."""
    points = QApplication.font().pointSizeF()
    return round(points * QGuiApplication.primaryScreen().logicalDotsPerInch() / 72) if points > 0 else 0


def _ui_families(*, large: bool) -> list[str]:
    """The font families to use. Without a variable font file, Inter's large sizes are a separate family."""
    family = _system_family()
    cut = ["Inter Display"] if large and family == "Inter" and "Inter Display" in QFontDatabase.families() else []
    return [*cut, family, *(name for name in UI_FALLBACKS if name != family)]


@cache
def _mono_family() -> str:
    installed = set(QFontDatabase.families())
    fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family()
    return next((name for name in MONO_FAMILIES if name in installed), fixed)


class Theme(QObject):
    """Colours and fonts by name. `scheme` None follows the desktop's own choice of light or dark, and its changes.

    Signals: changing(), changed(): before and after the application's style sheet is another one.
    """

    changing = Signal()
    changed = Signal()

    def __init__(self, scheme: Scheme | None = None, zoom: int = 0) -> None:
        super().__init__()
        self.chosen = scheme  # None follows the desktop
        self.scheme: Scheme = scheme or self._desktop_scheme()
        self.zoom = max(-3, min(3, zoom))
        self.tokens: Tokens = SCHEMES[self.scheme]
        self._colours: dict[str, QColor] = {}
        self._pens: dict[tuple[str, float], QPen] = {}
        self._fonts: dict[str, QFont] = {}
        self._pixmaps: dict[tuple[object, ...], QPixmap] = {}
        hints = QGuiApplication.styleHints()
        hints.colorSchemeChanged.connect(self._on_desktop_scheme)
        self._choose_tokens()

    # what the desktop wants ------------------------------------------------------------------------------------------

    @staticmethod
    def _desktop_scheme() -> Scheme:
        return "dark" if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark else "light"

    def _on_desktop_scheme(self) -> None:
        if self.chosen is None and (wanted := self._desktop_scheme()) != self.scheme:
            self._switch(wanted)

    def set_scheme(self, scheme: Scheme | None) -> None:
        """Use `scheme` from now on; None follows the desktop again."""
        self.chosen = scheme
        self._switch(scheme or self._desktop_scheme())

    def set_zoom(self, zoom: int) -> None:
        """Scale the text by steps of one pixel, -3 to +3."""
        self.zoom = max(-3, min(3, zoom))
        self._switch(self.scheme)

    def _switch(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self._choose_tokens()
        app = QApplication.instance()
        if isinstance(app, QApplication):
            self.changing.emit()
            self.apply(app)
        self.changed.emit()

    def _choose_tokens(self) -> None:
        self.tokens = SCHEMES[self.scheme]
        accessibility = getattr(QGuiApplication.styleHints(), "accessibility", None)  # Qt 6.10
        if accessibility is not None:
            preference = accessibility().contrastPreference()
            if preference == Qt.ContrastPreference.HighContrast:
                self.tokens = high_contrast(self.tokens)
        for cached in (self._colours, self._pens, self._fonts, self._pixmaps):
            cached.clear()

    # by name ---------------------------------------------------------------------------------------------------------

    def colour(self, token: str) -> QColor:
        """The colour `token`; shared, so do not modify it."""
        try:
            return self._colours[token]
        except KeyError:
            return self._colours.setdefault(token, QColor(self.tokens[token]))

    def brush(self, token: str) -> QBrush:
        return QBrush(self.colour(token))

    def pen(self, token: str, width: float = 1.0) -> QPen:
        """A solid pen with round ends, `width` in logical pixels."""
        key = (token, width)
        if key not in self._pens:
            pen = QPen(self.colour(token), width)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            self._pens[key] = pen
        return self._pens[key]

    def mixed(self, token: str, alpha: float) -> QColor:
        """The colour `token` with `alpha` from 0 to 1."""
        colour = QColor(self.colour(token))
        colour.setAlphaF(alpha)
        return colour

    def scrim(self) -> QColor:
        return self.mixed("shadow", SCRIM_ALPHA[self.scheme])

    @property
    def base_px(self) -> int:
        return max(MIN_BASE_PX, min(_system_px(), 16)) + self.zoom

    def font(self, role: str) -> QFont:
        """The font of `role`, with tabular figures."""
        if role not in self._fonts:
            mono = role in MONO_ROLES
            above, weight = (MONO_ROLES if mono else ROLES)[role]
            pixels = self.base_px + above
            font = QFont([_mono_family()] if mono else _ui_families(large=pixels >= DISPLAY_FROM_PX))
            font.setPixelSize(pixels)
            font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
            font.setWeight(QFont.Weight(weight))
            font.setFeature(QFont.Tag.fromString("calt" if mono else "tnum"), 0 if mono else 1)
            if mono:
                font.setStyleHint(QFont.StyleHint.Monospace)
                font.setFixedPitch(True)
            self._fonts[role] = font
        return self._fonts[role]

    # made from both --------------------------------------------------------------------------------------------------

    def cached(self, key: tuple[object, ...]) -> QPixmap | None:
        return self._pixmaps.get(key)

    def keep(self, key: tuple[object, ...], pixmap: QPixmap) -> QPixmap:
        """Remember `pixmap` until the colours change; the oldest is dropped if there are too many."""
        if len(self._pixmaps) > 2_000:
            del self._pixmaps[next(iter(self._pixmaps))]
        self._pixmaps[key] = pixmap
        return pixmap

    def shadow(self, size: int = 28) -> QPixmap:
        """A nine-patch of a soft shadow: corners of `size` pixels, stretched by `draw_shadow`."""
        key = ("shadow", size)
        if (found := self.cached(key)) is not None:
            return found
        side = 2 * size + 8
        pixmap = QPixmap(side, side)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setPen(Qt.PenStyle.NoPen)
        alpha = SHADOW_ALPHA[self.scheme]
        steps = ((0.0, alpha), (0.35, alpha * 0.55), (0.7, alpha * 0.14), (1.0, 0.0))
        for centre, area in (
            (QPointF(size, size), QRectF(0, 0, size, size)),
            (QPointF(size + 8, size), QRectF(size + 8, 0, size, size)),
            (QPointF(size, size + 8), QRectF(0, size + 8, size, size)),
            (QPointF(size + 8, size + 8), QRectF(size + 8, size + 8, size, size)),
        ):
            gradient = QRadialGradient(centre, size)
            for place, strength in steps:
                gradient.setColorAt(place, self.mixed("shadow", strength))
            painter.fillRect(area, gradient)
        for offset in range(size):
            part = 1 - offset / size  # 0 beside the box, 1 at the outer edge
            strength = _between(steps, part)
            colour = self.mixed("shadow", strength)
            painter.fillRect(QRectF(size, offset, 8, 1), colour)
            painter.fillRect(QRectF(size, side - 1 - offset, 8, 1), colour)
            painter.fillRect(QRectF(offset, size, 1, 8), colour)
            painter.fillRect(QRectF(side - 1 - offset, size, 1, 8), colour)
        painter.fillRect(QRectF(size, size, 8, 8), self.mixed("shadow", alpha))
        painter.end()
        return self.keep(key, pixmap)

    def draw_shadow(self, painter: QPainter, box: QRect, size: int = 28, drop: int = 10) -> None:
        """Paint the shadow of a floating `box`; it reaches `size` outside, `drop` lower than the box."""
        patch = self.shadow(size)
        side = patch.width()
        inner = box.translated(0, drop).adjusted(8, 8, -8, -8)
        xs = (inner.left() - size, inner.left(), inner.right() + 1, inner.right() + 1 + size)
        ys = (inner.top() - size, inner.top(), inner.bottom() + 1, inner.bottom() + 1 + size)
        cuts = (0, size, side - size, side)
        for column in range(3):
            for row in range(3):
                target = QRect(xs[column], ys[row], xs[column + 1] - xs[column], ys[row + 1] - ys[row])
                width, height = cuts[column + 1] - cuts[column], cuts[row + 1] - cuts[row]
                painter.drawPixmap(target, patch, QRect(cuts[column], cuts[row], width, height))

    def palette(self) -> QPalette:
        palette = QPalette()
        roles = {
            QPalette.ColorRole.Window: "canvas",
            QPalette.ColorRole.Base: "surface",
            QPalette.ColorRole.AlternateBase: "sunken",
            QPalette.ColorRole.Button: "raised",
            QPalette.ColorRole.ToolTipBase: "raised",
            QPalette.ColorRole.WindowText: "text",
            QPalette.ColorRole.Text: "text",
            QPalette.ColorRole.ButtonText: "text",
            QPalette.ColorRole.ToolTipText: "text",
            QPalette.ColorRole.PlaceholderText: "text3",
            QPalette.ColorRole.Highlight: "accentfill",
            QPalette.ColorRole.HighlightedText: "onfill",
            QPalette.ColorRole.Link: "accent",
            QPalette.ColorRole.LinkVisited: "accent",
            QPalette.ColorRole.Light: "line",
            QPalette.ColorRole.Midlight: "line",
            QPalette.ColorRole.Mid: "line2",
            QPalette.ColorRole.Dark: "line2",
            QPalette.ColorRole.Shadow: "shadow",
            QPalette.ColorRole.Accent: "accentfill",
        }
        for role, token in roles.items():
            palette.setColor(role, self.colour(token))
        for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText, QPalette.ColorRole.WindowText):
            palette.setColor(QPalette.ColorGroup.Disabled, role, self.colour("text3"))
        return palette

    def style_sheet(self) -> str:
        text = resources.files("desktop.ui.kit").joinpath("style.qss").read_text(encoding="utf-8")
        sizes = {"px": str(self.base_px), "px_small": str(self.base_px - 1), "mono": _mono_family()}
        return Template(text).substitute(self.tokens, **sizes)

    def apply(self, app: QApplication) -> None:
        """Give `app` the base style, palette and style sheet of this theme."""
        if app.property("base") != BASE_STYLE:  # once: it costs as much as a fifth of all else here
            app.setStyle(BASE_STYLE)
            app.setProperty("base", BASE_STYLE)
        # One sheet in place of another makes Qt style each widget again for each of those above it; a sheet after none,
        # once. With 1,200 widgets this takes a third of the time.
        app.setStyleSheet("")
        app.setPalette(self.palette())
        app.setFont(self.font("body"))
        app.setStyleSheet(self.style_sheet())


def _between(steps: tuple[tuple[float, float], ...], place: float) -> float:
    for (left, low), (right, high) in pairwise(steps):
        if left <= place <= right:
            return low + (high - low) * (place - left) / (right - left)
    return steps[-1][1]
