"""Stages of a layer's pipeline in threads: receive, decompress and unpack overlap, since their C parts drop the GIL.

Every hand-over is bounded. A stage that fails hands its exception down; a stage whose reader is gone is told at its
next block, so no thread outlives the pipeline for longer than one block takes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self


class ReaderGone(Exception):
    """The next stage has stopped reading."""


class Stage:
    """Runs `blocks` in a thread of its own, at most `depth` blocks ahead of the consumer.

    A context manager: leaving it stops the thread and waits for its end.
    """

    def __init__(self, name: str, blocks: Iterable[bytes], depth: int) -> None:
        self._blocks = blocks
        self._depth = depth
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._abandoned = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            for block in self._blocks:
                with self._changed:
                    while len(self._queue) >= self._depth and not self._abandoned:
                        self._changed.wait()
                    if self._abandoned:
                        raise ReaderGone
                    self._queue.append(block)
                    self._changed.notify_all()
        except BaseException as e:  # noqa: BLE001 - carried to the reading thread, raised there
            self._failure = e
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                while not self._queue and not self._ended:
                    self._changed.wait()
                if not self._queue:
                    if self._failure is not None:
                        raise self._failure
                    return
                block = self._queue.popleft()
                self._changed.notify_all()
            yield block
