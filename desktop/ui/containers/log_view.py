"""Log lines on the screen: paints only visible lines, marks search hits, and marks errors with a bar."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QFontMetricsF,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from desktop.ui.containers.log_lines import NOTE, Level, LogLine
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import clock_ms, tr

LINE = 21
LEFT = 24
STRIP = 18
MOST_LINES = 30_000  # in memory; older and newer ones are read again when they are wanted
MOST_PAINTED = 4_000  # characters of a line that is not wrapped
STDERR = 2
STREAMS = ((NOTE, 1, 2), (NOTE, 1), (NOTE, 2))  # All, stdout, stderr


class LogView(QAbstractScrollArea):
    """`append` adds lines; `search` marks a text; `set_streams`, `set_times` choose what is shown.

    Signals: follow_changed(bool): False when scrolled away from the newest line, True when back; found(at, of).
    """

    follow_changed = Signal(bool)
    top_reached = Signal()
    found = Signal(int, int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.lines: list[LogLine] = []
        self._shown: list[int] = []  # indexes of `lines`
        self._streams: tuple[int, ...] = STREAMS[0]
        self._source = ""  # empty: those of all
        self._times = True
        self._following = True
        self._has_words = False
        self._needle = ""
        self._hits: list[int] = []  # places in `_shown`
        self._hit = -1
        self._anchor = self._head = -1
        self._widest = 0.0
        self._wraps = False
        self._columns = 0  # of wrapped text
        self._tops = [0]  # wrapped: how many visible rows are above each shown line, and above the end
        self.empty_text = ""
        self.setAccessibleName(tr("Log"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.viewport().setCursor(Qt.CursorShape.IBeamCursor)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self.verticalScrollBar().setSingleStep(LINE)
        self.horizontalScrollBar().setSingleStep(24)
        theme.changed.connect(self.viewport().update)

    # content ---------------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        self.lines.clear()
        self._has_words = False
        self._widest = 0.0
        self._rebuild()

    def append(self, fresh: Iterable[LogLine]) -> None:
        start = len(self.lines)
        self.lines += fresh
        if len(self.lines) > MOST_LINES:
            del self.lines[: len(self.lines) - MOST_LINES]
            self._rebuild()
            return
        metrics = QFontMetricsF(self._theme.font("mono"))
        for number in range(start, len(self.lines)):
            line = self.lines[number]
            self._has_words = self._has_words or bool(line.word)
            if self._is_wanted(line):
                self._shown.append(number)
                self._widest = max(self._widest, len(line.text) * metrics.averageCharWidth())
                if self._needle and self._needle in line.text.lower():
                    self._hits.append(len(self._shown) - 1)
        if self._needle:
            self.found.emit(self._hit + 1, len(self._hits))
        self._fit()

    def prepend(self, older: Sequence[LogLine]) -> bool:
        """Put `older` lines before the first; what is in sight stays where it is. Returns whether the newest lines had
        to go to make room."""
        before = len(self._shown)
        self.lines[:0] = older
        cut = len(self.lines) > MOST_LINES
        if cut:
            del self.lines[MOST_LINES:]
        bar = self.verticalScrollBar()
        value, following = bar.value(), self._following
        self._following = False
        needle, hit = self._needle, self._hit
        self._shown = [n for n, line in enumerate(self.lines) if self._is_wanted(line)]
        self._has_words = any(line.word for line in self.lines)
        self._tops = [0]
        self._anchor = self._head = -1
        added = len(self._shown) - before if not cut else sum(map(self._is_wanted, older))
        self._find(needle)
        self._hit = hit + sum(row < added for row in self._hits) if hit >= 0 else -1
        self._fit()
        bar.setValue(value + self._top_of(added) * LINE)
        self._following = following and not cut
        return cut

    def insert_notes(self, notes: Sequence[LogLine]) -> None:
        """Put the window's own `notes` between the lines, by their times. What is selected, the current hit and what is
        in sight stay the same lines."""
        bar = self.verticalScrollBar()
        top = self._row_of(bar.value() // LINE)
        beyond = bar.value() - self._top_of(top) * LINE
        hit = self._hits[self._hit] if self._hit >= 0 else -1
        for each in notes:
            earlier = (n for n in range(len(self.lines) - 1, -1, -1) if 0 < self.lines[n].at_ns <= each.at_ns)
            number = next(earlier, -1) + 1
            self.lines.insert(number, each)
            row = bisect.bisect_left(self._shown, number)
            self._shown[row:] = [number, *(later + 1 for later in self._shown[row:])]
            top, hit, self._anchor, self._head = (n + (n >= row) for n in (top, hit, self._anchor, self._head))
        self._tops = [0]
        self._find(self._needle)
        self._hit = bisect.bisect_left(self._hits, hit) if hit >= 0 else -1
        self._fit()
        if not self._following:
            bar.setValue(self._top_of(top) * LINE + beyond)

    def show_line(self, number: int) -> None:
        """Bring the line `number` into sight, and make it the current hit if it is one."""
        row = bisect.bisect_left(self._shown, number)
        if row in self._hits:
            self._hit = self._hits.index(row)
            self.found.emit(self._hit + 1, len(self._hits))
        self.verticalScrollBar().setValue(self._top_of(row) * LINE - self.viewport().height() // 2)
        self.viewport().update()

    @property
    def is_at_first_hit(self) -> bool:
        return self._hit <= 0

    def text(self) -> str:
        """All lines that are shown, with their times."""
        return "\n".join(self._plain(self.lines[number]) for number in self._shown)

    def shown_texts(self) -> list[str]:
        return [self.lines[number].text for number in self._shown]

    @staticmethod
    def _plain(line: LogLine) -> str:
        return " ".join(part for part in (clock_ms(line.at_s) if line.at_s else "", line.word, line.text) if part)

    def set_streams(self, which: int) -> None:
        self._streams = STREAMS[which]
        self._rebuild()

    def set_source(self, source: str) -> None:
        """Show the lines of this source alone; of all if it is empty."""
        if source != self._source:
            self._source = source
            self._rebuild()

    def _is_wanted(self, line: LogLine) -> bool:
        return line.stream in self._streams and (not self._source or line.source == self._source)

    def set_times(self, shown: bool) -> None:
        self._times = shown
        self._fit()

    def set_wrap(self, wraps: bool) -> None:
        """Whether long lines go on in the next row; the first line in sight stays there."""
        row = self._row_of(self.verticalScrollBar().value() // LINE)
        self._wraps, self._tops = wraps, [0]
        self._fit()
        if not self._following:
            self.verticalScrollBar().setValue(self._top_of(row) * LINE)

    def set_following(self, following: bool) -> None:
        self._following = following
        if following:
            self._to_end()

    @property
    def following(self) -> bool:
        return self._following

    def _rebuild(self) -> None:
        self._shown = [n for n, line in enumerate(self.lines) if self._is_wanted(line)]
        self._has_words = any(line.word for line in self.lines)
        self._tops = [0]
        self._anchor = self._head = -1
        self._fit()
        self.search(self._needle)

    # search ----------------------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Mark every line that contains `text`, ignoring case; empty: no marks."""
        self._find(text)
        self._hit = -1
        if self._hits:
            first = self._row_of(self.verticalScrollBar().value() // LINE)
            self._hit = bisect.bisect_left(self._hits, first) % len(self._hits)
            self._show_hit()
        self.found.emit(self._hit + 1, len(self._hits))
        self.viewport().update()

    def _find(self, text: str) -> None:
        self._needle = text.lower()
        self._hits = (
            [n for n, i in enumerate(self._shown) if self._needle in self.lines[i].text.lower()] if self._needle else []
        )

    def next_hit(self, by: int) -> None:
        if self._hits:
            self._hit = (self._hit + by) % len(self._hits)
            self._show_hit()
            self.found.emit(self._hit + 1, len(self._hits))

    def _show_hit(self) -> None:
        row, bar = self._hits[self._hit], self.verticalScrollBar()
        top = self._top_of(row) * LINE
        if not bar.value() <= top <= bar.value() + self.viewport().height() - LINE:
            bar.setValue(top - self.viewport().height() // 2)
        self.viewport().update()

    # geometry --------------------------------------------------------------------------------------------------------

    def _top_of(self, row: int) -> int:
        """How many visible rows are above the shown line `row`."""
        return self._tops[min(row, len(self._tops) - 1)] if self._wraps else row

    def _row_of(self, visible: int) -> int:
        """The shown line that a visible row belongs to."""
        return bisect.bisect_right(self._tops, visible) - 1 if self._wraps else visible

    def _wrap(self) -> None:
        """Count the visible rows of the lines that came since the last call, of all if the width is another."""
        unit = QFontMetricsF(self._theme.font("mono")).averageCharWidth()
        columns = max(20, int((self.viewport().width() - self._text_x() - STRIP - 8) / unit))
        if columns != self._columns:
            self._columns, self._tops = columns, [0]
        for row in range(len(self._tops) - 1, len(self._shown)):
            length = len(self.lines[self._shown[row]].text)
            self._tops.append(self._tops[-1] + max(1, -(-length // columns)))

    def _fit(self) -> None:
        if self._wraps:
            self._wrap()
        page = self.viewport().height()
        bar = self.verticalScrollBar()
        self.blockSignals(True)
        bar.setPageStep(page)
        bar.setRange(0, max(0, self._top_of(len(self._shown)) * LINE + 8 - page))
        across = self.horizontalScrollBar()
        across.setPageStep(self.viewport().width())
        wider = round(self._text_x() + self._widest + STRIP + 8 - self.viewport().width())
        across.setRange(0, 0 if self._wraps else max(0, wider))
        self.blockSignals(False)
        if self._following:
            self._to_end()
        self.viewport().update()

    def _text_x(self) -> int:
        unit = QFontMetricsF(self._theme.font("mono")).averageCharWidth()
        return round(LEFT + (14.4 * unit if self._times else 0) + (6.6 * unit if self._has_words else 0))

    def _to_end(self) -> None:
        bar = self.verticalScrollBar()
        if bar.value() != bar.maximum():
            bar.setValue(bar.maximum())

    def _on_scrolled(self, value: int) -> None:
        at_end = value >= self.verticalScrollBar().maximum() - 1
        if (
            at_end != self._following
            and self.verticalScrollBar().isSliderDown() | self.viewport().underMouse() | self.hasFocus()
        ):
            self._following = at_end
            self.follow_changed.emit(at_end)
        if value == 0 and self.lines and not at_end:
            self.top_reached.emit()
        self.viewport().update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    # painting --------------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        view = self.viewport().rect()
        painter.fillRect(view, theme.colour("surface" if theme.scheme == "light" else "term"))
        painter.setFont(theme.font("mono"))
        unit = QFontMetricsF(theme.font("mono")).averageCharWidth()
        top, across = self.verticalScrollBar().value(), self.horizontalScrollBar().value()
        first, last = self._row_of(top // LINE), self._row_of((top + view.height()) // LINE)
        text_x = self._text_x() - across
        low, high = sorted((self._anchor, self._head))
        trouble = self._trouble_before(first)
        for row in range(first, min(len(self._shown), last + 1)):
            line = self.lines[self._shown[row]]
            above, below = self._top_of(row), self._top_of(row + 1)
            box = QRect(0, above * LINE - top + 4, view.width(), (below - above) * LINE)
            if low >= 0 and low <= row <= high:
                painter.fillRect(box, theme.colour("sel"))
            trouble = (
                line.level if line.level is not Level.NONE else trouble if line.text[:1] in (" ", "\t") else Level.NONE
            )
            if trouble >= Level.WARNING:
                token = "bad" if trouble is Level.ERROR else "pause"
                painter.fillRect(QRect(8, box.y(), 3, box.height()), theme.colour(token))
            if line.is_note:
                painter.setPen(theme.colour("text3"))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"— {line.text} —")
            else:
                self._paint_line(painter, line, box, text_x, unit, row)
        if not self._shown:
            painter.setFont(theme.font("body"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(view, Qt.AlignmentFlag.AlignCenter, self.empty_text)
        self._strip(painter, view)

    def _paint_line(self, painter: QPainter, line: LogLine, box: QRect, text_x: int, unit: float, row: int) -> None:
        """The line's time, mark, level and text in `box`, which has several rows where it is wrapped."""
        theme, across = self._theme, self.horizontalScrollBar().value()
        middle, head = Qt.AlignmentFlag.AlignVCenter, QRectF(LEFT - across, box.y(), 200, LINE)
        painter.setPen(theme.colour("text3"))
        if line.stream == STDERR and STDERR in self._streams and len(self._streams) == len(STREAMS[0]):
            painter.drawText(QRectF(13, box.y(), 10, LINE), middle, "e")
        if self._times and line.at_s:
            painter.drawText(head, middle, clock_ms(line.at_s))
        if line.word:
            token = {Level.ERROR: "bad", Level.WARNING: "pause"}.get(line.level, "text3")
            painter.setPen(theme.colour(token))
            painter.setFont(theme.font("monobold" if line.level >= Level.WARNING else "mono"))
            painter.drawText(head.translated(14.4 * unit if self._times else 0, 0), middle, line.word[:5])
            painter.setFont(theme.font("mono"))
        hit_row = self._hits[self._hit] if 0 <= self._hit < len(self._hits) else -1
        ink = theme.colour("bad" if line.level is Level.ERROR and line.word else "text")
        width = self._columns if self._wraps else MOST_PAINTED
        for number in range(box.height() // LINE):
            text = line.text[number * width : (number + 1) * width]
            part = QRect(box.x(), box.y() + number * LINE, box.width(), LINE)
            if self._needle:
                self._mark_hits(painter, text, part, text_x, unit, current=row == hit_row)
            painter.setPen(ink)
            room = QRectF(text_x, part.y(), max(box.width() - text_x, 10), LINE)
            painter.drawText(room, middle | Qt.TextFlag.TextDontClip, text)

    def _trouble_before(self, row: int) -> Level:
        """The level for a line without one (in a traceback): that of the nearest of the 29 lines before with one."""
        for before in range(row - 1, max(-1, row - 30), -1):
            if (level := self.lines[self._shown[before]].level) is not Level.NONE:
                return level
        return Level.NONE

    def _mark_hits(self, painter: QPainter, text: str, box: QRect, x: float, unit: float, *, current: bool) -> None:
        lowered, start = text.lower(), 0
        while (at := lowered.find(self._needle, start)) >= 0:
            mark = QRectF(x + at * unit - 1, box.y() + 2, len(self._needle) * unit + 2, LINE - 4)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(
                self._theme.mixed("pause", 0.45 if current else 0.0) if current else self._theme.brush("pausesoft")
            )
            painter.drawRoundedRect(mark, 3, 3)
            if current:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(self._theme.pen("pause"))
                painter.drawRoundedRect(mark, 3, 3)
            start = at + len(self._needle)

    def _strip(self, painter: QPainter, view: QRect) -> None:
        """Paint a strip that shows where hits and errors are in the whole log."""
        if not self._shown:
            return
        painter.setPen(Qt.PenStyle.NoPen)
        right = view.right() - 10
        scale = view.height() / len(self._shown)
        step = max(1, len(self._shown) // 2_000)
        if not self._needle:
            for row in range(0, len(self._shown), step):
                level = self.lines[self._shown[row]].level
                if level >= Level.WARNING:
                    token = "bad" if level is Level.ERROR else "pause"
                    painter.fillRect(QRectF(right, row * scale, 8, 2), self._theme.colour(token))
        for row in self._hits[:: max(1, len(self._hits) // 500)]:
            painter.fillRect(QRectF(right, row * scale, 8, 2), self._theme.colour("pause"))

    # pointer and keys ------------------------------------------------------------------------------------------------

    def _row_at(self, pos: QPoint) -> int:
        row = self._row_of((pos.y() - 4 + self.verticalScrollBar().value()) // LINE)
        return min(max(row, 0), len(self._shown) - 1)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._anchor = self._head = self._row_at(event.position().toPoint())
            self.viewport().update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton and self._anchor >= 0:
            self._head = self._row_at(event.position().toPoint())
            self.viewport().update()

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:
        if self._anchor == self._head:
            self._anchor = self._head = -1
            self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        bar = self.verticalScrollBar()
        if event.matches(QKeySequence.StandardKey.Copy):
            low, high = sorted((self._anchor, self._head))
            rows = self._shown[low : high + 1] if low >= 0 else self._shown
            QGuiApplication.clipboard().setText("\n".join(self._plain(self.lines[i]) for i in rows))
        elif event.matches(QKeySequence.StandardKey.SelectAll):
            self._anchor, self._head = 0, len(self._shown) - 1
            self.viewport().update()
        elif event.key() == Qt.Key.Key_Home:
            bar.setValue(0)
        elif event.key() == Qt.Key.Key_End:
            bar.setValue(bar.maximum())
        elif event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            bar.setValue(bar.value() + (LINE if event.key() == Qt.Key.Key_Down else -LINE))
        elif event.key() in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            bar.setValue(bar.value() + (bar.pageStep() if event.key() == Qt.Key.Key_PageDown else -bar.pageStep()))
        else:
            super().keyPressEvent(event)
