"""A log with limits: when its files are full, output goes to files of the next generation; the oldest are deleted.

Nothing is ever renamed. A supervisor that is killed between any two system calls therefore leaves one of four states,
and the next supervisor continues from each:

1. Only the full generation exists.
2. Some files of the next generation exist too, all empty. Once one of its indexes exists, nothing more is written to
   the full generation, because readers may have left it already.
3. The keeper has the next generation; it receives number and descriptors in one message.
4. Old generations, or some of their files, have not been deleted yet.

A reader holds a shared flock(2) on the index that it reads, or on the folder while there are no files yet. A locked
generation and all after it are not deleted, so that clients that are attached or follow the log get every byte. A slow
reader must not fill the disk, however: if the log exceeds its limits by `_HELD_BYTES`, locked generations are deleted
too, and the reader misses their output.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from vmagent.supervisor.logwriter import (
    RECORD,
    STDERR,
    STDOUT,
    StreamWriter,
    generations,
    index_name,
    open_writer,
    payload_name,
)
from vmagent.supervisor.splicing import LogLimits
from vmagent.supervisor.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from vmagent.supervisor.keeping import Keeping
    from vmagent.supervisor.splicing import LogSplicer

_FIONREAD = 0x541B  # asm-generic/ioctls.h
_SMALLEST_BYTES = 1024  # the least size of a generation: a smaller one would hold hardly any line
_HELD_BYTES = 64 << 20
_HELD_GENERATIONS = 4096
_STREAMS = (STDERR, STDOUT)  # stdout's files are made last, see `Run._open_streams`


def new_entry(folder: str, max_size: int, max_file: int) -> dict[str, Any]:
    """The entry of a new run, for `Rotation`: `max_size` bytes in each of at most `max_file` generations."""
    return {"folder": folder, "max_size": max_size, "max_file": max_file, "generation": 0}


class Rotation(LogLimits):
    """The generations of one container's log. Both streams change generation together; the size limit is their sum."""

    __slots__ = ("_folder", "_keeping", "_key", "_left", "_max_file", "_max_size", "_oldest", "_splicers", "generation")

    def __init__(self, entry: Mapping[str, Any], key: str, keeping: Keeping) -> None:
        """`entry`: see `new_entry`; `key`: that of the run's entry in the keeper's store."""
        self._folder: str = entry["folder"]
        self._max_size: int = entry["max_size"]
        self._max_file: int = entry["max_file"]
        self.generation: int = entry["generation"]
        self._key = key
        self._keeping = keeping
        self._splicers: Sequence[LogSplicer] = ()
        self._oldest = 1
        self._left = 0  # bytes until this generation is full; payloads and indexes count

    def entry(self) -> dict[str, Any]:
        """The data to store with the keeper, together with the descriptors of this generation."""
        return {
            "folder": self._folder,
            "max_size": self._max_size,
            "max_file": self._max_file,
            "generation": self.generation,
        }

    # Beginning

    def begin(self) -> None:
        """Start a new run of the container, in the latest generation that exists. Raises OSError."""
        self.generation = max(self._latest(), 1)
        self._find_oldest()
        self._delete_old()

    def watch(self, splicers: Sequence[LogSplicer]) -> None:
        """Attach to the splicers: they call `room` from now on, and get new writers when a generation is full."""
        self._splicers = splicers
        for splicer in splicers:
            splicer.rotation = self
        self._measure()

    def resume(self) -> None:
        """Finish a rotation that a killed supervisor had begun. Call it before anything is written."""
        try:
            self._find_oldest()
            latest = self._latest()
            if latest > self.generation:
                self._switch(latest)
            else:
                self._delete_old()
        except OSError as e:
            say(f"cove-supervisor: {self._key}: the log can't be rotated: {e}")

    def open_writer(self, stream: int) -> StreamWriter:
        """Open the files of `stream` in this generation. Raises OSError."""
        return self._open(stream, self.generation)

    def _latest(self) -> int:
        return max((number for stream in _STREAMS for number in generations(self._folder, stream)), default=0)

    def _find_oldest(self) -> None:
        self._oldest = min(_numbers(self._folder), default=self.generation)

    def _measure(self) -> None:
        self._left = max(self._max_size, _SMALLEST_BYTES) - sum(splicer.writer.size() for splicer in self._splicers)

    # Per output

    def room(self, source_fd: int) -> int:
        """How many bytes may be moved from the pipe `source_fd` now. Starts the next generation if this one is full.

        As in docker, the next generation starts only when there is output for it.
        """
        if self._left <= RECORD.size:
            if not _waiting_bytes(source_fd):
                return _SMALLEST_BYTES  # not 0: the caller's splice(2) must find the pipe empty, or at its end
            self._rotate()
        return self._left - RECORD.size

    def took(self, count: int) -> None:
        """Count `count` bytes and their record as written."""
        self._left -= count + RECORD.size

    def _rotate(self) -> None:
        try:
            if all(splicer.writer.written == splicer.writer.end for splicer in self._splicers):
                self._switch(self.generation + 1)
        except OSError as e:
            say(f"cove-supervisor: {self._key}: the log can't be rotated: {e}")
        # Not rotated: there was an error, or some bytes have no record yet and the next record of this generation must
        # cover them. Go on in this generation.
        if self._left <= RECORD.size:
            self._left = max(self._max_size, _SMALLEST_BYTES)

    def _switch(self, generation: int) -> None:
        """Continue in `generation`, whose files may exist already. Raises OSError."""
        opened: list[tuple[LogSplicer, StreamWriter]] = []
        try:
            for splicer in reversed(self._splicers):
                opened.append((splicer, self._open(splicer.stream, generation)))
        except BaseException:
            for _, writer in opened:
                writer.close()
            raise
        self.generation = generation
        fds = {}
        for splicer, writer in opened:
            fds[f"log{splicer.stream}"], fds[f"idx{splicer.stream}"] = writer.payload_fd, writer.index_fd
        self._keeping.put(self._key, {"rotation": self.entry()}, fds)
        for splicer, writer in opened:
            splicer.writer.close()
            splicer.writer = writer
        self._measure()
        self._delete_old()

    def _open(self, stream: int, generation: int) -> StreamWriter:
        writer = open_writer(self._folder, stream, generation)
        try:
            if generation > 1 and not writer.last_ns:
                last_ns = self._cut_line(stream, generation - 1)
                if last_ns:
                    writer.mark(last_ns)
        except BaseException:
            writer.close()
            raise
        return writer

    def _cut_line(self, stream: int, generation: int) -> int:
        """If `generation` ends in the middle of a line, the time of its last record, otherwise 0."""
        try:
            records = _tail(f"{self._folder}/{index_name(stream, generation)}", RECORD.size)
            last = _tail(f"{self._folder}/{payload_name(stream, generation)}", 1)
        except FileNotFoundError:
            return 0
        # An index with only the record of zero bytes and an empty payload: the generation lies within one line.
        return RECORD.unpack(records)[2] if records and last != b"\n" else 0

    # Deleting

    def _delete_old(self) -> None:
        held = min(_HELD_BYTES // max(self._max_size, _SMALLEST_BYTES) + 1, _HELD_GENERATIONS)
        while (too_many := self.generation - self._max_file + 1 - self._oldest) > 0:
            if not _delete(self._folder, self._oldest, must=too_many > held):
                return
            self._oldest += 1


def trim(folder: str, max_file: int) -> None:
    """Delete generations beyond the limit that were kept for a reader which has left. Called by the engine.

    A supervisor may delete the same files at the same time; missing files are ignored. Raises OSError.
    """
    numbers = sorted(_numbers(folder))
    for number in range(numbers[0], numbers[-1] - max_file + 1) if numbers else ():
        if not _delete(folder, number, must=False):
            return


def _numbers(folder: str) -> set[int]:
    """The generations of which any file exists, including those that were deleted only in part."""
    found = set()
    for name in os.listdir(folder):
        if name.startswith("log."):
            number = name.removesuffix(".idx").partition(".")[2].partition(".")[2]
            found.add(int(number) if number.isdecimal() else 1)
    return found


def _delete(folder: str, generation: int, *, must: bool) -> bool:
    """Delete a generation; False if a reader has locked it or the folder. `must`: ignore locks. Raises OSError."""
    with contextlib.ExitStack() as locks:
        for path in (".", *(index_name(stream, generation) for stream in _STREAMS)):
            if not _lock(f"{folder}/{path}", locks) and not must:
                return False
        # The index first: a reader opens both files and then checks that the index still has a link (st_nlink). If it
        # has one, the payload was not deleted before the reader opened it.
        for stream in _STREAMS:
            for name in (index_name(stream, generation), payload_name(stream, generation)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")
    return True


def _lock(path: str, locks: contextlib.ExitStack) -> bool:
    """Lock `path` until `locks` is closed; False if another process has locked it. True for a file that is missing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    locks.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tail(path: str, length: int) -> bytes:
    """The last bytes of a file; fewer if it is shorter. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, length, max(0, os.fstat(fd).st_size - length))
    finally:
        os.close(fd)


def _waiting_bytes(pipe_fd: int) -> int:
    count = bytearray(4)
    fcntl.ioctl(pipe_fd, _FIONREAD, count)
    return int.from_bytes(count, "little")
