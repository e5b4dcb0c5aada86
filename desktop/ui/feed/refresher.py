"""Reads changed objects again. Several requests for one object while it waits lead to one read.

No Qt in here. `Refresher.run` is the body of a few threads. An object is named by a key that only `read` interprets. A
read that fails is repeated after a pause that grows with each failure; it delays no other read.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from desktop.client.engine import ApiError, ConnectionFailed, ProtocolError

SETTLE_S = 0.012  # requests for one key within this time lead to one read
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
FAILURES = (ApiError, ConnectionFailed, ProtocolError, OSError)


class Refresher:
    """The keys to read and their times. All methods may be called from any thread."""

    def __init__(self, read: Callable[[str], None], failed: Callable[[str, Exception, int], None]) -> None:
        """`read(key)` reads one thing and publishes it; it raises one of FAILURES. `failed(key, error, attempts)` is
        called after each failed read; the read is then repeated automatically."""
        self._read, self._failed = read, failed
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}  # key -> due time on the monotonic clock
        self._heap: list[tuple[float, str]] = []  # the same by time; entries that differ from `_due` are outdated
        self._unhurried: deque[str] = deque()
        self._busy: set[str] = set()
        self._again: set[str] = set()  # requested while being read
        self._attempts: dict[str, int] = {}
        self._round = 0
        self._closed = False

    def want(self, key: str) -> None:
        """Read `key` soon."""
        with self._changed:
            self._schedule(key, time.monotonic() + SETTLE_S)

    def want_later(self, keys: Iterable[str]) -> None:
        """Read `keys` in this order, whenever no key of `want` is due."""
        with self._changed:
            self._unhurried.extend(keys)
            self._changed.notify_all()

    def forget(self, key: str) -> None:
        """Do not read `key` any more: it does not exist."""
        with self._changed:
            self._due.pop(key, None)
            self._again.discard(key)
            self._attempts.pop(key, None)

    def clear(self) -> None:
        """Forget all keys. A running read finishes and is not repeated."""
        with self._changed:
            self._round += 1
            self._due.clear()
            self._heap.clear()
            self._unhurried.clear()
            self._again.clear()
            self._attempts.clear()

    def close(self) -> None:
        """Make every `run` return after its current read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Read due keys until `close`."""
        while (job := self._take()) is not None:
            key, number = job
            error: Exception | None = None
            try:
                self._read(key)
            except FAILURES as e:
                error = e
            attempts = self._finish(key, number, failed=error is not None)
            if error is not None and attempts:
                self._failed(key, error, attempts)

    def _schedule(self, key: str, at: float) -> None:
        if key in self._due and self._due[key] <= at:
            return
        self._due[key] = at
        heapq.heappush(self._heap, (at, key))
        self._changed.notify()

    def _take(self) -> tuple[str, int] | None:
        """Wait for the next due key; returns it with its round number. None: closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if (key := self._next(now)) is not None:
                    self._busy.add(key)
                    return key, self._round
                self._changed.wait(self._heap[0][0] - now if self._heap else None)
            return None

    def _next(self, now: float) -> str | None:
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._due.get(key) != at:
                continue
            del self._due[key]
            if key not in self._busy:
                return key
            self._again.add(key)
        while self._unhurried:
            key = self._unhurried.popleft()
            if key not in self._busy and key not in self._due:
                return key
        return None

    def _finish(self, key: str, number: int, *, failed: bool) -> int:
        """Record the end of a read; returns the number of consecutive failures."""
        with self._changed:
            self._busy.discard(key)
            if number != self._round:
                if key in self._again:
                    self._again.discard(key)
                    self._schedule(key, time.monotonic())
                return 0
            attempts = 0
            if failed:
                attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
                self._schedule(key, time.monotonic() + PAUSES_S[min(attempts, len(PAUSES_S)) - 1])
            else:
                self._attempts.pop(key, None)
            if key in self._again:
                self._again.discard(key)
                self._schedule(key, time.monotonic())
            return attempts
