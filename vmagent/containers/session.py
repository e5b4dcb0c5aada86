"""Attach and logs: a container's output read back from its log files, and its stdin.

The supervisor writes every byte of output to the log files first; whoever is attached reads them from
there as they grow. So any number of clients get all output, a slow one holds nobody back, and a client that comes after
the process has ended still gets everything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from vmagent.containers.live import Live
from vmagent.containers.streams import write_all
from vmagent.supervisor.client import SupervisorClient, SupervisorError
from vmagent.supervisor.logfile import LogEntry, LogReader

READ_BYTES = 256 << 10  # given out at once

InThread = Callable[[Callable[[int], list[LogEntry]], int], Awaitable[list[LogEntry]]]


class CachedLogReader:
    """A log reader for the event loop: what lies in the page cache is read at once, anything else in a thread."""

    def __init__(self, reader: LogReader, in_thread: InThread) -> None:
        """Owns `reader`. `in_thread` runs a function with its argument in a thread."""
        self._reader, self._in_thread = reader, in_thread
        self._reading: asyncio.Future[list[LogEntry]] | None = None

    async def read(self, limit_bytes: int) -> list[LogEntry]:
        """The next entries, about `limit_bytes` at most; an empty list: no more now. Raises OSError."""
        try:
            return self._reader.read(limit_bytes, waits=False)
        except BlockingIOError:
            self._reading = asyncio.ensure_future(self._in_thread(self._reader.read, limit_bytes))
            return await asyncio.shield(self._reading)

    def finish(self) -> list[LogEntry]:
        """See LogReader."""
        return self._reader.finish()

    def close(self) -> None:
        """Close the files, once a thread that may be reading them (for a caller that was cancelled) has ended."""
        if self._reading is not None and not self._reading.done():
            self._reading.add_done_callback(self._close)
        else:
            self._reader.close()

    def _close(self, reading: asyncio.Future[list[LogEntry]]) -> None:
        if not reading.cancelled():
            reading.exception()  # the caller that would have got it is gone
        self._reader.close()


class AttachSession:
    """One attached client. `output` must be read, or the session left by `detach`."""

    def __init__(
        self,
        live: Live,
        supervisor: SupervisorClient,
        *,
        stream: bool,
        stdin: bool,
    ) -> None:
        """`stream`: also what comes from now on; `stdin`: with the process's input. The output's place: see `open`."""
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
        """Give the output that the reader begins with. On failure the session is closed. Raises OSError."""
        try:
            self._reader = await opening
        except BaseException:
            self._close()
            raise

    @property
    def tty(self) -> bool:
        return self._live.record.tty

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(stream, bytes) until this run of the container has ended and everything was given."""
        try:
            while not self._is_left:
                news = self._live.bell.next()
                is_over = not self._follows or self._live.run_is_over(self._run)  # first this, then what it wrote
                while self._reader is not None and (entries := await self._reader.read(READ_BYTES)):
                    for stream, data in _joined(entries):
                        yield stream, data
                if is_over:
                    return
                await news
        finally:
            self._close()

    async def write(self, data: bytes) -> None:
        """To the process's stdin, waiting for its start and while it doesn't read. Raises BrokenPipeError."""
        if self._takes_stdin:
            await write_all(await self._stdin(), data)

    async def close_stdin(self) -> None:
        """The client has no more input: the process sees the end if it asked for StdinOnce."""
        record = self._live.record
        if not self._takes_stdin or not record.config["StdinOnce"] or record.tty:
            return
        with suppress(BrokenPipeError):
            await self._started()
            self._drop_stdin()
            self._takes_stdin = False
            with suppress(SupervisorError):  # ended meanwhile
                await self._supervisor.close_stdin(record.id)

    async def detach(self, *, keys: bool = False) -> None:
        """Leave; the process goes on. Its input ends with a client that was lost, not with one that left by `keys`."""
        if not keys and self._live.record.state.running and self._live.record.state.run == self._run:
            await self.close_stdin()
        self._is_left = True
        self._close()
        self._live.bell.ring()

    async def _started(self) -> None:
        """Wait for the run. Raises BrokenPipeError if it is over."""
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
        """It reads no more; once. For who has something to tidy up then."""


def _joined(entries: list[LogEntry]) -> list[tuple[int, bytes]]:
    """Neighbours of one stream in one piece."""
    result: list[tuple[int, list[bytes]]] = []
    for entry in entries:
        if result and result[-1][0] == entry.stream:
            result[-1][1].append(entry.data)
        else:
            result.append((entry.stream, [entry.data]))
    return [(stream, b"".join(parts)) for stream, parts in result]


async def follow(live: Live, reader: CachedLogReader, *, follows: bool) -> AsyncIterator[list[LogEntry]]:
    """Batches of log lines: what is there, then (with `follows`) what comes until the run under way ends.

    Closes `reader` at the end.
    """
    try:
        run = live.record.state.run
        while True:
            news = live.bell.next()
            is_over = not follows or live.run_is_over(run) or live.record.state.run == 0
            while entries := await reader.read(READ_BYTES):
                yield entries
                await asyncio.sleep(0)  # a long log must not hold up the others on the loop
            if is_over:
                if rest := reader.finish():
                    yield rest
                return
            await news
    finally:
        reader.close()
