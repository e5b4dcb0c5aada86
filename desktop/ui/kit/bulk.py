"""The bar for selected rows."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QRect, QRectF, Signal
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QWidget

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.menus import Act
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import counted, tr

BAR_MOVED = QEvent.Type(QEvent.registerEventType())  # sent to the window whose bar has come, gone or moved
SHADOW_LEFT, SHADOW_TOP, SHADOW_BELOW = 28, 18, 38


class BulkBar(QWidget):
    """Floats over the lower edge of a table while rows are selected. Signals: asked(key), closed().

    Every button keeps its place: one that does not apply is disabled, so that nothing moves under the pointer.
    """

    asked = Signal(str)
    closed = Signal()

    def __init__(self, theme: Theme, icons: Icons, acts: Sequence[Act], parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._host = theme, parent
        row = QHBoxLayout(self)
        row.setContentsMargins(SHADOW_LEFT + 16, SHADOW_TOP + 5, SHADOW_LEFT + 5, SHADOW_BELOW + 5)
        row.setSpacing(8)
        self.count = Label(theme, "", "section")
        row.addWidget(self.count)
        row.addSpacing(16)
        self._buttons: dict[str, Button] = {}
        for act in acts:
            button = Button(theme, icons, act.text, act.icon, kind="danger" if act.is_danger else "plain")
            button.clicked.connect(lambda _=False, key=act.key: self.asked.emit(key))
            self._buttons[act.key] = button
            row.addWidget(button)
        row.addSpacing(14)
        close = Button(theme, icons, icon="x", kind="ghost", name=tr("Select none"))
        close.clicked.connect(self.closed)
        row.addWidget(close)
        theme.changed.connect(self._on_theme)
        self.hide()

    def _on_theme(self) -> None:
        self.adjustSize()
        self.place()
        self.update()

    def tell(self, count: int, fitting: frozenset[str]) -> None:
        """Show that `count` rows are selected, and enable the actions that fit some of them."""
        self.count.setText(counted(count, "{n} selected", "{n} selected"))
        for key, button in self._buttons.items():
            button.setEnabled(key in fitting)
        self.adjustSize()
        self.place()

    def place(self) -> None:
        """Move to the middle of the parent's lower edge."""
        host, size = self._host, self.sizeHint()
        self.move((host.width() - size.width()) // 2, host.height() - size.height() + SHADOW_BELOW - 6)
        self.raise_()
        self._announce()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._announce()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._announce()

    def _announce(self) -> None:
        """Messages make room for the bar: they lie over the same edge of the window."""
        QApplication.postEvent(self.window(), QEvent(BAR_MOVED))

    @property
    def box(self) -> QRect:
        """The bar without its shadow, in its own coordinates."""
        return self.rect().adjusted(SHADOW_LEFT, SHADOW_TOP, -SHADOW_LEFT, -SHADOW_BELOW)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = self.box
        self._theme.draw_shadow(painter, box)
        painter.setPen(QPen(self._theme.colour("line2"), 1))
        painter.setBrush(self._theme.brush("raised"))
        painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 10, 10)
