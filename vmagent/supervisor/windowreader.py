"""The engine's side of an exec's output; `vmagent.supervisor.window` describes the files. Its calls never block."""

from __future__ import annotations

import os
from collections import deque

from vmagent.supervisor.window import STREAM_MASK, WORD, count_records, last_record, read_header, read_records

_RECORDS = 512  # read at once


class WindowReader:
    """Reads an exec's output, beginning with the first byte that is not `delivered` yet."""

    def __init__(self, payload_fd: int, index_fd: int) -> None:
        """Take ownership of both descriptors."""
        self._payload_fd, self._index_fd = payload_fd, index_fd
        self._at = read_header(index_fd, 0)
        self._records: deque[int] = deque()  # records read ahead from the index, beginning with number `_number`
        self._number = last_record(index_fd, 0, count_records(index_fd), self._at) if self._at else 0
        self._stream = 0  # the stream of the byte at `_at`, once its record has been read

    def read(self, limit_bytes: int) -> tuple[int, bytes] | None:
        """(stream, at most `limit_bytes` bytes of it), or None if there is no more output yet. Raises OSError."""
        size = os.fstat(self._payload_fd).st_size  # before the index: a record is written before its first byte
        if size <= self._at:
            return None
        if not self._records:
            self._records.extend(read_records(self._index_fd, self._number, _RECORDS))
        while self._records and self._records[0] >> 2 <= self._at:
            self._stream = self._records.popleft() & STREAM_MASK
            self._number += 1
            if not self._records:
                self._records.extend(read_records(self._index_fd, self._number, _RECORDS))
        end = min(size, self._at + limit_bytes, self._records[0] >> 2 if self._records else size)
        data = os.pread(self._payload_fd, end - self._at, self._at)
        self._at += len(data)
        return self._stream, data

    def note_delivered(self) -> bool:
        """Set `delivered` after all that was read. True if the writer waits for room: send it `exec_read` then."""
        os.pwrite(self._index_fd, WORD.pack(self._at), 0)
        return read_header(self._index_fd, 1) != 0

    def close(self) -> None:
        os.close(self._payload_fd)
        os.close(self._index_fd)
