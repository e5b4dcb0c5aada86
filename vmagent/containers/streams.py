"""Pipes and terminals on the event loop: read and write without blocking and without a thread.

A descriptor is watched only while somebody waits for it, so a reader that is slow costs nothing and holds its process
back as a pipe does.
"""

from __future__ import annotations

import asyncio
import errno
import os

CHUNK = 64 << 10  # bytes; a pipe's own size


async def readable(fd: int) -> None:
    """Wait until `fd` can be read or is at its end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _done, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def writable(fd: int) -> None:
    """Wait until `fd` takes bytes again, or its reader is gone."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, _done, ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def read_now(fd: int) -> bytes | None:
    """What is there; b"" at the end, None if nothing is there yet. `fd` is not blocking."""
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return None
    except OSError as e:
        if e.errno == errno.EIO:  # a pty master whose last slave is closed
            return b""
        raise


async def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`. Raises BrokenPipeError when nobody reads any more."""
    view = memoryview(data)
    while view:
        try:
            written = os.write(fd, view)
        except BlockingIOError:
            await writable(fd)
            continue
        except OSError as e:
            if e.errno == errno.EIO:  # a pty master whose last slave is closed
                raise BrokenPipeError(errno.EPIPE, "the terminal is gone") from e
            raise
        view = view[written:]


class Outputs:
    """The read ends of a process's output, merged in the order of arrival. Owns the descriptors."""

    def __init__(self, fds: dict[int, int]) -> None:
        """`fds`: descriptor → stream number (1 stdout or a terminal, 2 stderr)."""
        self._fds = fds
        for fd in fds:
            os.set_blocking(fd, False)
        self._news = asyncio.Event()
        self._watched: set[int] = set()

    @property
    def at_end(self) -> bool:
        return not self._fds

    def take(self) -> list[tuple[int, bytes]]:
        """What is there now of each stream; ended ones are closed."""
        parts = []
        for fd, stream in list(self._fds.items()):
            data = read_now(fd)
            if data:
                parts.append((stream, data))
            elif data == b"":
                self._close(fd)
        return parts

    async def wait(self, *others: asyncio.Future[None]) -> None:
        """Until something can be read, a stream ends, or one of `others` is done."""
        loop = asyncio.get_running_loop()
        self._news.clear()
        for fd in self._fds:
            loop.add_reader(fd, self._on_readable, fd)
            self._watched.add(fd)
        for other in others:
            other.add_done_callback(self._on_other)
        if any(other.done() for other in others):
            self._news.set()
        try:
            await self._news.wait()
        finally:
            for fd in list(self._watched):
                self._unwatch(fd)
            for other in others:
                other.remove_done_callback(self._on_other)

    def _on_readable(self, fd: int) -> None:
        self._unwatch(fd)
        self._news.set()

    def _on_other(self, _: asyncio.Future[None]) -> None:
        self._news.set()

    def _unwatch(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        self._watched.discard(fd)

    def _close(self, fd: int) -> None:
        if fd in self._watched:
            self._unwatch(fd)
        del self._fds[fd]
        os.close(fd)

    def close(self) -> None:
        for fd in list(self._fds):
            self._close(fd)
