"""Writes to pipes and terminals from the event loop, without blocking it and without a thread."""

from __future__ import annotations

import asyncio
import errno
import os


async def writable(fd: int) -> None:
    """Wait until a write to `fd` would not block: there is room, or the read end was closed."""
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


async def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to the non-blocking `fd`. Raises BrokenPipeError if the read end was closed."""
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
