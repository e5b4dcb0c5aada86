"""The window of an exec: its output on the way to the client, in two memory files (memfd_create(2)) of bounded size.

The supervisor writes both files; the engine reads them through descriptors of its own. The files have no name and
vanish with the last descriptor. The keeper holds descriptors too, for the next supervisor.

The payload holds the bytes of both streams in the order in which they arrived. The index begins with a header of three
little-endian 64-bit numbers, zero at first, followed by records of 64 bits:

- `delivered`: the offset up to which the client has received the output; the reader (the engine) writes it;
- `waiting`: 1 while the writer has no room. A reader that finds it set sends `exec_read` to the supervisor;
- `unattended`: 1 when no client reads; the supervisor writes it on the engine's request;
- each record is `offset << 2 | stream`: from that offset on the bytes belong to that stream (1 stdout, 2 stderr).

A record is written before its first byte, and only where the stream changes. The end of the payload is the file's size.
So the files are consistent wherever a supervisor is killed, and most writes cost a single splice(2).

The writer stores at most `WINDOW_BYTES` after `delivered`; when the window is full, the command blocks. The storage of
delivered bytes is freed (fallocate(2), FALLOC_FL_PUNCH_HOLE). Without a client the oldest output is dropped instead,
and the command never blocks.
"""

from __future__ import annotations

import os
import struct

from vmagent.linux.files import punch_hole

WINDOW_BYTES = 1 << 20
HEADER = struct.Struct("<QQQ")
WORD = struct.Struct("<Q")
STREAM_MASK = 3
_MAX_RECORDS = 16384  # in the window; a command that alternates between its streams byte by byte needs many
_FREE_BYTES = WINDOW_BYTES // 4  # storage is freed in steps of this size
_PAGE = 4096


class Window:
    """The writer's side. Methods that write raise OSError if a file cannot grow."""

    __slots__ = (
        "_delivered",
        "_first_record",
        "_freed",
        "_records",
        "_stream",
        "end",
        "index_fd",
        "is_attended",
        "payload_fd",
    )

    def __init__(self, payload_fd: int, index_fd: int) -> None:
        """Take ownership of both descriptors. For a window that is not empty, call `resume_writing` next."""
        self.payload_fd, self.index_fd = payload_fd, index_fd
        self.is_attended = True
        self.end = self._records = self._stream = 0
        self._delivered = 0  # the header's `delivered` when it was last read
        self._first_record = self._freed = 0  # storage of records and bytes before these is freed

    def resume_writing(self) -> None:
        """Read the state of the files, to continue where an earlier supervisor ended."""
        self.is_attended = not read_header(self.index_fd, 2)
        self.end = os.lseek(self.payload_fd, 0, os.SEEK_END)
        self._records = count_records(self.index_fd)
        if self._records:
            self._stream = read_records(self.index_fd, self._records - 1, 1)[0] & STREAM_MASK

    def room(self) -> int:
        """How many bytes may be added now; 0: wait for the reader, see `wait_for_reader`."""
        delivered = self._delivered
        if self.end - self._freed < 2 * _FREE_BYTES and self._records - self._first_record < _MAX_RECORDS // 4:
            return WINDOW_BYTES - (self.end - delivered)  # the usual case: no need to read the header
        delivered = self._delivered = read_header(self.index_fd, 0)
        if not self.is_attended and self._is_full(delivered):
            delivered = max(delivered, self.end - WINDOW_BYTES // 2)
            if self._records - self._first_record >= _MAX_RECORDS:
                delivered = self.end
            os.pwrite(self.index_fd, WORD.pack(delivered), 0)
            self._delivered = delivered
        if delivered - self._freed >= _FREE_BYTES or self._records - self._first_record >= _MAX_RECORDS:
            self._free(delivered)
        return 0 if self._is_full(delivered) else WINDOW_BYTES - (self.end - delivered)

    def _is_full(self, delivered: int) -> bool:
        return self.end - delivered >= WINDOW_BYTES or self._records - self._first_record >= _MAX_RECORDS

    def wait_for_reader(self) -> bool:
        """Set `waiting`, so that the reader sends `exec_read`. False: it has read meanwhile, and there is room."""
        self._set_waiting(1)
        if self.room():
            self._set_waiting(0)
            return False
        return True

    def _set_waiting(self, value: int) -> None:
        os.pwrite(self.index_fd, WORD.pack(value), WORD.size)

    def resume(self) -> None:
        """Clear `waiting`, after the reader's `exec_read`."""
        self._set_waiting(0)

    def set_attended(self, is_attended: bool) -> None:
        """Set whether output is kept until a client has read it."""
        self.is_attended = is_attended
        os.pwrite(self.index_fd, WORD.pack(not is_attended), 2 * WORD.size)

    def begin(self, stream: int) -> None:
        """Write a record if the next bytes belong to another stream than the last ones."""
        if stream != self._stream:
            where = HEADER.size + self._records * WORD.size
            os.pwrite(self.index_fd, WORD.pack(self.end << 2 | stream), where)
            self._records += 1
            self._stream = stream

    def took(self, count: int) -> bool:
        """Count `count` added bytes. True if the reader had read everything before, and so waits for a notification."""
        before = self.end
        self.end += count
        self._delivered = read_header(self.index_fd, 0)
        return self._delivered >= before

    def _free(self, delivered: int) -> None:
        """Free the storage of the bytes before `delivered`, and of the records that only describe those."""
        upto = delivered // _PAGE * _PAGE
        if upto > self._freed:
            punch_hole(self.payload_fd, self._freed, upto - self._freed)
            self._freed = upto
        self._first_record = last_record(self.index_fd, self._first_record, self._records, delivered)
        first = (HEADER.size + self._first_record * WORD.size) // _PAGE * _PAGE
        if first > _PAGE:  # never the first page, which holds the header
            punch_hole(self.index_fd, _PAGE, first - _PAGE)

    def close(self) -> None:
        os.close(self.payload_fd)
        os.close(self.index_fd)


def new_window() -> Window:
    """An empty window, attended by a client. Raises OSError."""
    payload_fd = os.memfd_create("cove-exec", os.MFD_CLOEXEC)
    try:
        index_fd = os.memfd_create("cove-exec-index", os.MFD_CLOEXEC)
    except OSError:
        os.close(payload_fd)
        raise
    return Window(payload_fd, index_fd)


def read_header(index_fd: int, number: int) -> int:
    """Number 0, 1 or 2 of the header."""
    raw = os.pread(index_fd, WORD.size, number * WORD.size)
    return int(WORD.unpack(raw)[0]) if raw else 0  # beyond the end of the file: it has not been written yet


def count_records(index_fd: int) -> int:
    return max(0, os.fstat(index_fd).st_size - HEADER.size) // WORD.size


def read_records(index_fd: int, first: int, count: int) -> list[int]:
    """At most `count` records from number `first` on."""
    raw = os.pread(index_fd, count * WORD.size, HEADER.size + first * WORD.size)
    return [word for (word,) in WORD.iter_unpack(raw[: len(raw) // WORD.size * WORD.size])]


def last_record(index_fd: int, low: int, high: int, offset: int) -> int:
    """The number of the last record in [low, high) that begins at or before `offset`; `low` if there is none.

    Records whose storage was freed read as zero.
    """
    first = low
    while low < high:
        middle = (low + high) // 2
        if read_records(index_fd, middle, 1)[0] >> 2 <= offset:
            low = middle + 1
        else:
            high = middle
    return max(first, low - 1)
