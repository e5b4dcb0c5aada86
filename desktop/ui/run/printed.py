"""What a container that was just started prints."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPlainTextEdit, QVBoxLayout, QWidget

from desktop.ui.containers.log_lines import LogReader
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.cards import Card, CardTitle
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

PRINTED_LINES = 400
MOST_ROWS = 16


class PrintedCard(Card):
    """The output of one container as it comes, and its exit status after it ended; hidden while there is none.

    Signals: came() after each part of the output.
    """

    came = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent=parent)
        self._theme = theme
        self._reader: LogReader | None = None
        self._reader_of = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(12)
        self.head = CardTitle(theme, icons, "terminal-window", tr("What it printed"))
        column.addWidget(self.head)
        self.text = QPlainTextEdit()
        self.text.setObjectName("printed")
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(PRINTED_LINES)
        self.text.setAccessibleName(tr("What it printed"))
        self.text.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        column.addWidget(self.text)
        self.text.document().documentLayout().documentSizeChanged.connect(self._fit)
        theme.changed.connect(self._on_theme)
        self._on_theme()

    def _on_theme(self) -> None:
        self.text.setFont(self._theme.font("mono"))

    def follow(self, session: EngineSession, container_id: str, *, tty: bool) -> None:
        """Show the output of that container, unless it is shown already."""
        if not container_id or self._reader_of == container_id:
            return
        self.clear()
        reader = LogReader(
            session.client, container_id, tty=tty, ready=lambda: session.workers.here(lambda: self._on_lines(reader))
        )
        self._reader, self._reader_of = reader, container_id
        session.workers.lasting("run-log", reader.run)

    def stop(self) -> None:
        """Read no more; the next `follow` begins anew."""
        if self._reader is not None:
            self._reader.close()
            self._reader, self._reader_of = None, ""

    def show_end(self, container: Container | None) -> None:
        """Say how it ended; None: it is not known (any more)."""
        text = tr("running") if container is not None and container.is_running else ""
        if container is not None and container.status == "exited":
            text = tr("exit status {code}", code=container.exit_code)
        self.head.right.setText(text)

    def _on_lines(self, reader: LogReader) -> None:
        if reader is self._reader and (lines := reader.take()):
            words = [f"{line.word} {line.text}".strip() if line.word else line.text for line in lines[-PRINTED_LINES:]]
            self.append(words)
        self.came.emit()

    def clear(self) -> None:
        self.stop()
        self.text.clear()
        self.head.right.setText("")
        self.hide()

    def append(self, lines: list[str]) -> None:
        for line in lines:
            self.text.appendPlainText(line)
        self.show()

    def _fit(self) -> None:
        """The height of all lines as they are wrapped, up to `MOST_ROWS`."""
        rows = min(MOST_ROWS, max(2, round(self.text.document().size().height())))  # QPlainTextEdit counts in lines
        self.text.setFixedHeight(rows * (self.text.fontMetrics().lineSpacing() + 1) + 34)
