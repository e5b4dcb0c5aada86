"""Bytes that flow in and out of a request: its body, a chunked reply, a hijacked connection.

Everything here is bounded: a reader that lags pauses the socket, a writer waits in `write` until the peer has read.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol, TypeVar

from vmagent.errors import TooLarge

HIGH_WATER = 512 * 1024  # bytes of input buffered before the socket is paused
LOW_WATER = 128 * 1024


P = TypeVar("P", bound=asyncio.BaseProtocol)


class Disconnected(ConnectionError):
    """The peer has closed the connection, or it broke."""


class Source(Protocol):
    """Where an `Inflow` gets its bytes from."""

    def update_reading(self) -> None:
        """Pause or resume the socket according to how much is buffered now."""


class Sink(Protocol):
    """Where a `Stream` writes to."""

    def send(self, data: bytes) -> None:
        """Hand bytes to the transport. Raises Disconnected."""

    async def drain(self) -> None:
        """Wait until the transport's buffer is below its limit. Raises Disconnected."""

    async def emptied(self) -> socket.socket:
        """Wait until the transport's buffer is empty: a duplicate of its socket, for somebody else to write to.

        Who asks for it closes it, and sends nothing meanwhile. Raises Disconnected.
        """


class Outflow:
    """Bytes to the peer: a `Sink` over a transport, whose protocol calls `pause`, `resume` and `fail`."""

    __slots__ = ("_drainers", "_error", "_transport", "is_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.is_paused = False  # the transport's buffer is above its limit
        self._error: Disconnected | None = None
        self._drainers: list[asyncio.Future[None]] = []

    def send(self, data: bytes) -> None:
        """Hand bytes to the transport. Raises Disconnected."""
        if self._error is not None or self._transport.is_closing():
            raise Disconnected("the client has closed the connection")
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the transport's buffer is below its limit. Raises Disconnected."""
        if self._error is not None:
            raise self._error
        if self.is_paused:
            drainer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drainers.append(drainer)
            await drainer

    async def emptied(self) -> socket.socket:
        """As `Sink.emptied`."""
        low, high = self._transport.get_write_buffer_limits()
        self._transport.set_write_buffer_limits(high=0)  # calls `pause` unless the buffer is empty
        try:
            await self.drain()
        finally:
            self._transport.set_write_buffer_limits(high=high, low=low)
        if self._error is not None or self._transport.is_closing():
            raise Disconnected("the client has closed the connection")
        duplicate: socket.socket = self._transport.get_extra_info("socket").dup()
        return duplicate

    def pause(self) -> None:
        """The transport's buffer is above its limit."""
        self.is_paused = True

    def resume(self) -> None:
        """The transport's buffer is below its limit again."""
        self.is_paused = False
        for drainer in self._drainers:
            if not drainer.done():
                drainer.set_result(None)
        self._drainers.clear()

    def fail(self, error: Disconnected) -> None:
        """The connection is lost: every writer, now and later, gets `error`."""
        self._error = error
        for drainer in self._drainers:
            if not drainer.done():
                drainer.set_exception(error)
        self._drainers.clear()


class Inflow:
    """Bytes from the peer, in order, with an end. One reader."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._chunks: deque[bytes] | None = None  # made when first needed: an empty one has 760 bytes
        self._wake: asyncio.Future[None] | None = None
        self._error: Disconnected | None = None
        self._is_discarding = False
        self._is_full = False
        self.size = 0  # bytes buffered
        self.has_ended = False

    @property
    def is_full(self) -> bool:
        """Whether reading from the socket must pause.

        It becomes true at HIGH_WATER and false at LOW_WATER, and keeps its value in between: otherwise the socket would
        be paused and resumed at every read.
        """
        if self.size >= HIGH_WATER:
            self._is_full = True
        elif self.size <= LOW_WATER:
            self._is_full = False
        return self._is_full

    def feed(self, data: bytes) -> None:
        """More bytes came."""
        if self._is_discarding:
            return
        if self._chunks is None:
            self._chunks = deque()
        self._chunks.append(data)
        self.size += len(data)
        self._notify()

    def feed_end(self) -> None:
        """No more will come."""
        self.has_ended = True
        self._notify()

    def fail(self, error: Disconnected) -> None:
        """The connection broke before the end."""
        if not self.has_ended:
            self._error = error
            self._notify()

    def discard(self) -> None:
        """Drop what is here and what still comes."""
        self._is_discarding = True
        self.take()

    def take(self) -> bytes:
        """Everything buffered, without waiting."""
        data = self._all()
        self._source.update_reading()
        return data

    def _all(self) -> bytes:
        chunks, self._chunks = self._chunks, None
        self.size = 0
        if chunks is None:
            return b""
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def next(self) -> bytes:
        """The next bytes, whatever amount is there; b"" at the end. Raises Disconnected."""
        while not self._chunks:
            if self.has_ended:
                return b""
            if self._error is not None:
                raise self._error
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        data = self._chunks.popleft()
        self.size -= len(data)
        if self._is_full:
            self._source.update_reading()
        return data


class Body(Inflow):
    """A request's body. Iterate over it once, or `read` it whole."""

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge past `limit` bytes, Disconnected if it was cut short."""
        if self.has_ended and self.size <= limit:  # nearly always: a small body comes with its head
            return self._all()
        parts: list[bytes] = []
        total = 0
        while data := await self.next():
            total += len(data)
            if total > limit:
                raise TooLarge(f"http: request body too large: the limit is {limit} bytes")
            parts.append(data)
        return b"".join(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.next():
            yield data


_LAST_CHUNK = b"0\r\n\r\n"


class SocketWriter(Protocol):
    """Writes a part of a reply's body to a socket."""

    async def __call__(self, fd: int, *, chunked: bool) -> bool:
        """`fd`: the socket, which doesn't block; `chunked`: whether what is written must be chunks. False: the peer has
        gone."""


class Stream:
    """A reply of unknown length. Its head was sent when this was made; chunked for HTTP/1.1."""

    def __init__(self, sink: Sink, *, chunked: bool) -> None:
        self._sink = sink
        self._chunked = chunked

    async def write(self, data: bytes) -> None:
        """Send `data` as one chunk; waits while the peer is slow. Raises Disconnected."""
        if not data:
            return
        self._sink.send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self._sink.drain()

    async def write_last(self, data: bytes) -> None:
        """As `write` and `finish`, in one system call. Raises Disconnected."""
        self._sink.send(b"%x\r\n%b\r\n%b" % (len(data), data, _LAST_CHUNK) if self._chunked else data)
        await self._sink.drain()

    async def lend(self, write: SocketWriter) -> None:
        """Have `write` send bytes on the connection's own socket. Raises Disconnected."""
        with await self._sink.emptied() as sock:
            if not await write(sock.fileno(), chunked=self._chunked):
                raise Disconnected("the client has closed the connection")

    def finish(self) -> None:
        """The reply is complete."""
        if self._chunked:
            self._sink.send(_LAST_CHUNK)


class Hijacked(Protocol):
    """A connection taken over by a handler: raw bytes both ways, each way ended by itself."""

    async def read(self) -> bytes:
        """Bytes from the peer; b"" once it has closed its half (it may well go on reading). Raises Disconnected."""

    async def write(self, data: bytes) -> None:
        """Send all of `data`; waits while the peer is slow. Raises Disconnected."""

    async def head_was_read(self) -> None:
        """Wait, for a short while at most, until the peer has taken the reply's head out of its socket."""

    async def hung_up(self) -> None:
        """Returns when the peer has closed both halves or the connection broke."""

    def finish(self) -> None:
        """All output was written: close our half, then the connection once the peer closes or some seconds passed."""


class Exchange(Protocol):
    """One request and its reply on a connection."""

    def stream(self, status: int = 200, *, content_type: str = "", headers: Mapping[str, str] | None = None) -> Stream:
        """Send the head of a reply of unknown length at once."""

    def hijack(self, content_type: str, *, common_headers: bool) -> Hijacked:
        """Answer 101 (if the client asked to upgrade; else 200) and take the connection over."""

    def switch_protocols(self, headers: Mapping[str, str]) -> Hijacked:
        """Answer 101 with these headers and take the connection over."""

    def hand_over(self, factory: Callable[[], P], *, upgrade: str) -> P:
        """Answer 101 `Upgrade: upgrade`, and make `factory()` the protocol of the connection's transport.

        The new protocol gets `connection_made`, then the bytes that arrived after the request, then whatever follows.
        Raises Disconnected, and BadRequest if the request's body has not arrived whole.
        """

    @property
    def has_answered(self) -> bool:
        """Whether a head was sent."""

    def break_off(self) -> None:
        """What was sent can't be completed: the connection breaks, so that the client doesn't take it for whole."""
