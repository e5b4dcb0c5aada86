"""Notices when a peer that has closed its sending half closes the other half too.

asyncio stops watching a socket once end-of-file was read, so a client that disappears afterwards would be noticed
only by the next write. The kernel reports EPOLLHUP when both halves are shut, and EPOLLHUP can't be masked: a
second epoll, itself watched by the loop, costs one descriptor for all connections. epoll_ctl(2), unix(7).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable


class HangupWatch:
    """Owns one epoll descriptor, until `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def watch(self, fd: int, on_hangup: Callable[[], None]) -> None:
        """Call `on_hangup` once when both halves of socket `fd` are shut. `forget` it before it is closed."""
        if fd not in self._callbacks:
            self._callbacks[fd] = on_hangup
            self._epoll.register(fd, 0)

    def forget(self, fd: int) -> None:
        """Stop watching `fd`, watched or not."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _on_ready(self) -> None:
        for fd, _ in self._epoll.poll(0):
            callback = self._callbacks.pop(fd)
            self._epoll.unregister(fd)
            callback()

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
