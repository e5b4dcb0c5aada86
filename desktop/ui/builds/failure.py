"""The Dockerfile of a build that failed, with an arrow at the line."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QTextBlockFormat, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QPlainTextEdit, QVBoxLayout, QWidget

from desktop.client.builds import Failure
from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import sentence, tr

ARROW, NO_ARROW = "→", " "


class FailureView(QWidget):
    """The engine's message above the Dockerfile."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._failure: Failure | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(17, 12, 16, 14)
        column.setSpacing(10)
        self.message = Label(theme, "", "body", "bad")
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(self.message)
        self.place = Label(theme, "", "small", "text2")
        column.addWidget(self.place)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setTabChangesFocus(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setAccessibleName(tr("The Dockerfile"))
        column.addWidget(self.text, 1)
        self._filler = QWidget()
        column.addWidget(self._filler, 1)
        theme.changed.connect(self._show)
        self.tell("", None)

    def tell(self, message: str, failure: Failure | None) -> None:
        self._failure = failure
        self.message.setText(sentence(message))
        self.text.setVisible(failure is not None)
        self._filler.setVisible(failure is None)
        self.place.setVisible(failure is not None)
        self._show()

    def _show(self) -> None:
        failure = self._failure
        self.text.setFont(self._theme.font("mono"))
        if failure is None:
            self.text.clear()
            return
        self.place.setText(tr("{file}, line {n}", file=failure.file, n=failure.first_line))
        lines = failure.source.rstrip("\n").split("\n")
        width = len(str(len(lines)))
        marked = range(failure.first_line, failure.last_line + 1)
        self.text.setCurrentCharFormat(QTextCharFormat())  # else the text gets the ink of the line marked before
        self.text.setPlainText(
            "\n".join(
                f"{ARROW if number in marked else NO_ARROW} {number:>{width}}  {line}"
                for number, line in enumerate(lines, start=1)
            )
        )
        block, ink = QTextBlockFormat(), QTextCharFormat()
        block.setBackground(QColor(self._theme.colour("badsoft")))
        ink.setForeground(QColor(self._theme.colour("bad")))
        for number in marked:
            cursor = QTextCursor(self.text.document().findBlockByNumber(number - 1))
            cursor.setBlockFormat(block)
            cursor.select(QTextCursor.SelectionType.LineUnderCursor)
            cursor.setCharFormat(ink)
        cursor = QTextCursor(self.text.document().findBlockByNumber(max(0, failure.first_line - 1)))
        self.text.setTextCursor(cursor)
        self.text.centerCursor()
