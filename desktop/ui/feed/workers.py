"""Work outside the GUI thread: a bounded pool of threads, whose results are delivered on the GUI thread.

A worker uses no widgets. Its result or error comes back through a queued signal and is passed to the caller's callback
there. After `close` nothing is delivered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from PySide6.QtCore import QObject, Qt, Signal, Slot

from desktop.client.engine import ApiError, ConnectionFailed, ProtocolError
from desktop.client.recreate import RecreationFailed
from desktop.client.reference import InvalidReference

T = TypeVar("T")

# The expected errors of calls to the engine or the host agent; any other is a bug, and raised on the GUI thread, too.
FAILURES = (ApiError, ConnectionFailed, ProtocolError, InvalidReference, RecreationFailed, OSError, ValueError)


class Workers(QObject):
    """`run(job, done, failed)`: `job` in a pool thread, then `done(result)` or `failed(error)` on the GUI thread."""

    _answered = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="cove-ui")
        self._closed = False
        self._jobs: set[Future[None]] = set()
        self._threads: list[threading.Thread] = []
        self._answered.connect(self._on_answered, Qt.ConnectionType.QueuedConnection)

    def run(
        self,
        job: Callable[[], T],
        done: Callable[[T], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Start `job`. An error without `failed`, or none of `FAILURES`, is raised on the GUI thread and logged."""
        if not self._closed:
            work = self._work(job, done, failed)
            self._jobs = {future for future in self._jobs if not future.done()} | {self._pool.submit(work)}

    def run_long(
        self,
        job: Callable[[], T],
        done: Callable[[T], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """As `run`, in a thread of its own: for work that takes as long as it takes, such as a pull. However much of it
        there is, short work does not wait for it. The caller ends it before `close`."""
        if not self._closed:
            self.lasting("task", self._work(job, done, failed))

    def _work(
        self, job: Callable[[], T], done: Callable[[T], None] | None, failed: Callable[[Exception], None] | None
    ) -> Callable[[], None]:
        """`job`, whose result or error goes to the GUI thread."""

        def work() -> None:
            try:
                result = job()
            except Exception as e:  # noqa: BLE001  # a bug's is raised in the GUI thread; here nobody would hear of it
                error = e
                self.here(lambda: self._fail(error, failed))
                return
            if done is not None:
                self.here(lambda: done(result))

        return work

    def lasting(self, name: str, target: Callable[[], None]) -> threading.Thread:
        """Run a long job (a stream) in its own thread; the caller must end it."""
        thread = threading.Thread(target=target, name=f"cove-ui-{name}", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return thread

    def here(self, call: Callable[[], None]) -> None:
        """Queue `call` for the GUI thread; may be called from any thread."""
        if not self._closed:
            self._answered.emit(call)

    @staticmethod
    def _fail(error: Exception, failed: Callable[[Exception], None] | None) -> None:
        if failed is not None:
            failed(error)
        if failed is None or not isinstance(error, FAILURES):
            raise error

    @Slot(object)
    def _on_answered(self, call: Callable[[], None]) -> None:
        if not self._closed:
            call()

    def close(self, limit_s: float = 2.0) -> None:
        """Deliver nothing more; wait up to `limit_s` seconds for all threads, whose streams the caller has closed."""
        self._closed = True
        deadline = time.monotonic() + limit_s
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._jobs, limit_s)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


class Latest:
    """Jobs of which only the last one asked for counts: an answer that comes after another `run` is dropped.
    `is_waiting`: that of the last one has not come yet."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._number = 0
        self.is_waiting = False

    def run(self, job: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]) -> None:
        """As `Workers.run`."""
        self._number += 1
        self.is_waiting = True
        number = self._number

        def told(result: T) -> None:
            if number == self._number:
                self.is_waiting = False
                done(result)

        def refused(error: Exception) -> None:
            if number == self._number:
                self.is_waiting = False
                failed(error)

        self._workers.run(job, told, refused)

    def drop(self) -> None:
        """Nobody wants the answer any more."""
        self._number += 1
        self.is_waiting = False
