"""Reads what `vmagent.supervisor.logwriter` wrote (the format stands there); the engine's side.

It never writes, and may run beside the writer, in another process. A record is appended in one write after its bytes,
records of both streams in the order of their times; on that rests the merging of streams that still grow.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import NamedTuple, Self

from vmagent.supervisor.logwriter import RECORD, STDERR, STDOUT, index_name, payload_name

MAX_LINE_BYTES = 1 << 20  # a longer line is given out in pieces
_INDEX_CHUNK = 1024  # records read at once
_SCAN_BYTES = 65536
_READ_BYTES = 1 << 17  # at once: who waits for the first line, and reads on while the next are prepared

_Record = tuple[int, int, int]  # offset, length, time_ns


class LogEntry(NamedTuple):
    """A piece of output: a line with its newline; in raw mode, at the end, or past `MAX_LINE_BYTES` without."""

    stream: int
    time_ns: int  # when its last byte came
    data: bytes


class _StreamReader:
    """One stream's files and how far they have been read. Files that are not there yet count as empty."""

    def __init__(self, folder: Path, stream: int) -> None:
        self.stream = stream
        self.waiting: deque[_Record] = deque()  # read from the index and not given out yet
        self._folder = folder
        self._payload_fd = self._index_fd = -1
        self._at = 0  # the next record to read, by number
        self._partial: list[bytes] = []  # the beginning of a line that has not ended
        self._partial_bytes = 0
        self._partial_ns = 0

    def _open(self) -> bool:
        if self._index_fd < 0:
            try:
                self._payload_fd = os.open(self._folder / payload_name(self.stream), os.O_RDONLY | os.O_CLOEXEC)
                self._index_fd = os.open(self._folder / index_name(self.stream), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self.close()
                return False
        return True

    def close(self) -> None:
        for fd in (self._payload_fd, self._index_fd):
            if fd >= 0:
                os.close(fd)
        self._payload_fd = self._index_fd = -1

    def fill(self) -> None:
        """If no record waits, take the next ones from the index."""
        if self.waiting or not self._open():
            return
        raw = os.pread(self._index_fd, _INDEX_CHUNK * RECORD.size, self._at * RECORD.size)
        whole = len(raw) // RECORD.size
        self.waiting.extend(RECORD.iter_unpack(raw[: whole * RECORD.size]))
        self._at += whole

    def payload(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`; fewer only if the file was cut."""
        parts = []
        while length:
            part = os.pread(self._payload_fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def lines(self, time_ns: int, data: bytes) -> list[LogEntry]:
        """The lines that end in `data`, which came at `time_ns`; the rest is kept for the next call."""
        if b"\r" in data:  # splitlines would end a line there too
            parts = [part + b"\n" for part in data.split(b"\n")]
            parts[-1] = parts[-1][:-1]
            if not parts[-1]:
                parts.pop()
        else:
            parts = data.splitlines(keepends=True)
        rest = b"" if data.endswith(b"\n") else parts.pop()
        if parts and self._partial:
            parts[0] = b"".join([*self._partial, parts[0]])
            self._partial, self._partial_bytes = [], 0
        stream, new = self.stream, tuple.__new__  # LogEntry(…) by itself takes twice as long
        entries = [new(LogEntry, (stream, time_ns, line)) for line in parts]
        if rest:
            self._partial.append(rest)
            self._partial_bytes += len(rest)
            self._partial_ns = time_ns
            if self._partial_bytes >= MAX_LINE_BYTES:
                entries += self.rest()
        return entries

    def rest(self) -> list[LogEntry]:
        """The line that has not ended, as far as it came; it is given out once."""
        if not self._partial:
            return []
        entry = LogEntry(self.stream, self._partial_ns, b"".join(self._partial))
        self._partial, self._partial_bytes = [], 0
        return [entry]

    def has_rest(self, since_ns: int) -> bool:
        """Whether there is such a line, and its last byte came at or after `since_ns`."""
        return bool(self._partial) and self._partial_ns >= since_ns

    # Finding a place to begin

    def _count(self) -> int:
        return os.fstat(self._index_fd).st_size // RECORD.size if self._open() else 0

    def _record(self, number: int) -> _Record:
        offset, length, time_ns = RECORD.unpack(os.pread(self._index_fd, RECORD.size, number * RECORD.size))
        return offset, length, time_ns

    def end(self) -> int:
        """How many bytes of payload the index knows of."""
        count = self._count()
        if not count:
            return 0
        offset, length, _ = self._record(count - 1)
        return offset + length

    def seek(self, offset: int) -> None:
        """Go on with the byte at `offset`."""
        low, high = 0, self._count()
        while low < high:
            middle = (low + high) // 2
            start, length, _ = self._record(middle)
            if start + length <= offset:
                low = middle + 1
            else:
                high = middle
        self.waiting.clear()
        self._at = low
        if low < self._count():
            start, length, time_ns = self._record(low)
            self.waiting.append((offset, start + length - offset, time_ns))
            self._at += 1

    def seek_time(self, time_ns: int, *, to_line: bool) -> None:
        """Go on with the first record at or after `time_ns`; `to_line`: with the line that its first byte is in."""
        low, high = 0, self._count()
        while low < high:
            middle = (low + high) // 2
            if self._record(middle)[2] < time_ns:
                low = middle + 1
            else:
                high = middle
        offset = self.end() if low == self._count() else self._record(low)[0]
        self.seek(self._line_start(offset) if to_line else offset)

    def _line_start(self, offset: int) -> int:
        while offset > 0:
            start = max(0, offset - _SCAN_BYTES)
            cut = self.payload(start, offset - start).rfind(b"\n")
            if cut >= 0:
                return start + cut + 1
            offset = start
        return 0

    def seek_tail(self, lines: int) -> int:
        """Go on with the last `lines` lines (1 or more; one that has not ended counts). Returns how many there are."""
        end = position = self.end()
        found = 0
        while position > 0:
            start = max(0, position - _SCAN_BYTES)
            chunk = self.payload(start, position - start)
            cut = len(chunk)
            if position == end:
                found = 1
                if chunk.endswith(b"\n"):
                    cut -= 1  # the newline that ends the last line begins none
            while (cut := chunk.rfind(b"\n", 0, cut)) >= 0:
                if found == lines:
                    self.seek(start + cut + 1)
                    return found
                found += 1
            position = start
        self.seek(0)
        return found


class LogReader:
    """Reads a container's log, both streams merged by time. Its calls may wait for the disk, never for the container.

    `read` gives what is there; at the end it gives nothing, and more later if more has come: call it again when the
    supervisor says LogGrew. When the container has ended, `finish` gives the lines that never got their newline.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        raw: bool = False,
        streams: tuple[int, ...] = (STDOUT, STDERR),
        since_ns: int = 0,
        until_ns: int | None = None,
        tail: int | None = None,
    ) -> None:
        """Begin at the start, with the first line that ended at or after `since_ns`, or with the last `tail` lines.

        A tail of 0 is the end. `until_ns`: nothing that came later. `raw`: pieces as they came instead of lines.
        Raises OSError.
        """
        self._readers = [_StreamReader(Path(folder), stream) for stream in streams]
        self._raw = raw
        self._since_ns = since_ns
        self._until_ns = until_ns
        self._skip = 0  # lines to leave out still: the tails of both streams together may be more than was asked for
        self._found: deque[LogEntry] = deque()
        if since_ns:
            for reader in self._readers:
                reader.seek_time(since_ns, to_line=not raw)
        if tail is None:
            return
        if tail == 0:
            for reader in self._readers:
                reader.seek(reader.end())
        elif since_ns or until_ns is not None:
            found: deque[LogEntry] = deque(maxlen=tail)  # rare: look through all of it
            while entries := self.read():
                found.extend(entries)
            # What `finish` gives counts too.
            rest = sum(reader.has_rest(since_ns) for reader in self._readers)
            for _ in range(max(0, len(found) + rest - tail)):
                if found:
                    found.popleft()
            self._found = found
            self._skip = max(0, rest - tail)
        else:
            self._skip = max(0, sum(reader.seek_tail(tail) for reader in self._readers) - tail)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read(self, limit_bytes: int = _READ_BYTES) -> list[LogEntry]:
        """The next entries, about `limit_bytes` at most; an empty list: no more now. Raises OSError."""
        if self._found:
            entries = list(self._found)
            self._found.clear()
            return entries
        entries = []
        size = 0
        # A record that is only the middle of a line gives no entry: go on, or it would be taken for the end.
        while (size < limit_bytes or not entries) and (reader := self._next()) is not None:
            offset, length, time_ns = reader.waiting.popleft()
            data = reader.payload(offset, length)
            size += len(data)
            if self._raw:
                entries.append(LogEntry(reader.stream, time_ns, data))
                continue
            lines = reader.lines(time_ns, data)
            if self._skip:
                skipped = min(self._skip, len(lines))
                self._skip -= skipped
                del lines[:skipped]
            entries += lines
        return entries

    def finish(self) -> list[LogEntry]:
        """After the last `read`, when nothing can come any more: the rest of each stream that has no newline."""
        rest = [entry for reader in self._readers if reader.has_rest(self._since_ns) for entry in reader.rest()]
        return sorted(rest, key=lambda entry: entry.time_ns)[self._skip :]

    def _next(self) -> _StreamReader | None:
        """The stream whose first waiting record is the earliest of all; None if there is none before `until_ns`."""
        for reader in self._readers:
            reader.fill()
        # A stream that was empty is looked at once more after the others: what it lacks now, before the records that
        # they have shown, it will never get. Without that, an earlier record could appear behind a later one.
        for reader in self._readers:
            reader.fill()
        found = [reader for reader in self._readers if reader.waiting]
        if not found:
            return None
        first = min(found, key=lambda reader: reader.waiting[0][2])
        if self._until_ns is not None and first.waiting[0][2] > self._until_ns:
            return None
        return first
