"""A container's output on disk: per stream a payload file `log.N` and an index `log.N.idx` (N: 1 stdout, 2 stderr).

The payload holds the bytes as they came and nothing else, so that `splice` can write it without showing them to Python.
The index is an array of `RECORD`: offset and length in the payload, and the time (CLOCK_REALTIME, ns) when they came.
Records lie one behind the other without gaps, and their times grow strictly over both streams of a container; so the
streams can be merged again. After a crash the payload may be longer than the index says: whoever opens it to write adds
a record for the rest, with the time of now. `vmagent.supervisor.logfile` reads them.

A log with limits goes on in files of a next generation, `log.N.G` and `log.N.G.idx` (G: 2, 3, …; the first has none),
and never again in those before: see `vmagent.supervisor.rotation`. Where a line lies in both, the next index begins
with a record of no bytes, so that whoever finds the line's beginning gone knows that it does not begin there.
"""

from __future__ import annotations

import errno
import os
import struct
import time

STDOUT, STDERR = 1, 2
RECORD = struct.Struct("<QQQ")


def payload_name(stream: int, generation: int = 1) -> str:
    return f"log.{stream}" if generation == 1 else f"log.{stream}.{generation}"


def index_name(stream: int, generation: int = 1) -> str:
    return payload_name(stream, generation) + ".idx"


def generations(folder: str, stream: int) -> list[int]:
    """Those of `stream` whose index is there, the oldest first. Raises OSError."""
    begin, found = payload_name(stream), []
    for name in os.listdir(folder):
        if name.startswith(begin) and name.endswith(".idx"):
            number = name[len(begin) : -len(".idx")]
            if not number:
                found.append(1)
            elif number[0] == "." and number[1:].isdecimal():
                found.append(int(number[1:]))
    return sorted(found)


class StreamWriter:
    """The two files of one stream, open for appending. Their offsets lie in the open files, which the keeper shares."""

    __slots__ = ("end", "index_fd", "last_ns", "payload_fd", "written")

    def __init__(self, payload_fd: int, index_fd: int) -> None:
        """Takes both descriptors over and repairs what a crash left: a torn record, bytes without one."""
        self.payload_fd = payload_fd
        self.index_fd = index_fd
        records, torn = divmod(os.fstat(index_fd).st_size, RECORD.size)
        self.end = self.last_ns = 0  # what the index knows
        if records:
            offset, length, self.last_ns = RECORD.unpack(os.pread(index_fd, RECORD.size, (records - 1) * RECORD.size))
            self.end = offset + length
        if torn:
            os.ftruncate(index_fd, records * RECORD.size)
        os.lseek(index_fd, 0, os.SEEK_END)
        self.written = os.lseek(payload_fd, 0, os.SEEK_END)
        if self.written > self.end:
            self.record(0, self.last_ns)

    def record(self, length: int, after_ns: int) -> int:
        """Note that `length` more bytes have come, at a time later than `after_ns`; returns that time.

        Raises OSError (ENOSPC): then the next record covers these bytes too.
        """
        self.written += length
        time_ns = max(time.time_ns(), after_ns + 1)
        count = os.write(self.index_fd, RECORD.pack(self.end, self.written - self.end, time_ns))
        if count != RECORD.size:
            # A record crosses a block's end now and then, and a full disk has room up to there: what came after the
            # torn one would never be found again.
            os.ftruncate(self.index_fd, os.lseek(self.index_fd, -count, os.SEEK_CUR))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.end = self.written
        self.last_ns = time_ns
        return time_ns

    def mark(self, time_ns: int) -> None:
        """Note, before all other records, that the first line began in an earlier generation. Raises OSError."""
        os.write(self.index_fd, RECORD.pack(0, 0, time_ns))
        self.last_ns = time_ns

    def size(self) -> int:
        """Bytes in both files."""
        return self.written + os.fstat(self.index_fd).st_size

    def close(self) -> None:
        os.close(self.payload_fd)
        os.close(self.index_fd)


def open_writer(folder: str, stream: int, generation: int = 1) -> StreamWriter:
    """The files of `stream` in `folder`, made if needed. No O_APPEND: splice refuses it. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    payload_fd = os.open(f"{folder}/{payload_name(stream, generation)}", flags, 0o640)
    try:  # the index is the later one: where it is, the payload is too
        index_fd = os.open(f"{folder}/{index_name(stream, generation)}", flags, 0o640)
    except OSError:
        os.close(payload_fd)
        raise
    return StreamWriter(payload_fd, index_fd)
