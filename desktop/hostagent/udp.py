"""One published UDP port: datagrams of each client go through a stream of their own, so that replies find back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from desktop.hostagent.relay import end
from desktop.tunnel.transport import Stream, TunnelError

IDLE_S = 60.0  # without a datagram either way a client is forgotten
CLIENTS_LIMIT = 512  # of one port; datagrams of more are lost
_WAITING_LIMIT = 256  # datagrams of one client that wait for the tunnel; more are lost


class UdpForward(asyncio.DatagramProtocol):
    """The protocol object of one socket."""

    def __init__(self, open_stream: Callable[[], Awaitable[Stream]]) -> None:
        self._open_stream = open_stream
        self._transport: Any = None  # Any: asyncio's own is not declared as a DatagramTransport
        self._clients: dict[Any, _Client] = {}  # by address
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        client = self._clients.get(addr)
        if client is None:
            if len(self._clients) >= CLIENTS_LIMIT:
                return
            client = self._clients[addr] = _Client()
            client.task = asyncio.create_task(self._serve(addr, client), name="udp client")
        with contextlib.suppress(asyncio.QueueFull):
            client.waiting.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()

    def error_received(self, exc: Exception) -> None:
        """A client's port was closed: the kernel's word for an earlier reply."""

    async def close(self) -> None:
        """Returns when the port is free."""
        self._transport.abort()
        tasks = [client.task for client in self._clients.values() if client.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._closed.wait()

    async def _serve(self, addr: Any, client: _Client) -> None:
        try:
            stream = await self._open_stream()
            ways = (
                asyncio.create_task(self._forth(stream, client), name="udp forth"),
                asyncio.create_task(self._back(stream, addr, client), name="udp back"),
            )
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end(ways, stream)
        except TunnelError:
            return  # the next datagram opens a new stream
        finally:
            del self._clients[addr]

    async def _forth(self, stream: Stream, client: _Client) -> None:
        """Until nothing has come either way for a while. Raises TunnelError."""
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    data = await client.waiting.get()
            except TimeoutError:
                if not client.had_reply:
                    return
                client.had_reply = False
                continue
            await stream.write(data)

    async def _back(self, stream: Stream, addr: Any, client: _Client) -> None:
        while data := await stream.read():
            client.had_reply = True
            self._transport.sendto(data, addr)


class _Client:
    def __init__(self) -> None:
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_LIMIT)
        self.task: asyncio.Task[None] | None = None
        self.had_reply = False
