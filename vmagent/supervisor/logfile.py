"""Reads log files in the format that `vmagent.supervisor.logwriter` describes; used by the engine.

It never writes, and may read while the writer, in another process, appends. The writer appends a record in one write(2)
after the record's bytes, and the records of both streams in the order of their times. That is why two streams that are
still growing can be merged by time. A generation that a reader has locked is not deleted
(`vmagent.supervisor.rotation`).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from vmagent.supervisor.logwriter import RECORD, STDERR, STDOUT, generations, index_name, payload_name

MAX_LINE_BYTES = 1 << 20  # a longer line is returned in pieces
_INDEX_CHUNK = 1024  # records read at once
_SCAN_BYTES = 65536
_READ_BYTES = 1 << 17  # per `read`: small enough that the first lines come soon

_Record = tuple[int, int, int]  # offset, length, time_ns


class LogEntry(NamedTuple):
    """Output that arrived together: one or more lines with their newlines.

    Without a newline at its end: in raw mode, a line at the end of the log, or the piece of one past `MAX_LINE_BYTES`.
    """

    stream: int
    time_ns: int  # when its last byte arrived
    data: bytes


def split_lines(data: bytes) -> list[bytes]:
    """The lines of an entry's data, each with its newline."""
    if b"\r" not in data:  # bytes.splitlines also splits at a carriage return
        return data.splitlines(keepends=True)
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    if not lines[-1]:
        lines.pop()
    return lines


def latest_payload(folder: Path) -> Path:
    """The file that standard output is written to now, or will be."""
    first = folder / payload_name(STDOUT)
    if first.exists():  # always so in logs without limits
        later = first.with_name(payload_name(STDOUT, 2))
        if not later.exists():
            return first
    try:
        return folder / payload_name(STDOUT, max(generations(str(folder), STDOUT), default=1))
    except FileNotFoundError:  # the container has been deleted
        return first


def _pread(fd: int, length: int, offset: int, *, waits: bool) -> bytes:
    """pread(2); without `waits` only from the page cache: preadv2(2) with RWF_NOWAIT. Raises OSError.

    BlockingIOError: nothing of it is cached, or the file system does not support RWF_NOWAIT. Without `waits` a short
    read does not mean the end of the file.
    """
    if waits:
        return os.pread(fd, length, offset)
    buffer = bytearray(length)
    try:
        count = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except OSError as e:
        if e.errno == errno.EOPNOTSUPP:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from e
        raise
    return bytes(memoryview(buffer)[:count])


class _Part:
    """One generation of a stream, opened and locked, so that it is not deleted before `close`."""

    __slots__ = ("first_byte", "first_record", "generation", "index_fd", "payload_fd")

    def __init__(self, folder: Path, stream: int, generation: int) -> None:
        """Raises FileNotFoundError if it does not exist, or is being deleted."""
        self.generation = generation
        self.first_byte = self.first_record = 0  # number of its first byte and record; see `_StreamReader`
        self.payload_fd = -1
        self.index_fd = os.open(folder / index_name(stream, generation), os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self.index_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.payload_fd = os.open(folder / payload_name(stream, generation), os.O_RDONLY | os.O_CLOEXEC)
            if self.is_deleted():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        except BlockingIOError:
            self.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        except OSError:
            self.close()
            raise

    def is_deleted(self) -> bool:
        return os.fstat(self.index_fd).st_nlink == 0

    def records(self) -> int:
        """How many records its index has."""
        return os.fstat(self.index_fd).st_size // RECORD.size

    def record(self, number: int) -> _Record:
        """Record `number` of this part (from 0); its offset is converted to the numbering of `_StreamReader`."""
        offset, length, time_ns = RECORD.unpack(os.pread(self.index_fd, RECORD.size, number * RECORD.size))
        return offset + self.first_byte, length, time_ns

    def end(self) -> int:
        """The offset after the last byte that has a record, in the numbering of `_StreamReader`."""
        count = self.records()
        if not count:
            return self.first_byte
        offset, length, _ = self.record(count - 1)
        return offset + length

    def begins_in_a_line(self) -> bool:
        return self.records() > 0 and self.record(0)[1] == 0

    def close(self) -> None:
        for fd in (self.payload_fd, self.index_fd):
            if fd >= 0:
                os.close(fd)
        self.payload_fd = self.index_fd = -1


class _StreamReader:
    """One stream's files and how far they have been read. Files that do not exist yet count as empty.

    Bytes and records are numbered continuously over all generations, from the beginning of the first one that was
    opened. All generations but the last are complete: the writer starts the next only when every byte has a record.

    With `waits` False, `fill` and `payload` take only what is in the page cache; where that is not enough, they raise
    BlockingIOError and change nothing.
    """

    def __init__(self, folder: Path, stream: int, *, rotates: bool) -> None:
        self.stream = stream
        self.waits = True
        self._rotates = rotates
        self._is_absent = False  # the container has no such stream
        self.waiting: deque[_Record] = deque()  # records read from the index whose bytes have not been returned yet
        self._folder = folder
        self._folder_fd = -1  # locked, so that nothing is deleted, while there are no files to open yet
        self._parts: list[_Part] = []  # open generations, from the current one on
        self._at = 0  # number of the next record to read
        self._partial: list[bytes] = []  # pieces of a line whose newline has not come yet
        self._partial_bytes = 0
        self._partial_ns = 0
        self._is_cut = False  # the next bytes belong to a line whose beginning has been deleted: skip to its end

    def _open(self) -> bool:
        if self._parts:
            return True
        if self._is_absent:
            return False
        if not self.waits:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        try:
            if self._folder_fd < 0:
                self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                with suppress(BlockingIOError):  # the writer holds the lock while it deletes an old generation
                    fcntl.flock(self._folder_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            has_stdout = bool(generations(str(self._folder), STDOUT))
            if self._open_first(generations(str(self._folder), self.stream)):
                self._is_cut = self._parts[0].begins_in_a_line()
                self._unlock_folder()
            elif has_stdout:  # stdout's files are made last, so this stream has none: the container has a terminal
                self._is_absent = True
                self._unlock_folder()
        except FileNotFoundError:
            return False
        return bool(self._parts)

    def _unlock_folder(self) -> None:
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1

    def _open_first(self, numbers: Iterable[int]) -> bool:
        for number in numbers:
            with suppress(FileNotFoundError):
                self._parts.append(_Part(self._folder, self.stream, number))
                return True
        return False

    def open_all(self) -> None:
        """Open every generation that exists, to search all of them for the place to begin."""
        if self._open():
            while self._open_next():
                pass

    def _open_next(self) -> bool:
        """Open the generation after the last one. False if there is none; otherwise the last one is complete."""
        if not self._rotates:
            return False
        if not self.waits:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        last = self._parts[-1]
        if not self._open_first([last.generation + 1]):
            if not last.is_deleted():
                return False
            # This reader was too slow: the writer has deleted generations that it had not read. Skip them.
            try:
                later = [n for n in generations(str(self._folder), self.stream) if n > last.generation]
            except FileNotFoundError:  # the container has been deleted
                return False
            if not self._open_first(later):
                return False
            self._partial, self._partial_bytes = [], 0
            self._is_cut = self._parts[-1].begins_in_a_line()
        new = self._parts[-1]
        new.first_record = last.first_record + last.records()
        new.first_byte = last.end()
        return True

    def close(self) -> None:
        for part in self._parts:
            part.close()
        self._parts = []
        self._unlock_folder()

    def fill(self) -> None:
        """If `waiting` is empty, read the next records from the index."""
        if self.waiting or not self._open():
            return
        while not self.waiting and (self._take() or self._open_next()):
            pass

    def _take(self) -> bool:
        """Read some records of the open generations; False if there are no more at the moment."""
        while len(self._parts) > 1 and self._at >= self._parts[1].first_record:
            self._parts.pop(0).close()
        part = self._parts[0]
        at = (self._at - part.first_record) * RECORD.size
        raw = _pread(part.index_fd, _INDEX_CHUNK * RECORD.size, at, waits=self.waits)
        whole = len(raw) // RECORD.size
        if not whole and not self.waits and self._at - part.first_record < part.records():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        records = RECORD.iter_unpack(raw[: whole * RECORD.size])
        if part.generation == 1:
            self.waiting.extend(records)
        else:
            base = part.first_byte
            self.waiting.extend((offset + base, length, time_ns) for offset, length, time_ns in records if length)
        self._at += whole
        return whole > 0

    def payload(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`; fewer only if the file was truncated."""
        pieces = []
        while length:
            part, limit = self._parts[0], length
            for later in self._parts[1:]:
                if later.first_byte > offset:
                    limit = min(length, later.first_byte - offset)
                    break
                part = later
            piece = _pread(part.payload_fd, limit, offset - part.first_byte, waits=self.waits)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return b"".join(pieces)

    def take_records(self, most: int, before_ns: int | None, until_ns: int | None) -> tuple[list[_Record], bytes]:
        """Some of `waiting`, one or more, and their bytes, read at once: up to about `most` bytes.

        `before_ns`: no further records once they are as late as this. `until_ns`: none that are later. Fewer bytes than
        the records say: a loss of power took them. BlockingIOError: as for the class.
        """
        records: list[_Record] = []
        begin = end = self.waiting[0][0]
        for record in self.waiting:
            offset, length, time_ns = record
            if records and (
                offset != end
                or offset - begin >= most
                or (before_ns is not None and time_ns >= before_ns)
                or (until_ns is not None and time_ns > until_ns)
            ):
                break
            records.append(record)
            end = offset + length
        data = self.payload(begin, end - begin)
        for _ in records:
            self.waiting.popleft()
        return records, data

    def lines(self, time_ns: int, data: bytes) -> list[LogEntry]:
        """The lines that end in `data`, which arrived at `time_ns`; an unfinished line is kept for the next call."""
        if self._is_cut:
            end = data.find(b"\n") + 1
            if end == 0:
                return []
            self._is_cut = False
            data = data[end:]
        if data.endswith(b"\n"):
            rest = b""
        else:
            end = data.rfind(b"\n") + 1
            data, rest = data[:end], data[end:]
        entries = []
        if data:
            if self._partial:
                data = b"".join([*self._partial, data])
                self._partial, self._partial_bytes = [], 0
            entries.append(LogEntry(self.stream, time_ns, data))
        if rest:
            self._partial.append(rest)
            self._partial_bytes += len(rest)
            self._partial_ns = time_ns
            if self._partial_bytes >= MAX_LINE_BYTES:
                entries += self.rest()
        return entries

    def rest(self) -> list[LogEntry]:
        """The unfinished line so far; it is returned only once."""
        if not self._partial:
            return []
        entry = LogEntry(self.stream, self._partial_ns, b"".join(self._partial))
        self._partial, self._partial_bytes = [], 0
        return [entry]

    def has_rest(self, since_ns: int) -> bool:
        """Whether there is an unfinished line whose last byte arrived at or after `since_ns`."""
        return bool(self._partial) and self._partial_ns >= since_ns

    # Finding a place to begin

    def _count(self) -> int:
        return self._parts[-1].first_record + self._parts[-1].records() if self._open() else 0

    def _record(self, number: int) -> _Record:
        part = self._parts[0]
        for later in self._parts[1:]:
            if later.first_record > number:
                break
            part = later
        return part.record(number - part.first_record)

    def end(self) -> int:
        """The offset after the last byte that has a record."""
        return self._parts[-1].end() if self._open() else 0

    def seek(self, offset: int) -> None:
        """Continue at the byte `offset`: 0 or the beginning of a line, unless the reader is a raw one."""
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
        self._is_cut = self._is_cut and offset == 0
        if low < self._count():
            start, length, time_ns = self._record(low)
            self.waiting.append((offset, start + length - offset, time_ns))
            self._at += 1

    def seek_time(self, time_ns: int, *, to_line: bool) -> None:
        """Continue at the first record at or after `time_ns`; `to_line`: at the beginning of the line it starts in."""
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
        """Continue at the last `lines` lines (1 or more; an unfinished one counts). Returns how many there are."""
        end = position = self.end()
        found = 0
        while position > 0:
            start = max(0, position - _SCAN_BYTES)
            chunk = self.payload(start, position - start)
            cut = len(chunk)
            if position == end:
                found = 1
                if chunk.endswith(b"\n"):
                    cut -= 1  # no line begins after the last newline
            while (cut := chunk.rfind(b"\n", 0, cut)) >= 0:
                if found == lines:
                    self.seek(start + cut + 1)
                    return found
                found += 1
            position = start
        self.seek(0)
        return max(0, found - self._is_cut)


class LogReader:
    """Reads a container's log, both streams merged by time.

    Calls may block on the disk (except `read` without `waits`), never on the container. `read` returns what is there,
    and an empty list at the end: call it again when the supervisor has sent LogGrew. When the container has ended,
    `finish` returns the last lines if they have no newline.
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
        rotates: bool = True,
    ) -> None:
        """Begin at the start, with the first line that ended at or after `since_ns`, or with the last `tail` lines.

        A `tail` of 0 begins at the end. `until_ns`: leave out what arrived later. `raw`: return pieces as they arrived
        instead of lines. `rotates`: whether the log has limits, and so may have several generations. Raises OSError.
        """
        self._readers = [_StreamReader(Path(folder), stream, rotates=rotates) for stream in streams]
        self._raw = raw
        self._since_ns = since_ns
        self._until_ns = until_ns
        self._skip = 0  # lines still to be left out: each stream begins at its own tail, together they may be too many
        self._found: deque[LogEntry] = deque()
        if since_ns or tail is not None:
            for reader in self._readers:
                reader.open_all()
        if since_ns:
            for reader in self._readers:
                reader.seek_time(since_ns, to_line=not raw)
        if tail is None:
            return
        if tail == 0:
            for reader in self._readers:
                reader.seek(reader.end())
        elif since_ns or until_ns is not None:
            found: deque[LogEntry] = deque(maxlen=tail)  # rare, so it may read the whole range
            while entries := self.read():
                found.extend(entry._replace(data=line) for entry in entries for line in split_lines(entry.data))
            # The unfinished lines that `finish` returns count too.
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

    def read(self, limit_bytes: int = _READ_BYTES, *, waits: bool = True) -> list[LogEntry]:
        """The next entries, about `limit_bytes` at most; an empty list if there are none yet. Raises OSError.

        Without `waits`, read only from the page cache. BlockingIOError: the next entry may not be cached. Then nothing
        has changed, and the same call with `waits` returns it.
        """
        for reader in self._readers:
            reader.waits = waits
        if self._found:
            searched = list(self._found)
            self._found.clear()
            return searched
        entries: list[LogEntry] = []
        size = 0
        # A record from the middle of a line makes no entry. Go on, since an empty list would mean the end.
        while size < limit_bytes or not entries:
            try:
                if (found := self._next()) is None:
                    break
                others = [other.waiting[0][2] for other in self._readers if other is not found and other.waiting]
                records, data = found.take_records(limit_bytes - size, min(others, default=None), self._until_ns)
            except BlockingIOError:
                if not entries:
                    raise
                break
            size += len(data)
            begin = records[0][0]
            for offset, length, time_ns in records:
                piece = data[offset - begin : offset - begin + length]  # no copy where that is all of it
                if not piece:  # a loss of power took the bytes, and no writer has removed their record yet
                    continue
                entries += [LogEntry(found.stream, time_ns, piece)] if self._raw else found.lines(time_ns, piece)
            if self._skip:
                entries = self._without_skipped(entries)
        return entries

    def _without_skipped(self, entries: list[LogEntry]) -> list[LogEntry]:
        """`entries` without the lines that are left out."""
        kept = []
        for stream, time_ns, data in entries:
            lines = split_lines(data)
            skipped = min(self._skip, len(lines))
            self._skip -= skipped
            if skipped < len(lines):
                kept.append(LogEntry(stream, time_ns, b"".join(lines[skipped:])))
        return kept

    def finish(self) -> list[LogEntry]:
        """After the last `read`, when the container has ended: the last line of each stream if it has no newline."""
        rest = [entry for reader in self._readers if reader.has_rest(self._since_ns) for entry in reader.rest()]
        return sorted(rest, key=lambda entry: entry.time_ns)[self._skip :]

    def _next(self) -> _StreamReader | None:
        """The stream with the earliest next record; None if there is no record, or none up to `until_ns`."""
        for reader in self._readers:
            reader.fill()
        # Check an empty stream again after the other one was read. Records are appended in the order of their times, so
        # after this second look the empty stream cannot get a record that is earlier than those already seen.
        for reader in self._readers:
            reader.fill()
        found = [reader for reader in self._readers if reader.waiting]
        if not found:
            return None
        first = min(found, key=lambda reader: reader.waiting[0][2])
        if self._until_ns is not None and first.waiting[0][2] > self._until_ns:
            return None
        return first
