"""A connection after docker's hijack: raw bytes both ways, each direction closed by itself."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct

from vmagent.api.hangup import HangupWatch
from vmagent.api.streams import Disconnected, Inflow, Outflow

LINGER_S = 10.0  # how long a peer may take to close its half after we have closed ours
HEAD_POLLS = 20  # times that `head_was_read` looks, a millisecond apart
_SIOCOUTQ = 0x5411  # linux/sockios.h: bytes in the send queue


class HijackedConnection(asyncio.Protocol):
    """The `streams.Hijacked` that takes over an HTTP connection's transport."""

    def __init__(self, hangups: HangupWatch) -> None:
        self._hangups = hangups
        self._loop = asyncio.get_running_loop()
        self._inflow = Inflow(self)
        self._hang_up: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport
        self._socket: socket.socket
        self._outflow: Outflow
        self._is_reading_paused = False
        self._got_eof = False
        self._is_finished = False  # our half is closed, or will be when all is written
        self._is_lost = False
        self.read = self._inflow.next

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self._outflow = Outflow(transport)

    def data_received(self, data: bytes) -> None:
        if not self._is_finished:
            self._inflow.feed(data)
            self.update_reading()

    def eof_received(self) -> bool:
        """True keeps our sending half open: output may still come."""
        self._got_eof = True
        if self._is_finished:
            return False
        self._inflow.feed_end()
        self._hangups.watch(self._socket.fileno(), self._on_hangup)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._hangups.forget(self._socket.fileno())
        self._on_hangup()
        error = Disconnected("the client has closed the connection")
        self._inflow.fail(error)
        self._outflow.fail(error)

    def pause_writing(self) -> None:
        self._outflow.pause()

    def resume_writing(self) -> None:
        self._outflow.resume()

    # --- streams.Source

    def update_reading(self) -> None:
        if self._got_eof or self._is_lost:
            return
        pause = self._inflow.is_full
        if pause and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()
        elif self._is_reading_paused and not pause:
            self._is_reading_paused = False
            self._transport.resume_reading()

    # --- streams.Hijacked

    async def write(self, data: bytes) -> None:
        self._outflow.send(data)
        await self._outflow.drain()

    async def head_was_read(self) -> None:
        # docker-py, dockerode and Portainer parse the head through a buffered reader and then read the bare socket:
        # output that sits in the socket together with the head is lost to them.
        for _ in range(HEAD_POLLS):
            if not self._unread_by_peer():
                return
            await asyncio.sleep(0.001)

    def _unread_by_peer(self) -> int:
        """Bytes we sent that the peer's process has not read (unix sockets), or its kernel not received (TCP)."""
        if self._is_lost:
            return 0
        try:
            answer = fcntl.ioctl(self._socket.fileno(), _SIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return 0
        return self._transport.get_write_buffer_size() + int(struct.unpack("i", answer)[0])

    async def hung_up(self) -> None:
        await asyncio.shield(self._hang_up)

    def _on_hangup(self) -> None:
        if not self._hang_up.done():
            self._hang_up.set_result(None)

    def finish(self) -> None:
        # Closing at once would turn input that nobody read into ECONNRESET at the peer.
        self._inflow.discard()
        if self._is_lost or self._transport.is_closing():
            return
        self._is_finished = True
        if self._got_eof or self._hang_up.done():
            self._transport.close()
            return
        self._transport.write_eof()
        self._loop.call_later(LINGER_S, self._close_when_written)

    def _close_when_written(self) -> None:
        if self._is_lost:
            return
        if self._transport.get_write_buffer_size():  # a slow reader still gets everything
            self._loop.call_later(LINGER_S, self._close_when_written)
        else:
            self._transport.close()
