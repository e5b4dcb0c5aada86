"""A log with limits: full files are followed by those of a next generation, and the oldest are deleted.

Nothing is ever renamed, so a supervisor killed between any two calls leaves one of four states, and the next one goes
on from each: the full generation alone; beside it some files of the next (they are empty, and nothing more goes into
the full one once an index of the next is there, for readers may have left it); the next one with the keeper, who takes
number and descriptors in one message; what was to be deleted, or a part of it.

Who reads holds a shared flock(2) on the index it is in, or on the folder while there is nothing yet. A generation that
is locked stays, and with it those after it: a client that is attached or follows gets every byte. But a reader that
does not come on must not fill the disk: when `_HELD_BYTES` beyond the limits are reached, it loses all beyond them.
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
_SMALLEST_BYTES = 1024  # below that a log would be all files and no lines
_HELD_BYTES = 64 << 20
_HELD_GENERATIONS = 4096
_STREAMS = (STDERR, STDOUT)  # stdout's files are made last, see `Run._open_streams`


def new_entry(folder: str, max_size: int, max_file: int) -> dict[str, Any]:
    """What a `Rotation` is made of at the start of a run: `max_size` bytes in each of `max_file` generations."""
    return {"folder": folder, "max_size": max_size, "max_file": max_file, "generation": 0}


class Rotation(LogLimits):
    """The generations of one container's log. Both its streams are of the same generation, and fill it together."""

    __slots__ = ("_folder", "_keeping", "_key", "_left", "_max_file", "_max_size", "_oldest", "_splicers", "generation")

    def __init__(self, entry: Mapping[str, Any], key: str, keeping: Keeping) -> None:
        """`entry`: see `new_entry`; `key`: of the run's entry with the keeper."""
        self._folder: str = entry["folder"]
        self._max_size: int = entry["max_size"]
        self._max_file: int = entry["max_file"]
        self.generation: int = entry["generation"]
        self._key = key
        self._keeping = keeping
        self._splicers: Sequence[LogSplicer] = ()
        self._oldest = 1
        self._left = 0  # bytes until this generation is full, its index included

    def entry(self) -> dict[str, Any]:
        """For the keeper, beside the descriptors of this generation."""
        return {
            "folder": self._folder,
            "max_size": self._max_size,
            "max_file": self._max_file,
            "generation": self.generation,
        }

    # Beginning

    def begin(self) -> None:
        """A new run: go on with the latest generation that is there. Raises OSError."""
        self.generation = max(self._latest(), 1)
        self._find_oldest()
        self._delete_old()

    def watch(self, splicers: Sequence[LogSplicer]) -> None:
        """From here on the splicers ask for `room`, and get new writers when it is used up."""
        self._splicers = splicers
        for splicer in splicers:
            splicer.rotation = self
        self._measure()

    def resume(self) -> None:
        """After a supervisor that was killed, before anything is written: end what it had begun."""
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
        """The files of this generation. Raises OSError."""
        return self._open(stream, self.generation)

    def _latest(self) -> int:
        return max((number for stream in _STREAMS for number in generations(self._folder, stream)), default=0)

    def _find_oldest(self) -> None:
        self._oldest = min(_numbers(self._folder), default=self.generation)

    def _measure(self) -> None:
        self._left = max(self._max_size, _SMALLEST_BYTES) - sum(splicer.writer.size() for splicer in self._splicers)

    # While output comes

    def room(self, source_fd: int) -> int:
        """How many bytes of the pipe `source_fd` this generation takes now; if it is full and more has come, the next.

        As with docker, a full file is left only when there is something for the next.
        """
        if self._left <= RECORD.size:
            if not _waiting_bytes(source_fd):
                return _SMALLEST_BYTES  # it is to find that out by itself, or the pipe's end
            self._rotate()
        return self._left - RECORD.size

    def took(self, count: int) -> None:
        """So many bytes have come, and a record."""
        self._left -= count + RECORD.size

    def _rotate(self) -> None:
        try:
            if all(splicer.writer.written == splicer.writer.end for splicer in self._splicers):
                self._switch(self.generation + 1)
        except OSError as e:
            say(f"cove-supervisor: {self._key}: the log can't be rotated: {e}")
        if self._left <= RECORD.size:  # or the index lacks a record: the next one, in this generation, makes up for it
            self._left = max(self._max_size, _SMALLEST_BYTES)

    def _switch(self, generation: int) -> None:
        """Go on in `generation`, whose files may be there already. Raises OSError."""
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
        """The time of the last record of a generation that ends in the middle of a line, else 0."""
        try:
            records = _tail(f"{self._folder}/{index_name(stream, generation)}", RECORD.size)
            last = _tail(f"{self._folder}/{payload_name(stream, generation)}", 1)
        except FileNotFoundError:
            return 0
        # Nothing but a mark: it is all in the middle of one line.
        return RECORD.unpack(records)[2] if records and last != b"\n" else 0

    # Deleting

    def _delete_old(self) -> None:
        held = min(_HELD_BYTES // max(self._max_size, _SMALLEST_BYTES) + 1, _HELD_GENERATIONS)
        while (too_many := self.generation - self._max_file + 1 - self._oldest) > 0:
            if not _delete(self._folder, self._oldest, must=too_many > held):
                return
            self._oldest += 1


def trim(folder: str, max_file: int) -> None:
    """Delete what was kept beyond the limit for a reader who is gone. For who holds no `Rotation` of it: the engine.

    Beside a supervisor that does the same: what is gone already is nobody's loss. Raises OSError.
    """
    numbers = sorted(_numbers(folder))
    for number in range(numbers[0], numbers[-1] - max_file + 1) if numbers else ():
        if not _delete(folder, number, must=False):
            return


def _numbers(folder: str) -> set[int]:
    """The generations of which any file is there: also what is left of one that was being deleted."""
    found = set()
    for name in os.listdir(folder):
        if name.startswith("log."):
            number = name.removesuffix(".idx").partition(".")[2].partition(".")[2]
            found.add(int(number) if number.isdecimal() else 1)
    return found


def _delete(folder: str, generation: int, *, must: bool) -> bool:
    """False if somebody reads it, or what comes before it; `must`: then it goes nevertheless. Raises OSError."""
    with contextlib.ExitStack() as locks:
        for path in (".", *(index_name(stream, generation) for stream in _STREAMS)):
            if not _lock(f"{folder}/{path}", locks) and not must:
                return False
        # The index first: a reader that has opened both files and then finds its index linked has the pair.
        for stream in _STREAMS:
            for name in (index_name(stream, generation), payload_name(stream, generation)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")
    return True


def _lock(path: str, locks: contextlib.ExitStack) -> bool:
    """Lock it until `locks` ends; False if somebody else has it. What is not there counts as locked."""
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
