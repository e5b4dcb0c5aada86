"""Attach and logs: a container's output, read from its log files, and its stdin.

The supervisor writes all output to the log files, and attached clients read it from there. So any number of clients get
all output, a slow client delays no other, and a client that attaches after the exit still gets everything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from vmagent.containers.live import Live
from vmagent.containers.streams import write_all
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.logfile import LogEntry, LogReader
from vmagent.supervisor.messages import SupervisorError

READ_BYTES = 256 << 10  # about the size of a batch

InThread = Callable[[Callable[[int], list[LogEntry]], int], Awaitable[list[LogEntry]]]


class CachedLogReader:
    """A log reader for the event loop: it reads from the page cache directly, and from the disk in a thread."""

    def __init__(self, reader: LogReader, in_thread: InThread) -> None:
        """Take ownership of `reader`. `in_thread` runs a function with its argument in a thread."""
        self._reader, self._in_thread = reader, in_thread
        self._reading: asyncio.Future[list[LogEntry]] | None = None

    async def read(self, limit_bytes: int) -> list[LogEntry]:
        """The next entries, about `limit_bytes` at most; an empty list if there are none yet. Raises OSError."""
        try:
            return self._reader.read(limit_bytes, waits=False)
        except BlockingIOError:
            self._reading = asyncio.ensure_future(self._in_thread(self._reader.read, limit_bytes))
            return await asyncio.shield(self._reading)

    def finish(self) -> list[LogEntry]:
        """See LogReader."""
        return self._reader.finish()

    def close(self) -> None:
        """Close the files. If the caller of `read` was cancelled, wait for its thread, which may still be reading."""
        if self._reading is not None and not self._reading.done():
            self._reading.add_done_callback(self._close)
        else:
            self._reader.close()

    def _close(self, reading: asyncio.Future[list[LogEntry]]) -> None:
        if not reading.cancelled():
            reading.exception()  # mark it as retrieved: the caller was cancelled, and nobody else handles it
        self._reader.close()


class AttachSession:
    """One attached client. The caller must read `output` to its end, or call `detach`."""

    def __init__(
        self,
        live: Live,
        supervisor: SupervisorClient,
        *,
        stream: bool,
        stdin: bool,
    ) -> None:
        """`stream`: return also output that comes later; `stdin`: attach the input. `open` sets where output begins."""
        self._live, self._supervisor = live, supervisor
        state = live.record.state
        self._run = state.run if state.running else state.run + 1
        self._follows = stream
        self._takes_stdin = stdin and live.record.open_stdin
        self._stdin_fd: int | None = None
        self._is_left = self._is_closed = False
        self._reader: CachedLogReader | None = None
        live.sessions += 1

    async def open(self, opening: Awaitable[CachedLogReader]) -> None:
        """Set the reader of the output; `opening` makes it. On failure the session is closed. Raises OSError."""
        try:
            self._reader = await opening
        except BaseException:
            self._close()
            raise

    @property
    def tty(self) -> bool:
        return self._live.record.tty

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (stream, bytes) until this run of the container has ended and all its output has been returned."""
        try:
            while not self._is_left:
                news = self._live.bell.next()
                # Check for the end first, then read: otherwise output written in between would be missed.
                is_over = not self._follows or self._live.run_is_over(self._run)
                while self._reader is not None and (entries := await self._reader.read(READ_BYTES)):
                    for stream, data in _joined(entries):
                        yield stream, data
                if is_over:
                    return
                await news
        finally:
            self._close()

    async def write(self, data: bytes) -> None:
        """Write to the process's stdin; wait for its start, and while the pipe is full. Raises BrokenPipeError."""
        if self._takes_stdin:
            await write_all(await self._stdin(), data)

    async def close_stdin(self) -> None:
        """The client has no more input. The process reads end of file if the container has StdinOnce and no tty."""
        record = self._live.record
        if not self._takes_stdin or not record.config["StdinOnce"] or record.tty:
            return
        with suppress(BrokenPipeError):
            await self._started()
            self._drop_stdin()
            self._takes_stdin = False
            with suppress(SupervisorError):  # the container has ended meanwhile
                await self._supervisor.close_stdin(record.id)

    async def detach(self, *, keys: bool = False) -> None:
        """End the session; the process goes on.

        `keys`: the client has left by its detach keys. If it was lost instead, `close_stdin` ends the process's input.
        """
        if not keys and self._live.record.state.running and self._live.record.state.run == self._run:
            await self.close_stdin()
        self._is_left = True
        self._close()
        self._live.bell.ring()

    async def _started(self) -> None:
        """Wait until the run has started. Raises BrokenPipeError if it has ended."""
        while True:
            news = self._live.bell.next()
            if self._is_left or self._live.run_is_over(self._run):
                raise BrokenPipeError("the container has ended")
            if self._live.record.state.run == self._run and self._live.record.state.running:
                return
            await news

    async def _stdin(self) -> int:
        if self._stdin_fd is None:
            await self._started()
            try:
                fd = await self._supervisor.stdin_fd(self._live.id)
            except SupervisorError as e:
                raise BrokenPipeError(str(e)) from e
            os.set_blocking(fd, False)
            self._stdin_fd = fd
        return self._stdin_fd

    def _drop_stdin(self) -> None:
        if self._stdin_fd is not None:
            os.close(self._stdin_fd)
            self._stdin_fd = None

    def _close(self) -> None:
        self._drop_stdin()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if not self._is_closed:
            self._is_closed = True
            self._live.sessions -= 1
            self._live.bell.ring()
            self.on_closed()

    def on_closed(self) -> None:
        """Called once, when the session has closed its reader. Subclasses override it to clean up."""


def _joined(entries: list[LogEntry]) -> list[tuple[int, bytes]]:
    """Join consecutive entries of the same stream."""
    result: list[tuple[int, list[bytes]]] = []
    for entry in entries:
        if result and result[-1][0] == entry.stream:
            result[-1][1].append(entry.data)
        else:
            result.append((entry.stream, [entry.data]))
    return [(stream, b"".join(parts)) for stream, parts in result]


async def follow(live: Live, reader: CachedLogReader, *, follows: bool) -> AsyncIterator[list[LogEntry]]:
    """Yield batches of log lines: those that exist, then (with `follows`) new ones until the current run ends.

    Closes `reader` at the end.
    """
    try:
        run = live.record.state.run
        while True:
            news = live.bell.next()
            is_over = not follows or live.run_is_over(run) or live.record.state.run == 0
            while entries := await reader.read(READ_BYTES):
                yield entries
                await asyncio.sleep(0)  # let other tasks run: a long log must not block the loop
            if is_over:
                if rest := reader.finish():
                    yield rest
                return
            await news
    finally:
        reader.close()
