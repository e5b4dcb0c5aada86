"""The SSH carrier: one connection of paramiko's, each stream a channel of it to a Unix socket in the VM.

Threads: paramiko's own, which reads the connection; one that sends; and one that waits for the connection's end. None
belongs to a stream, and none waits for the guest to answer, to read or to write: see `channels`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import paramiko
from paramiko.channel import Channel

from desktop.tunnel.channels import WINDOW, ChannelIo, Opening
from desktop.tunnel.keys import KeyFiles
from desktop.tunnel.transport import Target, TunnelError, UdpTarget

CONNECT_LIMIT_S = 90.0  # emulated, on a machine with other work, the key exchange alone has taken more than 30 s
OPEN_LIMIT_S = 15.0
OPENINGS_LIMIT = 256  # channels that were asked for and are not answered yet, given up ones included
# A guest that hangs is noticed by the host agent's own health check; this notices a broken slirp connection.
KEEPALIVE_S = 15

_T = TypeVar("_T")

# paramiko also raises every error that it logs. Most are expected: the engine's socket is tried until it exists.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class SshTransport:
    """A connected carrier. Make it with `connect`."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._sender = ThreadPoolExecutor(1, "tunnel-send")
        self._unanswered: set[Opening] = set()
        self.gone = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self._streams = 0
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, port: int, keys: KeyFiles) -> SshTransport:
        """Connect to the VM's sshd behind `port` of the loopback, and check that it is our VM. Raises TunnelError."""
        attempt = _Attempt(port, keys)
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                transport = await asyncio.to_thread(attempt.run)
        except (paramiko.SSHException, OSError, EOFError, TimeoutError) as e:
            attempt.end()
            raise TunnelError(f"no SSH connection into the VM: {str(e) or 'it does not answer'}") from e
        except BaseException:
            attempt.end()
            raise
        carrier = cls(transport)
        carrier._watch = asyncio.create_task(carrier._watch_end(), name="ssh watch")
        return carrier

    async def open_stream(self, target: Target) -> SshStream:
        if isinstance(target, UdpTarget):
            raise TunnelError(f"{target}: SSH carries no datagrams")
        if len(self._unanswered) >= OPENINGS_LIMIT:
            raise TunnelError(f"the VM has not answered {OPENINGS_LIMIT} connections that were asked for before")
        try:
            opening = Opening(self._transport, target, self._loop, self._unanswered.discard)
        except paramiko.SSHException as e:
            raise TunnelError(f"the tunnel into the VM is broken: {e}") from e
        self._unanswered.add(opening)
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                await self.send(opening.send)
                await opening.answered.wait()
        except BaseException as e:
            opening.abandon(self._close_soon)
            if isinstance(e, TimeoutError):
                what = f"no answer to a connection to {target} in the VM within {OPEN_LIMIT_S:.0f} s"
                raise TunnelError(what) from None
            raise
        if (channel := opening.channel) is not None:
            self._count(1)
            return SshStream(ChannelIo(channel, self._loop), self)
        if self._transport.is_active():
            raise TunnelError(f"nothing answers at {target} in the VM")
        raise TunnelError("the tunnel into the VM is broken: it was closed while a connection was opened")

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        await asyncio.to_thread(self._transport.close)
        self._end()
        # The queued calls are not cancelled: each fails by itself, because the connection is closed.
        self._sender.shutdown(wait=False)

    async def send(self, call: Callable[[], _T]) -> _T:
        """The result of `call` in the thread for sending. Raises what it raises; TunnelError: the carrier is closed."""
        try:
            return await self._loop.run_in_executor(self._sender, call)
        except (OSError, EOFError, paramiko.SSHException, RuntimeError) as e:
            raise TunnelError(f"the stream into the VM broke: {str(e) or 'closed'}") from e

    def send_soon(self, call: Callable[[], Any]) -> None:
        """Do `call` in the thread for sending. It fails only with the connection, whose end is noticed elsewhere."""
        with contextlib.suppress(RuntimeError):  # the carrier was closed, and its channels with it
            self._sender.submit(call)

    def on_stream_closed(self) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        self._streams += change
        if self._streams:
            self.idle.clear()
        else:
            self.idle.set()

    def _close_soon(self, channel: Channel) -> None:
        self.send_soon(lambda: _close_quietly(channel))

    def _end(self) -> None:
        self.gone.set()
        for opening in list(self._unanswered):
            opening.end()

    async def _watch_end(self) -> None:
        # paramiko's transport is a thread that ends with the connection.
        ended = asyncio.Event()

        def wait() -> None:
            self._transport.join()
            with contextlib.suppress(RuntimeError):  # the loop ended first
                self._loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait, name="ssh end", daemon=True).start()
        await ended.wait()
        self._end()


class SshStream:
    """One channel."""

    def __init__(self, io: ChannelIo, carrier: SshTransport) -> None:
        self._io, self._carrier = io, carrier
        self._is_closed = False

    async def read(self) -> bytes:
        data: bytes | None = None
        while data is None:
            await self._io.readable.wait()
            if (data := self._io.take()) is None:
                self._io.readable.clear()
        if data and (grant := self._io.grant(len(data))) is not None:
            self._carrier.send_soon(grant)
        if not data and not self._io.has_ended and not self._io.is_connected:
            raise TunnelError("the tunnel into the VM broke")
        return data

    async def write(self, data: bytes) -> None:
        while data:
            self._io.room.clear()
            part = data
            sent = await self._carrier.send(lambda: self._io.put(part))  # noqa: B023  # awaited before `part` changes
            if not sent:
                await self._io.room.wait()
            data = data[sent:]

    async def write_eof(self) -> None:
        await self._carrier.send(self._io.channel.shutdown_write)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._carrier.on_stream_closed()
        channel = self._io.channel
        self._carrier.send_soon(lambda: _close_quietly(channel))


class _Attempt:
    """One try to connect. It runs in a thread, and can be ended from outside."""

    def __init__(self, port: int, keys: KeyFiles) -> None:
        self._port, self._keys = port, keys
        self._connection: socket.socket | None = None
        self._is_over = False

    def run(self) -> paramiko.Transport:
        """Raises SSHException, OSError, EOFError."""
        connection = self._connection = socket.create_connection(("127.0.0.1", self._port), CONNECT_LIMIT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._is_over:
            connection.close()
            raise OSError("it was given up")
        transport = paramiko.Transport(connection, default_window_size=WINDOW)
        try:
            options = transport.get_security_options()
            # The fastest of what the guest offers, measured; paramiko would take counter mode first.
            options.ciphers = ("aes128-gcm@openssh.com", "aes128-ctr")
            transport.banner_timeout = CONNECT_LIMIT_S
            transport.handshake_timeout = CONNECT_LIMIT_S
            expected = paramiko.Ed25519Key.from_private_key_file(str(self._keys.host))
            client = paramiko.Ed25519Key.from_private_key_file(str(self._keys.client))
            transport.connect(hostkey=expected, username="root", pkey=client)
            transport.set_keepalive(KEEPALIVE_S)
        except BaseException:
            transport.close()
            connection.close()
            raise
        return transport

    def end(self) -> None:
        """Make `run` fail soon, or end its connection if it has just returned. Does not block."""
        self._is_over = True
        if self._connection is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._connection.shutdown(socket.SHUT_RDWR)


def _close_quietly(channel: Channel) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.close()
