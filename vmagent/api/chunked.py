"""Finds where a chunked body ends, so that the bytes behind it do not go to the parser of this message.

RFC 9112, section 7.1. Only the framing is looked at; the parser behind checks it strictly.
"""

from __future__ import annotations

MAX_LINE = 4096  # bytes of a chunk's size line or a trailer field


class ChunkError(ValueError):
    """The framing is broken."""


class ChunkScanner:
    """Counts its way through one chunked body."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk still to come, its CR LF included
        self._line = b""  # an incomplete line
        self._is_last = False  # the chunk of size 0 was seen: trailers follow
        self.has_ended = False

    def feed(self, data: bytes) -> int:
        """How many bytes of `data` belong to the body. Raises ChunkError."""
        at = 0
        while at < len(data) and not self.has_ended:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at)
            stop = len(data) if end < 0 else end + 1
            self._line += data[at:stop]
            at = stop
            if len(self._line) > MAX_LINE:
                raise ChunkError(f"a line of the chunked body is over {MAX_LINE} bytes")
            if end >= 0:
                line, self._line = self._line.strip(), b""
                self._end_line(line)
        return at

    def _end_line(self, line: bytes) -> None:
        if self._is_last:
            self.has_ended = not line
            return
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError as e:
            raise ChunkError("a chunk's size is not a number") from e
        if size < 0:
            raise ChunkError("a chunk's size is negative")
        if size:
            self._left = size + 2
        else:
            self._is_last = True
