"""Buttons, switches, segments and links, painted from the theme.

A style sheet can set neither the gap between icon and label nor a focus ring for keyboard focus only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QFrame, QHBoxLayout, QSizePolicy, QWidget

from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme

Kind = Literal["plain", "primary", "soft", "danger", "dangerfill", "ghost"]
KEYBOARD_REASONS = (
    Qt.FocusReason.TabFocusReason,
    Qt.FocusReason.BacktabFocusReason,
    Qt.FocusReason.ShortcutFocusReason,
)
# Kind: colour tokens for (background, hovered, pressed, border, text); empty means none.
COLOURS: dict[str, tuple[str, str, str, str, str]] = {
    "plain": ("raised", "hover", "press", "line2", "text"),
    "primary": ("accentfill", "accentfillhover", "accentfillhover", "", "onfill"),
    "soft": ("accentsoft", "sel", "sel", "", "accent"),
    "danger": ("raised", "badsoft", "badsoft", "line2", "bad"),
    "dangerfill": ("badfill", "badfillhover", "badfillhover", "", "onfill"),
    "ghost": ("", "hover", "press", "", "text2"),
}


class FocusByKeyboard(QAbstractButton):
    """A button that records whether it got the focus by keyboard; only then a focus ring is drawn."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.ringed = False
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.ringed = event.reason() in KEYBOARD_REASONS
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.ringed = False
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
            return
        super().keyPressEvent(event)


class Button(FocusByKeyboard):
    """A button with icon and label; `kind` is its style. Without a label, `name` is for screen readers."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        text: str = "",
        icon: str = "",
        *,
        kind: Kind = "plain",
        name: str = "",
        tip: str = "",
        height: int = 32,
        icon_size: int = 16,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme, self._icons = theme, icons
        self.kind: Kind = kind
        self._icon_name, self._high, self._icon_size = icon, height, icon_size
        self._is_short, self._tip = False, tip or ("" if text else name)
        self.setText(text)
        self.setAccessibleName(name or text.rstrip("…").rstrip("."))
        self.setToolTip(self._tip)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.ArrowCursor)
        theme.changed.connect(self.update)

    def set_icon(self, icon: str) -> None:
        self._icon_name = icon
        self.updateGeometry()
        self.update()

    def set_label(self, text: str) -> None:
        self.setText(text)
        self.setAccessibleName(text.rstrip("…"))
        self.set_short(self._is_short)
        self.updateGeometry()

    def set_short(self, is_short: bool) -> None:
        """Show the icon alone, with the label as its tooltip; a button without an icon keeps its label."""
        self._is_short = is_short and bool(self._icon_name)
        self.setToolTip(self._tip or (self.text() if self._is_short else ""))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        if not self.text() or self._is_short:
            return QSize(self._high, self._high)
        width = QFontMetrics(self._theme.font("name")).horizontalAdvance(self.text()) + 24
        return QSize(width + (24 if self._icon_name else 0), self._high)

    minimumSizeHint = sizeHint

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground, over, down, border, ink = COLOURS[self.kind]
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        if not self.isEnabled():
            ground, border, ink = ("sunken" if ground else ""), ("line" if border or ground else ""), "text3"
        elif self.isDown() or self.isChecked():
            ground = down
        elif self.underMouse():
            ground = over
        painter.setBrush(theme.brush(ground) if ground else Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(theme.colour(border), 1) if border else Qt.PenStyle.NoPen)
        painter.drawRoundedRect(box, 6, 6)
        if self.ringed:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.colour("onfill" if self.kind in ("primary", "dangerfill") else "focus"), 2))
            inset = 2.5 if self.kind in ("primary", "dangerfill") else 0.5
            painter.drawRoundedRect(box.adjusted(inset, inset, -inset, -inset), 5, 5)
        if not self.text() or self._is_short:
            token = ink if self.kind != "plain" else "text2"
            self._icons.paint(painter, self._icon_name, token, self.rect(), self._icon_size)
            return
        painter.setFont(theme.font("section" if self.kind in ("primary", "dangerfill", "soft") else "name"))
        painter.setPen(theme.colour(ink))
        x = 12
        width = painter.fontMetrics().horizontalAdvance(self.text()) + (24 if self._icon_name else 0)
        if width < self.width() - 24:
            x = (self.width() - width) // 2
        if self._icon_name:
            icon_ink = "text2" if self.kind == "plain" and self.isEnabled() else ink
            self._icons.paint(painter, self._icon_name, icon_ink, QRect(x, 0, 18, self.height()))
            x += 24
        painter.drawText(QRect(x, 0, self.width() - x, self.height()), Qt.AlignmentFlag.AlignVCenter, self.text())


class Link(FocusByKeyboard):
    """A button that looks like a link: accent colour, underlined when hovered or focused by keyboard."""

    def __init__(self, theme: Theme, text: str, *, underlined: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._underlined = theme, underlined
        self.setText(text)
        self.setAccessibleName(text)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self._theme.font("section"))
        return QSize(metrics.horizontalAdvance(self.text()) + 2, metrics.height() + 6)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self._theme.font("name"))
        painter.setPen(self._theme.colour("accent" if self.isEnabled() else "text3"))
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter, self.text())
        if self.isEnabled() and (self._underlined or self.underMouse() or self.ringed):
            metrics = painter.fontMetrics()
            y = (self.height() + metrics.ascent() - metrics.descent()) / 2 + 3
            painter.drawLine(QPointF(0, y), QPointF(metrics.horizontalAdvance(self.text()), y))


class _Toggle(FocusByKeyboard):
    """A control that is on or off, with its label; subclasses paint it."""

    def __init__(self, theme: Theme, text: str, *, on: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setChecked(on)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)


class Switch(_Toggle):
    """On or off, with its label at the right."""

    def sizeHint(self) -> QSize:
        return QSize(32 + 8 + QFontMetrics(self._theme.font("name")).horizontalAdvance(self.text()) + 2, 28)

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        track = QRectF(0.75, (self.height() - 18) / 2 + 0.75, 30.5, 16.5)
        if self.isChecked():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("accentfill"))
            painter.drawRoundedRect(track.adjusted(-0.75, -0.75, 0.75, 0.75), 9, 9)
            painter.setBrush(theme.brush("onfill"))
            painter.drawEllipse(QPointF(23, self.height() / 2), 6, 6)
        else:
            painter.setPen(theme.pen("ctl", 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(track, 8.25, 8.25)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("ctl"))
            painter.drawEllipse(QPointF(9, self.height() / 2), 5, 5)
        if self.ringed:
            painter.setPen(theme.pen("focus", 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(track.adjusted(-0.5, -0.5, 0.5, 0.5), 9, 9)
        painter.setFont(theme.font("name"))
        painter.setPen(theme.colour("text2"))
        painter.drawText(self.rect().adjusted(40, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.text())


class CheckBox(_Toggle):
    """A box with a check, and its label."""

    def shorten(self) -> None:
        """From now on the label is shortened where it has too little room; the tooltip has all of it."""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(80)
        self.setToolTip(self.text())

    def sizeHint(self) -> QSize:
        return QSize(26 + QFontMetrics(self._theme.font("body")).horizontalAdvance(self.text()) + 2, 28)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_check(painter, self._theme, QRect(0, (self.height() - 16) // 2, 16, 16), 2 if self.isChecked() else 0)
        if self.ringed:
            painter.setPen(self._theme.pen("focus", 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(0, (self.height() - 16) / 2, 16, 16), 4, 4)
        painter.setFont(self._theme.font("body"))
        painter.setPen(self._theme.colour("text"))
        place = self.rect().adjusted(26, 0, 0, 0)
        text = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideMiddle, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, text)


def paint_check(painter: QPainter, theme: Theme, box: QRect, state: int) -> None:
    """A check box of 16: `state` 0 unchecked, 1 partly, 2 checked."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if state:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.brush("accentfill"))
        painter.drawRoundedRect(QRectF(box), 4, 4)
        painter.setPen(theme.pen("onfill", 1.8))
        x, y = box.x(), box.y()
        if state == 1:
            painter.drawLine(QPointF(x + 4.5, y + 8), QPointF(x + 11.5, y + 8))
        else:
            painter.drawPolyline([QPointF(x + 4.2, y + 8.3), QPointF(x + 7, y + 11), QPointF(x + 11.8, y + 5.4)])
    else:
        painter.setPen(QPen(theme.colour("ctl"), 1))
        painter.setBrush(theme.brush("surface"))
        painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
    painter.restore()


class _Segment(FocusByKeyboard):
    def __init__(self, theme: Theme, text: str) -> None:
        super().__init__()
        self._theme = theme
        self.count: int | None = None
        self.unknown = False
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def _tail(self) -> str:
        return "–" if self.unknown else "" if self.count is None else f"{self.count:,}"

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self._theme.font("smallsection"))
        width = metrics.horizontalAdvance(self.text()) + 22
        if tail := self._tail():
            width += 7 + metrics.horizontalAdvance(tail)
        return QSize(width, 28)

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        dark = theme.scheme == "dark"
        if self.isChecked():
            painter.setPen(Qt.PenStyle.NoPen if dark else QPen(theme.colour("line2"), 1))
            painter.setBrush(theme.brush("press" if dark else "surface"))
            painter.drawRoundedRect(box, 5, 5)
        elif self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("press"))
            painter.drawRoundedRect(box, 5, 5)
        if self.ringed:
            painter.setPen(theme.pen("focus", 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)
        painter.setFont(theme.font("smallsection" if self.isChecked() else "smallname"))
        painter.setPen(theme.colour("text" if self.isChecked() else "text2"))
        painter.drawText(self.rect().adjusted(11, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.text())
        if tail := self._tail():
            painter.setFont(theme.font("smallname"))
            painter.setPen(theme.colour("text3"))
            painter.drawText(
                self.rect().adjusted(0, 0, -11, 0), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, tail
            )


class Segments(QFrame):
    """A choice of one among visible segments, each with a count."""

    chosen = Signal(int)

    def __init__(self, theme: Theme, names: Sequence[str], label: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setAccessibleName(label)
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 2, 2, 2)
        row.setSpacing(0)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        for number, name in enumerate(names):
            segment = _Segment(theme, name)
            self._group.addButton(segment, number)
            row.addWidget(segment)
        self._group.button(0).setChecked(True)
        self._group.idClicked.connect(self.chosen)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    @property
    def current(self) -> int:
        return self._group.checkedId()

    def show_choice(self, number: int) -> None:
        """Have that segment chosen, without a signal."""
        self._group.button(number).setChecked(True)

    def choose(self, number: int) -> None:
        self._group.button(number).setChecked(True)
        self.chosen.emit(number)

    def set_counts(self, counts: Sequence[int | None], unknown: frozenset[int] = frozenset()) -> None:
        """Show `counts`; segments whose index is in `unknown` show a dash instead."""
        for number, count in enumerate(counts):
            segment = self._group.button(number)
            if isinstance(segment, _Segment) and (segment.count, segment.unknown) != (count, number in unknown):
                segment.count, segment.unknown = count, number in unknown
                segment.updateGeometry()
                segment.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.colour("line"), 1))
        painter.setBrush(self._theme.brush("sunken"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 7, 7)
