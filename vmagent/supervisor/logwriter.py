"""A container's output on disk: per stream a payload file `log.N` and an index `log.N.idx` (N: 1 stdout, 2 stderr).

The payload holds only the bytes of the output, so splice(2) can write it without copying them through Python. The index
is an array of `RECORD`: offset and length in the payload, and the time of arrival (CLOCK_REALTIME, ns). The records
cover the payload without gaps, and their times increase strictly over both streams of a container, so that a reader can
merge the streams. After a crash the payload may be longer than the index says: the next writer adds a record for the
rest, with the current time. After a loss of power it may also be shorter, since the kernel writes the two files to the
disk in any order: the next writer removes the records whose bytes are lost. Either may end with zeros, since ext4 may
write the size of a file before its last bytes. `mend` does all that for a log that may get no writer any more.
`vmagent.supervisor.logfile` reads the files.

A log with limits continues in the files of the next generation, `log.N.G` and `log.N.G.idx` (G: 2, 3, …; the names of
the first have no G); older generations are not written again, see `vmagent.supervisor.rotation`. If a line continues in
the next generation, that index begins with a record of zero bytes. A reader that finds the older generation deleted
then knows that the first bytes are not the beginning of a line.
"""

from __future__ import annotations

import errno
import os
import struct
import time

STDOUT, STDERR = 1, 2
LOG_MODE = 0o640  # of both files
RECORD = struct.Struct("<QQQ")
_CHUNK_BYTES = 1 << 16


def payload_name(stream: int, generation: int = 1) -> str:
    return f"log.{stream}" if generation == 1 else f"log.{stream}.{generation}"


def index_name(stream: int, generation: int = 1) -> str:
    return payload_name(stream, generation) + ".idx"


def generations(folder: str, stream: int) -> list[int]:
    """The generations of `stream` whose index exists, the oldest first. Raises OSError."""
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
    """The two files of one stream, open for writing at the end. The keeper shares the open files and their offsets."""

    __slots__ = ("end", "index_fd", "last_ns", "payload_fd", "written")

    def __init__(self, payload_fd: int, index_fd: int) -> None:
        """Take ownership of both descriptors. Repair the state after a crash or a loss of power: a torn record, records
        without all their bytes, bytes without a record."""
        self.payload_fd = payload_fd
        self.index_fd = index_fd
        self.written = os.lseek(payload_fd, 0, os.SEEK_END)
        count, torn = divmod(os.fstat(index_fd).st_size, RECORD.size)
        # Offset after the last byte with a record; that record's time.
        whole, self.end, self.last_ns = _last_whole(index_fd, count, self.written)
        if torn or whole < count:
            os.ftruncate(index_fd, whole * RECORD.size)
        os.lseek(index_fd, 0, os.SEEK_END)
        if self.written > self.end:
            self.record(0, self.last_ns)

    def record(self, length: int, after_ns: int) -> int:
        """Append a record for `length` more bytes, with a time later than `after_ns`; returns that time.

        Raises OSError (ENOSPC); then the next record covers these bytes too.
        """
        self.written += length
        time_ns = max(time.time_ns(), after_ns + 1)
        count = os.write(self.index_fd, RECORD.pack(self.end, self.written - self.end, time_ns))
        if count != RECORD.size:
            # The disk is full: only the part of the record up to the end of a file system block was written. Remove it,
            # because readers find records at multiples of RECORD.size.
            os.ftruncate(self.index_fd, os.lseek(self.index_fd, -count, os.SEEK_CUR))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.end = self.written
        self.last_ns = time_ns
        return time_ns

    def mark(self, time_ns: int) -> None:
        """Write the record of zero bytes: the first line began in an earlier generation. Raises OSError."""
        os.write(self.index_fd, RECORD.pack(0, 0, time_ns))
        self.last_ns = time_ns

    def size(self) -> int:
        """The size of both files together, in bytes."""
        return self.written + os.fstat(self.index_fd).st_size

    def close(self) -> None:
        os.close(self.payload_fd)
        os.close(self.index_fd)


def _last_whole(index_fd: int, count: int, size: int) -> tuple[int, int, int]:
    """Of the first `count` records of an index: how many there are without those at the end that are zeros or have
    bytes beyond the payload's `size`; the offset after the last byte of the last of them, its time (0, 0 if none)."""
    while count:
        offset, length, time_ns = RECORD.unpack(os.pread(index_fd, RECORD.size, (count - 1) * RECORD.size))
        if time_ns and offset + length <= size:
            return count, offset + length, time_ns
        count -= 1
    return 0, 0, 0


def mend(folder: str, *, lost_power: bool) -> bool:
    """Make the files of a log agree that nobody writes or reads; whether they did not. `lost_power`: the container may
    have been writing when the machine lost power; zeros at the end are no output of it then. Raises OSError."""
    was_wrong = False
    for stream in (STDERR, STDOUT):
        if not (numbers := generations(folder, stream)):
            continue
        if lost_power and _cut_zeros(f"{folder}/{payload_name(stream, numbers[-1])}"):
            was_wrong = True
        if not _agree(folder, stream, numbers[-1]):
            open_writer(folder, stream, numbers[-1]).close()
            was_wrong = True
    return was_wrong


def _cut_zeros(payload: str) -> bool:
    """Remove the zeros at the end of a file; whether there were some."""
    try:
        fd = os.open(payload, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        size = end = os.fstat(fd).st_size
        while end:
            start = max(0, end - _CHUNK_BYTES)
            kept = len(os.pread(fd, end - start, start).rstrip(b"\0"))
            end = start + kept
            if kept:
                break
        if end < size:
            os.ftruncate(fd, end)
        return end < size
    finally:
        os.close(fd)


def _agree(folder: str, stream: int, generation: int) -> bool:
    """Whether the records of a generation cover its payload."""
    try:
        size = os.stat(f"{folder}/{payload_name(stream, generation)}").st_size
    except FileNotFoundError:
        return False
    index_fd = os.open(f"{folder}/{index_name(stream, generation)}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        count, torn = divmod(os.fstat(index_fd).st_size, RECORD.size)
        return not torn and _last_whole(index_fd, count, size)[:2] == (count, size)
    finally:
        os.close(index_fd)


def open_writer(folder: str, stream: int, generation: int = 1) -> StreamWriter:
    """Open the files of `stream` in `folder`, creating them if needed. Raises OSError.

    Without O_APPEND, since splice(2) refuses such files.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    payload_fd = os.open(f"{folder}/{payload_name(stream, generation)}", flags, LOG_MODE)
    try:  # the index is created last: where it exists, the payload exists too
        index_fd = os.open(f"{folder}/{index_name(stream, generation)}", flags, LOG_MODE)
    except OSError:
        os.close(payload_fd)
        raise
    return StreamWriter(payload_fd, index_fd)
