"""Text to type in, and text to copy."""

from __future__ import annotations

import math

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import (
    QFontMetricsF,
    QGuiApplication,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QTextOption,
)
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Card
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

MOST_CODE_LINES = 10


class Field(QLineEdit):
    """A line edit with an icon; `hint` is its placeholder and its accessible name. `clears`: it has a clear button,
    and Esc empties it before it does anything else."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        hint: str,
        icon: str = "",
        *,
        clears: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme, self._icons, self._icon_name = theme, icons, icon
        self.setPlaceholderText(hint)
        self.setAccessibleName(hint)
        if icon:
            self.setTextMargins(21, 0, 0, 0)
        self._clear: Button | None = None
        if clears:
            self._clear = Button(
                theme, icons, icon="x", kind="ghost", name=tr("Clear"), height=24, icon_size=12, parent=self
            )
            self._clear.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            self._clear.clicked.connect(self.clear)
            self._clear.hide()
            self.textChanged.connect(self._on_text)
        theme.changed.connect(self.update)

    def _on_text(self, text: str) -> None:
        if self._clear is not None:
            self._clear.setVisible(bool(text))
            self.setTextMargins(21 if self._icon_name else 0, 0, 22 if text else 0, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._clear is not None:
            self._clear.move(self.width() - 28, (self.height() - 24) // 2)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._clear is not None and self.text():
            self.clear()
            return
        super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._icon_name:
            self._icons.paint(QPainter(self), self._icon_name, "text3", QRect(10, 0, 16, self.height()))


class CodeWell(Card):
    """A command or detail to copy, in the mono font, with its copy button."""

    def __init__(
        self, theme: Theme, icons: Icons, text: str = "", *, name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(theme, parent=parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 10, 8)
        self._text = QPlainTextEdit()
        self._text.setReadOnly(True)
        self._text.setProperty("kind", "bare")
        self._text.setAccessibleName(name or tr("The same as a command"))
        self._text.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self._text.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._text.setTabChangesFocus(True)
        self._text.document().setDocumentMargin(0)
        self._copied = ""
        copy = Button(theme, icons, icon="copy-simple", kind="ghost", name=tr("Copy"), height=28, icon_size=14)
        copy.clicked.connect(self.copy)
        row.addWidget(self._text, 1)
        row.addWidget(copy, 0, Qt.AlignmentFlag.AlignTop)
        theme.changed.connect(self._on_theme)
        self._on_theme()
        self.set_text(text)

    def _on_theme(self) -> None:
        self._text.setFont(self._theme.font("mono"))
        self._fit()

    def set_text(self, text: str, copied: str | None = None) -> None:
        """Show `text`; the copy button copies `copied` if it is given (a command in one line)."""
        self._text.setPlainText(text)
        self._copied = text if copied is None else copied
        self._fit()

    def text(self) -> str:
        return self._text.toPlainText()

    def _fit(self) -> None:
        """Set the height to that of the wrapped text, at most ten lines."""
        lines = min(MOST_CODE_LINES, self._lines())
        self._text.setViewportMargins(0, 6 if lines == 1 else 2, 0, 0)
        more = (
            Qt.ScrollBarPolicy.ScrollBarAsNeeded if lines == MOST_CODE_LINES else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        self._text.setVerticalScrollBarPolicy(more)
        self._text.setFixedHeight(max(28, math.ceil(lines * QFontMetricsF(self._text.font()).lineSpacing()) + 12))

    def _lines(self) -> int:
        """How many lines the text takes; the document's own size has that only after a paint."""
        document = self._text.document()
        layout, block, lines = document.documentLayout(), document.firstBlock(), 0
        while block.isValid() and lines < MOST_CODE_LINES:
            layout.blockBoundingRect(block)  # breaks its lines
            lines += max(1, block.layout().lineCount())
            block = block.next()
        return max(1, lines)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def copy(self) -> None:
        QGuiApplication.clipboard().setText(self._copied)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.colour("line"), 1))
        painter.setBrush(self._theme.brush("sunken"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)
