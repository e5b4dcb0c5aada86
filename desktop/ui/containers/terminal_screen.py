"""The terminal's screen: pyte's, with the alternate screen, and a size that changes without losing what is shown."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import Any

import pyte
from pyte.screens import History

# The private modes of the alternate screen (xterm's ctlseqs, "DEC Private Mode Set"), which editors and pagers use.
ALTERNATE = frozenset({47, 1047, 1049})
Saved = tuple[dict[int, Any], pyte.screens.Cursor, History]


class Screen(pyte.HistoryScreen):
    """`answer` gets the replies to a program's queries."""

    answer: Callable[[bytes], None] = staticmethod(lambda _data: None)

    def __init__(self, columns: int, lines: int, history: int) -> None:
        self._kept: Saved | None = None  # the normal screen while the alternate one is shown
        super().__init__(columns, lines, history=history, ratio=0.5)

    @property
    def is_alternate(self) -> bool:
        return self._kept is not None

    @property
    def is_scrolled(self) -> bool:
        """Whether older lines than the newest are shown."""
        return bool(self.history.position != self.history.size)

    def write_process_input(self, data: str) -> None:
        self.answer(data.encode())

    def reset(self) -> None:
        if self._kept is not None:
            self.history, self._kept = self._kept[2], None
        super().reset()

    # the alternate screen --------------------------------------------------------------------------------------------

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        if kwargs.get("private") and not ALTERNATE.isdisjoint(modes) and self._kept is None:
            self._kept = (dict(self.buffer), copy.copy(self.cursor), self.history)
            self.history = History(deque(maxlen=0), deque(maxlen=0), 0.5, self.history.size, self.history.size)
            self._clear()
        super().set_mode(*modes, **kwargs)

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        if kwargs.get("private") and not ALTERNATE.isdisjoint(modes) and self._kept is not None:
            buffer, cursor, self.history = self._kept
            self._kept = None
            self._clear()
            self.buffer.update(buffer)
            self.cursor = cursor
            self._keep_cursor_inside(self.lines)
            self.cursor.x = min(self.cursor.x, self.columns)
            self.set_margins()
        super().reset_mode(*modes, **kwargs)

    def _clear(self) -> None:
        self.buffer.clear()
        self.dirty.update(range(self.lines))

    # its size --------------------------------------------------------------------------------------------------------

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """As pyte's, but fewer lines cost the empty ones below the cursor first, and what leaves at the top goes into
        the history."""
        if lines is not None and lines < self.lines:
            self._keep_cursor_inside(lines)
            self.lines = lines
            self.dirty.update(range(lines))
            self.set_margins()
        super().resize(lines, columns)

    def _keep_cursor_inside(self, lines: int) -> None:
        """Move all lines up so far that the cursor is within the first `lines`; drop those behind."""
        above = max(0, self.cursor.y - (lines - 1))
        rows = {y: line for y, line in self.buffer.items() if y < above + lines}
        self.history.top.extend(rows[y] if y in rows else self.buffer[y] for y in range(above))
        self.buffer.clear()
        self.buffer.update({y - above: line for y, line in rows.items() if y >= above})
        self.cursor.y -= above
