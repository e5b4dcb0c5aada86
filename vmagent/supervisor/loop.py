"""The supervisor's event loop: level-triggered epoll(7) and a few timers, in one thread that blocks nowhere else."""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLHUP | select.EPOLLERR
ONLY_HANGUP = 0  # epoll reports EPOLLHUP and EPOLLERR without being asked


class Loop:
    """Calls each descriptor's handler with its events. A handler must tolerate a spurious call."""

    __slots__ = ("_epoll", "_handlers", "_timers", "is_stopping")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self.is_stopping = False

    def add(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def has(self, fd: int) -> bool:
        return fd in self._handlers

    def remove(self, fd: int) -> None:
        """Stop watching `fd`. Idempotent.

        To be called before the close: epoll watches the open file, which lives on in the keeper's copy.
        """
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def drop(self, fd: int) -> None:
        """Stop watching `fd` and close it; -1 is ignored."""
        if fd >= 0:
            self.remove(fd)
            os.close(fd)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call `call` once, after `delay_s` seconds."""
        self._timers.append((time.monotonic() + delay_s, call))

    def run(self) -> None:
        """Run until `is_stopping` is set."""
        while not self.is_stopping:
            timeout = -1.0
            if self._timers:
                timeout = max(0.0, min(when for when, _ in self._timers) - time.monotonic())
            for fd, events in self._epoll.poll(timeout):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler(events)
            if self._timers:
                now = time.monotonic()
                due = [call for when, call in self._timers if when <= now]
                if due:
                    self._timers = [timer for timer in self._timers if timer[0] > now]
                    for call in due:
                        call()
