"""Texts and icons that follow theme and zoom."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import (
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import (
    QLabel,
    QSizePolicy,
    QWidget,
)

from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme


class Label(QLabel):
    """Text in one of the theme's roles and colours; it follows zoom and theme."""

    def __init__(
        self, theme: Theme, text: str = "", role: str = "body", tone: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self._theme, self._role = theme, role
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        if tone:
            self.setProperty("tone", tone)
        self._on_theme()
        theme.changed.connect(self._on_theme)

    def set_tone(self, tone: str) -> None:
        if self.property("tone") != tone:
            self.setProperty("tone", tone)
            self.style().unpolish(self)
            self.style().polish(self)

    def _on_theme(self) -> None:
        self.setFont(self._theme.font(self._role))


class ElidedLabel(Label):
    """A label that can shrink: text that does not fit ends in …, and the tooltip has the whole text."""

    def __init__(
        self, theme: Theme, text: str = "", role: str = "body", tone: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(theme, "", role, tone, parent)
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.set_text(text)

    def set_text(self, text: str) -> None:
        self._whole = text
        self.setText(text)
        self.setToolTip(text)

    def minimumSizeHint(self) -> QSize:
        return QSize(24, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(self._theme.colour(str(self.property("tone") or "text")))
        text = painter.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter, text)


class IconLabel(QWidget):
    """A decorative icon: the text beside it has the meaning, so it has no accessible name."""

    def __init__(
        self, theme: Theme, icons: Icons, name: str, token: str = "text2", size: int = 16, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._icons, self._name, self._token, self._size = icons, name, token, size
        self.setFixedSize(size, size)
        theme.changed.connect(self.update)

    def set_icon(self, name: str, token: str) -> None:
        self._name, self._token = name, token
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        self._icons.paint(QPainter(self), self._name, self._token, self.rect(), self._size)
