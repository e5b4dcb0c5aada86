"""Files on their way between this computer and the engine, as tasks with progress, cancel and a message at the end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Protocol

from PySide6.QtCore import QObject, Signal

from desktop.ui.kit.states import State
from desktop.ui.kit.tasks import Task, Tasks
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import disk, duration, sentence, tr

REPORT_BYTES = 1 << 20  # progress is told after so many bytes


class Pieces(Protocol):
    """A stream of bytes that another thread may close."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


Start = Callable[[Callable[[], None], Callable[[None], None], Callable[[Exception], None]], None]


class Cancelled(OSError):
    """The user has stopped the transfer."""


class Transfer(Task):
    """`work(transfer)` runs in a worker, calls `count` for its bytes and `check` before it goes on. `done` is the title
    of the message at the end, `failed` that of a failure."""

    _counted = Signal()

    def __init__(self, title: str, done: str, failed: str, total: int = 0, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._title, self._done, self._failed = title, done, failed
        self.total_bytes = total  # 0: not known, or not yet
        self.count_bytes = 0
        self._told_at = 0
        self._lock = threading.Lock()
        self._stream: Pieces | None = None
        self._counted.connect(self.changed)

    @property
    def title(self) -> str:
        return self._title

    @property
    def fraction(self) -> float | None:
        return min(1.0, self.count_bytes / self.total_bytes) if self.total_bytes else None

    def cancel(self) -> None:
        with self._lock:
            self.is_cancelled = True
            if self._stream is not None:
                self._stream.close()

    def report(self) -> Message | None:
        if self.is_cancelled:
            return Message(self._failed, tr("Cancelled."), State.STOPPED)
        if self.problem:
            return Message(self._failed, self.problem, State.PROBLEM)
        took = duration(self.took_s)
        moved = tr("{size} in {time}", size=disk(self.count_bytes), time=took) if self.count_bytes else took
        return Message(self._done, moved)

    def run(self, tasks: Tasks, start: Start, work: Callable[[], None]) -> None:
        """Show it among `tasks` and let `start` (`Workers.run`) do `work`."""
        tasks.add(self)
        start(work, lambda _: self.end(), lambda error: self.end(sentence(str(error))))

    # in the worker ---------------------------------------------------------------------------------------------------

    def follow(self, stream: Pieces) -> Iterator[bytes]:
        """The pieces of `stream`, counted; a cancel closes it. Raises Cancelled."""
        self.closes(stream)
        yield from self.counted(stream)

    def closes(self, stream: Pieces) -> None:
        """A cancel closes `stream`, also while it is waited for."""
        with self._lock:
            self._stream = stream
            if self.is_cancelled:
                stream.close()

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """`pieces`, counted. Raises Cancelled."""
        for piece in pieces:
            self._check()
            self.count_bytes += len(piece)
            if self.count_bytes - self._told_at >= REPORT_BYTES:
                self._told_at = self.count_bytes
                self._counted.emit()
            yield piece
        self._check()

    def _check(self) -> None:
        if self.is_cancelled:
            raise Cancelled


def save_stream(transfer: Transfer, stream: Pieces, path: Path) -> None:
    """Write `stream` to `path`. Raises OSError and what reading raises."""
    try:
        write_file(path, lambda file: [file.write(piece) for piece in transfer.follow(stream)])
    finally:
        stream.close()


def write_file(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Let `fill` write a file beside `path`, which then takes its place; nothing half-made is left. Raises OSError and
    what `fill` raises."""
    part = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")  # a name of its own: no other file is lost
    try:
        with part.open("xb") as file:
            fill(file)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
