"""Work off the GUI thread: a bounded pool of threads, and their answers back on the GUI thread.

A worker knows no widget. What it found, or how it failed, comes back through a queued signal and is handed to the
caller there. After `close` nothing is delivered any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from PySide6.QtCore import QObject, Qt, Signal, Slot

from desktop.client.engine import ApiError, ConnectionFailed, ProtocolError
from desktop.client.reference import InvalidReference

T = TypeVar("T")

# What a call of the engine or the host agent can end with; anything else is a bug and is raised on the GUI thread.
FAILURES = (ApiError, ConnectionFailed, ProtocolError, InvalidReference, OSError, ValueError)


class Workers(QObject):
    """`run(job, done, failed)`: `job` in a thread of the pool, then `done(result)` or `failed(error)` here."""

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
        """Start `job`. Without `failed`, a failure is raised on the GUI thread, where it ends in the log."""
        if self._closed:
            return

        def work() -> None:
            try:
                result = job()
            except FAILURES as e:
                error: Exception = e
                self.here(lambda: self._fail(error, failed))
                return
            if done is not None:
                self.here(lambda: done(result))

        self._jobs = {future for future in self._jobs if not future.done()} | {self._pool.submit(work)}

    def lasting(self, name: str, target: Callable[[], None]) -> threading.Thread:
        """Start a thread of its own for something that lasts (a stream); its owner ends it."""
        thread = threading.Thread(target=target, name=f"cove-ui-{name}", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return thread

    def here(self, call: Callable[[], None]) -> None:
        """Have `call` run on the GUI thread, soon; from any thread."""
        if not self._closed:
            self._answered.emit(call)

    @staticmethod
    def _fail(error: Exception, failed: Callable[[Exception], None] | None) -> None:
        if failed is None:
            raise error
        failed(error)

    @Slot(object)
    def _on_answered(self, call: Callable[[], None]) -> None:
        if not self._closed:
            call()

    def close(self, limit_s: float = 2.0) -> None:
        """Deliver nothing more; wait up to `limit_s` for all jobs and threads, whose streams are closed by now."""
        self._closed = True
        deadline = time.monotonic() + limit_s
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._jobs, limit_s)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
