"""The Engine API's socket on the host: passes each connection through the tunnel.

A connection outlasts the engine's sleep, which is the time for which the resource saver has saved the VM: between two
requests it waits without a stream, and the next request wakes the VM. A stream of events goes on after the sleep from
where it was. Passive requests wake nothing: a ping is answered here, events are waited for. See
docs/decisions/0046-an-idle-vm-is-saved-by-itself.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Protocol

from desktop.hostagent.relay import both_ways
from desktop.hostagent.requests import Head, RequestScanner
from desktop.platform.base import Platform
from desktop.tunnel.transport import CHUNK, Stream, TunnelError
from desktop.vm.errors import VmError

_HEAD_LIMIT = 64 * 1024
_HEAD_WAIT_S = 5.0


class Engine(Protocol):
    """The engine behind the proxy."""

    @property
    def is_asleep(self) -> bool:
        """Whether the resource saver has saved the VM, or is about to."""
        ...

    @property
    def asleep_since_ns(self) -> int:
        """When that began last (ns since 1970)."""
        ...

    @property
    def ping(self) -> bytes | None:
        """The engine's response to GET /_ping before it fell asleep, with its head."""
        ...

    async def awake(self) -> None:
        """Wait until it is no longer asleep."""
        ...

    async def open(self) -> Stream:
        """A stream to the engine; wakes it, and waits for a VM that is starting. Raises VmError, TunnelError."""
        ...

    def used(self) -> None:
        """A client has sent a request that is not passive."""
        ...


class _FellAsleepError(Exception):
    """The VM is saved; the client's connection may go on."""


class EngineProxy:
    """Serves connections: call `handle` for each."""

    def __init__(self, platform: Platform, engine: Engine) -> None:
        """`engine`'s VmError and TunnelError are sent to the client as errors of the Engine API."""
        self._platform = platform
        self._engine = engine

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(reader, writer)
        try:
            while not self._engine.is_asleep or await self._wake_wanted(client):
                try:
                    stream = await self._engine.open()
                except (VmError, TunnelError) as e:
                    if self._engine.is_asleep:
                        continue  # it was saved meanwhile
                    if client.events is None:
                        await _refuse(client, f"{e}. {getattr(e, 'hint', '')}".strip())
                    return
                try:
                    await self._pass_on(client, stream)
                except _FellAsleepError:
                    continue
                return
        except (OSError, TunnelError):
            return  # one end broke; closing the other one below informs its peer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    # While it is asleep -----------------------------------------------------------------------------------------

    async def _wake_wanted(self, client: _Client) -> bool:
        """Serve a client of an engine that is asleep, until it sends a request that wakes the engine, or events go on
        because it is awake. False: the client has left."""
        while True:
            if client.events is not None:
                return await self._awake_or_left(client)
            part = await client.next()
            if part is None:
                return False
            if isinstance(part, Head) and part.is_ping and self._engine.is_asleep and self._engine.ping is not None:
                await client.send(_pong(self._engine.ping, is_head=part.method == "HEAD"))
                continue
            client.put_back(part)
            if isinstance(part, Head) and part.is_events and self._engine.is_asleep:
                return await self._awake_or_left(client)
            return True

    async def _awake_or_left(self, client: _Client) -> bool:
        """Wait until the engine is awake (True) or the client has ended its connection (False)."""
        awake = asyncio.create_task(self._engine.awake(), name="awake")
        left = asyncio.create_task(client.fill(), name="client leaves")
        try:
            await asyncio.wait({awake, left}, return_when=asyncio.FIRST_COMPLETED)
            return awake.done()
        finally:
            for task in (awake, left):
                task.cancel()
            await asyncio.gather(awake, left, return_exceptions=True)

    # While it is awake ------------------------------------------------------------------------------------------

    async def _pass_on(self, client: _Client, stream: Stream) -> None:
        """Pass bytes both ways until the connection ends. Raises _FellAsleepError, OSError, TunnelError."""
        events = client.events
        if events is not None:
            # Its head was sent before the sleep. The clients' streams have one form, so the body goes on as it is.
            try:
                await stream.write(events.since(self._engine.asleep_since_ns).raw)
                await client.send(await _body_begin(stream))
            except BaseException:
                stream.close()
                raise
        await both_ways(
            self._platform,
            client.writer,
            stream,
            self._inward(client, stream),
            self._outward(client, stream, self._engine.asleep_since_ns),
        )

    async def _inward(self, client: _Client, stream: Stream) -> None:
        while (part := await client.next()) is not None:
            if isinstance(part, Head):
                if self._engine.is_asleep:
                    client.put_back(part)
                    raise _FellAsleepError
                client.events = part if part.is_events else None
                if not (part.is_events or part.is_ping):
                    self._engine.used()
                part = part.raw
            await stream.write(part)
        await stream.write_eof()

    async def _outward(self, client: _Client, stream: Stream, last_sleep_ns: int) -> None:
        """Raises _FellAsleepError where the stream has ended because the VM was saved: nothing was under way then."""
        broke: TunnelError | None = None
        try:
            while data := await stream.read():
                await client.send(data)
        except TunnelError as e:
            broke = e
        if client.is_between and self._engine.asleep_since_ns != last_sleep_ns:
            raise _FellAsleepError
        if broke is not None:
            raise broke
        if client.writer.can_write_eof():
            client.writer.write_eof()


class _Client:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._scanner = RequestScanner()
        self._parts: deque[Head | bytes] = deque()
        self._has_ended = False
        self.events: Head | None = None  # the last request, if it is for a stream of events

    @property
    def is_between(self) -> bool:
        """Whether it may send another request now; a stream of events counts as served."""
        return not self._has_ended and self._scanner.is_between

    async def next(self) -> Head | bytes | None:
        """The next part of what the client sends; None: it has ended its direction."""
        while not self._parts:
            if self._has_ended:
                return None
            await self._read()
        return self._parts.popleft()

    def put_back(self, part: Head | bytes) -> None:
        self._parts.appendleft(part)

    async def fill(self) -> None:
        """Read on, without taking anything, until the client has ended its direction."""
        while not self._has_ended:
            await self._read()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def _read(self) -> None:
        data = await self._reader.read(CHUNK)
        if data:
            self._parts.extend(self._scanner.feed(data))
            return
        self._has_ended = True
        if rest := self._scanner.rest():
            self._parts.append(rest)


async def _body_begin(stream: Stream) -> bytes:
    """The first bytes of a response's body, its head dropped. Raises TunnelError where it is no success."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = await stream.read()
        if not data or len(head) > _HEAD_LIMIT:
            raise TunnelError("the engine did not continue the events")
        head += data
    head, _, body = head.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise TunnelError("the engine refused to continue the events")
    return body


def _pong(ping: bytes, *, is_head: bool) -> bytes:
    """The reply to a ping, from the engine's own reply to GET: its head, without what concerned that connection."""
    head, _, body = ping.partition(b"\r\n\r\n")
    if is_head:
        body = b""
    dropped = (b"connection:", b"date:", b"content-length:")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(dropped)]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


async def _refuse(client: _Client, message: str) -> None:
    """Answer the client's first request with 503 in docker's error shape."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_HEAD_WAIT_S):
            await client.next()
    body = json.dumps({"message": message}).encode() + b"\n"
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    await client.send(head.encode() + b"Connection: close\r\n\r\n" + body)
