"""What a session has open: files by the client's numbers, and listings of folders that are read piece by piece."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Beyond this many files the client gets EMFILE; the process needs descriptors for other things too.
OPEN_LIMIT = 8192


class _Open:
    """One open file. It is closed after the last request that uses it."""

    __slots__ = ("fd", "is_closed", "users")

    def __init__(self, fd: int) -> None:
        self.fd, self.users, self.is_closed = fd, 0, False


class Handles:
    """Used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._listings: dict[int, list[bytes]] = {}

    def add(self, handle: int, fd: int) -> None:
        """Takes over `fd`. A handle that is there already is replaced. Raises OSError (EMFILE): `fd` is closed."""
        with self._lock:
            if len(self._open) >= OPEN_LIMIT and handle not in self._open:
                os.close(fd)
                raise OSError(errno.EMFILE, "too many files are open")
            old, self._open[handle] = self._open.get(handle), _Open(fd)
        if old is not None:
            self._end(old)

    @contextmanager
    def use(self, handle: int) -> Iterator[int]:
        """The descriptor of an open file, which stays valid meanwhile. Raises OSError: EBADF."""
        with self._lock:
            found = self._open.get(handle)
            if found is None:
                raise OSError(errno.EBADF, "not open")
            found.users += 1
        try:
            yield found.fd
        finally:
            with self._lock:
                found.users -= 1
                is_over = found.is_closed and not found.users
            if is_over:
                os.close(found.fd)

    def has(self, handle: int) -> bool:
        return handle in self._open

    def listing(self, handle: int) -> list[bytes] | None:
        return self._listings.get(handle)

    def keep_listing(self, handle: int, names: list[bytes]) -> None:
        with self._lock:
            self._listings[handle] = names

    def close(self, handle: int) -> None:
        with self._lock:
            found = self._open.pop(handle, None)
            self._listings.pop(handle, None)
        if found is not None:
            self._end(found)

    def close_all(self) -> None:
        with self._lock:
            every = list(self._open.values())
            self._open.clear()
            self._listings.clear()
        for found in every:
            self._end(found)

    def _end(self, found: _Open) -> None:
        with self._lock:
            found.is_closed = True
            if found.users:
                return
        os.close(found.fd)
