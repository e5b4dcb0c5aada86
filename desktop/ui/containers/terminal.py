"""A terminal in the container: pyte keeps the screen, the widget paints it and turns keys into what terminals send."""

from __future__ import annotations

from collections.abc import Mapping

import pyte
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFont,
    QFontMetricsF,
    QGuiApplication,
    QInputMethodEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from desktop.ui.containers.terminal_screen import Screen
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

PAD = 12
HISTORY = 4_000
WHEEL_LINES = 3
NO_MODIFIER = Qt.KeyboardModifier.NoModifier
APPLICATION_CURSOR = 1 << 5  # DECCKM, a private mode, which pyte keeps shifted
INK = "#D5DEE2"
# The 16 colours, readable on the terminal's ground, which stays dark in both themes.
COLOURS: Mapping[str, str] = {
    "black": "#2B363B", "red": "#FF8E84", "green": "#54C987", "brown": "#E6B655", "blue": "#84B1FF",
    "magenta": "#E58BC2", "cyan": "#62C6DC", "white": "#D5DEE2", "brightblack": "#7F8D92", "brightred": "#FFB0A9",
    "brightgreen": "#86DFAD", "brightbrown": "#F2CE86", "brightyellow": "#F2CE86", "brightblue": "#ABCAFF",
    "brightmagenta": "#F2B3D9", "brightcyan": "#93DCEB", "brightwhite": "#FFFFFF",
}  # fmt: skip
# As a background they are dark, so that every light ink is readable on them; white is the ground for dark inks.
PAPERS: Mapping[str, str] = {
    "black": "#000000", "red": "#7A211B", "green": "#12502C", "brown": "#5A4108", "blue": "#163E78",
    "magenta": "#6B214F", "cyan": "#0B4C5A", "white": "#C3CCD1", "brightblack": "#3A474D", "brightred": "#7F241D",
    "brightgreen": "#14552F", "brightbrown": "#5F450A", "brightyellow": "#5F450A", "brightblue": "#1A4584",
    "brightmagenta": "#742455", "brightcyan": "#0C4F5D", "brightwhite": "#FFFFFF",
}  # fmt: skip
DARK_INK = "#10181B"  # on the two light papers, instead of a light ink
# xterm's sequences (ctlseqs, "PC-Style Function Keys"); the cursor keys differ in application mode.
CURSOR = {
    Qt.Key.Key_Up: "A",
    Qt.Key.Key_Down: "B",
    Qt.Key.Key_Right: "C",
    Qt.Key.Key_Left: "D",
    Qt.Key.Key_Home: "H",
    Qt.Key.Key_End: "F",
}
TILDE = {
    Qt.Key.Key_Insert: 2, Qt.Key.Key_Delete: 3, Qt.Key.Key_PageUp: 5, Qt.Key.Key_PageDown: 6, Qt.Key.Key_F5: 15,
    Qt.Key.Key_F7: 18, Qt.Key.Key_F8: 19, Qt.Key.Key_F9: 20, Qt.Key.Key_F10: 21, Qt.Key.Key_F11: 23,
    Qt.Key.Key_F12: 24,
}  # fmt: skip
LETTER = {Qt.Key.Key_F1: "P", Qt.Key.Key_F2: "Q", Qt.Key.Key_F3: "R", Qt.Key.Key_F4: "S"}


def sequence(key: int, text: str, modifiers: Qt.KeyboardModifier, *, application_cursor: bool) -> bytes | None:
    """The bytes that a terminal sends for a key; None if the key sends nothing."""
    shift = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
    alt = bool(modifiers & Qt.KeyboardModifier.AltModifier)
    control = bool(modifiers & Qt.KeyboardModifier.ControlModifier)
    modified = 1 + shift + 2 * alt + 4 * control
    as_key = Qt.Key(key)
    if as_key in CURSOR:
        if modified > 1:
            return f"\x1b[1;{modified}{CURSOR[as_key]}".encode()
        return f"\x1b{'O' if application_cursor else '['}{CURSOR[as_key]}".encode()
    if as_key in TILDE:
        return f"\x1b[{TILDE[as_key]}{f';{modified}' if modified > 1 else ''}~".encode()
    if as_key in LETTER:
        return f"\x1b{f'[1;{modified}' if modified > 1 else 'O'}{LETTER[as_key]}".encode()
    fixed = {
        Qt.Key.Key_Return: b"\r",
        Qt.Key.Key_Enter: b"\r",
        Qt.Key.Key_Backspace: b"\x08" if control else b"\x7f",
        Qt.Key.Key_Tab: b"\t",
        Qt.Key.Key_Backtab: b"\x1b[Z",
        Qt.Key.Key_Escape: b"\x1b",
    }.get(as_key)
    if fixed is None and control and Qt.Key.Key_A <= key <= Qt.Key.Key_Underscore:
        fixed = bytes([key & 0x1F])
    if fixed is None and control and as_key in (Qt.Key.Key_Space, Qt.Key.Key_At):
        fixed = b"\0"
    if fixed is None and text and not control:
        fixed = text.encode()
    return None if fixed is None else (b"\x1b" + fixed if alt else fixed)


class TerminalView(QWidget):
    """Signals: typed(bytes) for the program; resized(rows, columns)."""

    typed = Signal(bytes)
    resized = Signal(int, int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._measure()
        self._screen = Screen(80, 24, HISTORY)
        self._screen.answer = self.typed.emit
        self._stream = pyte.ByteStream(self._screen)
        self._paper = QColor(theme.tokens["term"])
        self._colours: dict[str, QColor] = {"default": QColor(INK), **{n: QColor(c) for n, c in COLOURS.items()}}
        self._papers: dict[str, QColor] = {n: QColor(c) for n, c in PAPERS.items()}
        self._anchor: tuple[int, int] | None = None
        self._head: tuple[int, int] | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName(tr("Terminal"))
        self.setCursor(Qt.CursorShape.IBeamCursor)
        theme.changed.connect(self._on_theme)

    def _on_theme(self) -> None:
        self._paper = QColor(self._theme.tokens["term"])
        self._measure()
        self._fit()
        self.update()

    def _measure(self) -> None:
        self._font = self._theme.font("monobody")
        self._bold = QFont(self._font)
        self._bold.setWeight(QFont.Weight.Bold)
        metrics = QFontMetricsF(self._font)
        self._cell = (metrics.horizontalAdvance("0"), max(18.0, round(metrics.height() * 1.12)))
        self._ascent = metrics.ascent() + (self._cell[1] - metrics.height()) / 2

    @property
    def size_in_cells(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._screen.lines, self._screen.columns

    def reset(self) -> None:
        self._screen.reset()
        self._screen.history.top.clear()
        self.update()

    def feed(self, data: bytes) -> None:
        self._bottom()
        self._stream.feed(data)
        self._anchor = self._head = None
        self.update()

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def sizeHint(self) -> QSize:
        return QSize(round(self._cell[0] * 80) + 2 * PAD, round(self._cell[1] * 24) + 2 * PAD)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        columns = max(20, int((self.width() - 2 * PAD) / self._cell[0]))
        rows = max(4, int((self.height() - 2 * PAD) / self._cell[1]))
        if (rows, columns) != self.size_in_cells:
            self._screen.resize(rows, columns)
            self.resized.emit(rows, columns)

    # painting --------------------------------------------------------------------------------------------------------

    def _colour(self, name: str) -> QColor:
        try:
            return self._colours[name]
        except KeyError:
            return self._colours.setdefault(name, QColor(f"#{name}"))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._paper)
        width, height = self._cell
        screen = self._screen
        for row in range(screen.lines):
            line, y = screen.buffer[row], PAD + row * height
            column = 0
            while column < screen.columns:
                start, first = column, line[column]
                look = (first.fg, first.bg, first.bold, first.reverse, first.underscore, self._selected(row, column))
                run = []
                while column < screen.columns:
                    char = line[column]
                    if (
                        char.fg,
                        char.bg,
                        char.bold,
                        char.reverse,
                        char.underscore,
                        self._selected(row, column),
                    ) != look:
                        break
                    run.append(char.data)
                    column += 1
                self._paint_run(
                    painter, "".join(run), QRectF(PAD + start * width, y, (column - start) * width, height), look
                )
        self._paint_cursor(painter)

    def _paint_run(
        self, painter: QPainter, text: str, box: QRectF, look: tuple[str, str, bool, bool, bool, bool]
    ) -> None:
        ink_name, paper_name, bold, reverse, underscore, selected = look
        if bold and f"bright{ink_name}" in COLOURS:
            ink_name = f"bright{ink_name}"
        ink = self._colour(ink_name)
        paper = None if paper_name == "default" else self._papers.get(paper_name) or self._colour(paper_name)
        if paper_name in ("white", "brightwhite") and ink_name != "black":
            ink = QColor(DARK_INK)
        if reverse:
            ink, paper = paper or self._paper, ink
        if selected:
            ink, paper = QColor("#FFFFFF"), QColor("#0F7289")
        if paper is not None:
            painter.fillRect(box, paper)
        if text.strip():
            painter.setFont(self._bold if bold else self._font)
            painter.setPen(ink)
            if text.isascii():
                painter.drawText(QPointF(box.x(), box.y() + self._ascent), text)
            else:  # wide and fallback glyphs would move the following text out of its cells
                for number, char in enumerate(text):
                    painter.drawText(QPointF(box.x() + number * self._cell[0], box.y() + self._ascent), char)
        if underscore:
            painter.setPen(ink)
            painter.drawLine(QPointF(box.left(), box.bottom() - 2), QPointF(box.right(), box.bottom() - 2))

    def _paint_cursor(self, painter: QPainter) -> None:
        screen = self._screen
        if screen.cursor.hidden or screen.is_scrolled:
            return
        width, height = self._cell
        box = QRectF(
            PAD + min(screen.cursor.x, screen.columns - 1) * width, PAD + screen.cursor.y * height, width, height
        )
        if self.hasFocus():
            painter.fillRect(box, QColor("#62C6DC"))
            char = screen.buffer[screen.cursor.y][min(screen.cursor.x, screen.columns - 1)].data
            painter.setFont(self._font)
            painter.setPen(self._paper)
            painter.drawText(QPointF(box.x(), box.y() + self._ascent), char)
        else:
            painter.setPen(QColor("#62C6DC"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))

    # selection and scrolling -----------------------------------------------------------------------------------------

    def _selected(self, row: int, column: int) -> bool:
        if self._anchor is None or self._head is None or self._anchor == self._head:
            return False
        low, high = sorted((self._anchor, self._head))
        return low <= (row, column) < high

    def _cell_at(self, event: QMouseEvent) -> tuple[int, int]:
        column = round((event.position().x() - PAD) / self._cell[0])
        row = int((event.position().y() - PAD) / self._cell[1])
        return min(max(row, 0), self._screen.lines - 1), min(max(column, 0), self._screen.columns)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._anchor = self._head = self._cell_at(event)
            self.update()
        elif event.button() == Qt.MouseButton.MiddleButton:
            self.paste(QGuiApplication.clipboard().text(QGuiApplication.clipboard().Mode.Selection))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._head = self._cell_at(event)
            self.update()

    def selected_text(self) -> str:
        if self._anchor is None or self._head is None:
            return ""
        (top, left), (bottom, right) = sorted((self._anchor, self._head))
        lines = []
        for row in range(top, bottom + 1):
            start = left if row == top else 0
            end = right if row == bottom else self._screen.columns
            lines.append("".join(self._screen.buffer[row][c].data for c in range(start, end)).rstrip())
        return "\n".join(lines)

    def wheelEvent(self, event: QWheelEvent) -> None:
        up = event.angleDelta().y() > 0
        if self._screen.is_alternate:  # a program with a screen of its own scrolls itself, by cursor keys
            application = APPLICATION_CURSOR in self._screen.mode
            keys = sequence(Qt.Key.Key_Up if up else Qt.Key.Key_Down, "", NO_MODIFIER, application_cursor=application)
            self.typed.emit((keys or b"") * WHEEL_LINES)
        elif up:
            self._screen.prev_page()
        else:
            self._screen.next_page()
        self.update()

    def _bottom(self) -> None:
        while self._screen.is_scrolled:
            self._screen.next_page()

    # keys ------------------------------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Send every key to the program, Tab and the window's shortcuts too, except Ctrl+Shift+… and F6."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and not self._is_ours(event):
            event.accept()
            return True
        if (
            event.type() == QEvent.Type.KeyPress
            and isinstance(event, QKeyEvent)
            and event.key() in (Qt.Key.Key_Tab, Qt.Key.Key_Backtab)
        ):
            self.keyPressEvent(event)
            return True
        return super().event(event)

    @staticmethod
    def _is_ours(event: QKeyEvent) -> bool:
        both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        return event.key() == Qt.Key.Key_F6 or (event.modifiers() & both) == both

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self._is_ours(event):
            if event.key() == Qt.Key.Key_C:
                QGuiApplication.clipboard().setText(self.selected_text())
            elif event.key() == Qt.Key.Key_V:
                self.paste(QGuiApplication.clipboard().text())
            else:
                super().keyPressEvent(event)
            return
        application = APPLICATION_CURSOR in self._screen.mode
        data = sequence(event.key(), event.text(), event.modifiers(), application_cursor=application)
        if data is not None:
            self._bottom()
            self.typed.emit(data)

    def paste(self, text: str) -> None:
        data = text.replace("\r\n", "\r").replace("\n", "\r").encode()
        if (2004 << 5) in self._screen.mode:  # bracketed paste
            data = b"\x1b[200~" + data + b"\x1b[201~"
        if text:
            self.typed.emit(data)

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        if event.commitString():
            self.typed.emit(event.commitString().encode())
        event.accept()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()
