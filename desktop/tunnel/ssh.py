"""The SSH carrier: one connection of paramiko's, each stream a `direct-streamlocal@openssh.com` channel of it.

paramiko is threads: one reads the connection. Here nothing waits in a thread but a write that the guest's window holds
back: a channel's incoming bytes wake the loop (`_Wake`), which then takes them out of the channel's buffer.
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
from paramiko.common import cMSG_CHANNEL_OPEN
from paramiko.message import Message

from desktop.tunnel.keys import KeyFiles
from desktop.tunnel.transport import CHUNK, TunnelError

CONNECT_LIMIT_S = 30.0
OPEN_LIMIT_S = 15.0
# A guest that hangs is noticed by the host agent's own health check; this notices a broken slirp connection.
KEEPALIVE_S = 15
_WINDOW = 2 * 1024 * 1024
_WRITERS = 64

_T = TypeVar("_T")

# All that paramiko logs as an error is also raised, and most of it is no error: the engine's socket is tried until it
# is there.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class SshTransport:
    """A connected carrier. Make it with `connect`."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._readers = ThreadPoolExecutor(4, "tunnel-read")
        self._writers = ThreadPoolExecutor(_WRITERS, "tunnel-write")
        self.gone = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, port: int, keys: KeyFiles) -> SshTransport:
        """Connect to the VM's sshd behind `port` of the loopback, and check that it is our VM. Raises TunnelError."""
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                transport = await asyncio.to_thread(_connect, port, keys)
        except (paramiko.SSHException, OSError, EOFError, TimeoutError) as e:
            raise TunnelError(f"no SSH connection into the VM: {str(e) or 'it does not answer'}") from e
        carrier = cls(transport)
        carrier._watch = asyncio.create_task(carrier._watch_end(), name="ssh watch")
        return carrier

    async def open_stream(self, path: str) -> SshStream:
        try:
            channel = await self._loop.run_in_executor(self._readers, open_streamlocal, self._transport, path)
        except paramiko.ChannelException as e:
            raise TunnelError(f"nothing answers at {path} in the VM") from e
        except (paramiko.SSHException, OSError, EOFError) as e:
            raise TunnelError(f"the tunnel into the VM is broken: {str(e) or 'closed'}") from e
        return SshStream(channel, self._loop, self._readers, self._writers)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        await asyncio.to_thread(self._transport.close)
        self.gone.set()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=False, cancel_futures=True)

    async def _watch_end(self) -> None:
        # paramiko's transport is a thread that ends with the connection.
        ended = asyncio.Event()

        def wait() -> None:
            self._transport.join()
            with contextlib.suppress(RuntimeError):  # the loop ended first
                self._loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait, name="ssh end", daemon=True).start()
        await ended.wait()
        self.gone.set()


class SshStream:
    """One channel."""

    def __init__(
        self,
        channel: Channel,
        loop: asyncio.AbstractEventLoop,
        readers: ThreadPoolExecutor,
        writers: ThreadPoolExecutor,
    ) -> None:
        self._channel = channel
        self._loop = loop
        self._readers = readers
        self._writers = writers
        self._wake = _Wake(loop)
        # Called with the buffer's lock held, so it must not call back into the channel.
        buffer: Any = channel.in_buffer  # it calls set() and clear() and nothing else
        buffer.set_event(self._wake)

    async def read(self) -> bytes:
        await self._wake.readable.wait()
        data: bytes = await self._run(self._readers, self._channel.recv, CHUNK)
        if not data and not self._channel.eof_received:
            transport = self._channel.get_transport()
            if transport is None or not transport.is_active():
                raise TunnelError("the tunnel into the VM broke")
        return data

    async def write(self, data: bytes) -> None:
        await self._run(self._writers, self._channel.sendall, data)

    async def write_eof(self) -> None:
        await self._run(self._writers, self._channel.shutdown_write)

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):  # the carrier was closed, and its channels with it
            self._readers.submit(_close_quietly, self._channel)

    async def _run(self, pool: ThreadPoolExecutor, call: Callable[..., _T], *arguments: Any) -> _T:
        try:
            return await self._loop.run_in_executor(pool, call, *arguments)
        except (OSError, EOFError, paramiko.SSHException, RuntimeError) as e:
            raise TunnelError(f"the stream into the VM broke: {str(e) or 'closed'}") from e


class _Wake:
    """Stands where paramiko's channel buffer expects a threading.Event, and is an event of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wanted = False
        self.readable = asyncio.Event()

    def set(self) -> None:
        self._tell(True)

    def clear(self) -> None:
        self._tell(False)

    def _tell(self, readable: bool) -> None:
        self._wanted = readable
        with contextlib.suppress(RuntimeError):  # the loop ended: nobody reads any more
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        # Calls may pass each other on the way; the last value under the buffer's lock is the true one.
        if self._wanted:
            self.readable.set()
        else:
            self.readable.clear()


def open_streamlocal(transport: paramiko.Transport, path: str) -> Channel:
    """A channel to the Unix socket `path` on the other side: OpenSSH's PROTOCOL, section 2.4, "direct-streamlocal".

    paramiko's `open_channel` writes no fields for kinds that it does not know, so the message is made here, on its
    private members. Raises ChannelException (refused), SSHException.
    """
    if not transport.is_active():
        raise paramiko.SSHException("the connection has ended")
    inner: Any = transport
    with inner.lock:
        number: int = inner._next_channel()
        message = Message()
        message.add_byte(cMSG_CHANNEL_OPEN)
        message.add_string("direct-streamlocal@openssh.com")
        message.add_int(number)
        message.add_int(_WINDOW)
        message.add_int(32768)
        message.add_string(path)
        message.add_string("")
        message.add_int(0)
        channel = Channel(number)
        inner_channel: Any = channel
        inner._channels.put(number, channel)
        inner.channel_events[number] = answered = threading.Event()
        inner.channels_seen[number] = True
        inner_channel._set_transport(transport)
        inner_channel._set_window(_WINDOW, 32768)
    inner._send_user_message(message)
    if not answered.wait(OPEN_LIMIT_S):
        raise paramiko.SSHException(f"no answer to a new channel within {OPEN_LIMIT_S:.0f} s")
    if inner._channels.get(number) is None:
        raise inner.get_exception() or paramiko.SSHException("the connection ended while a channel was opened")
    return channel


def _connect(port: int, keys: KeyFiles) -> paramiko.Transport:
    connection = socket.create_connection(("127.0.0.1", port), CONNECT_LIMIT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(connection, default_window_size=_WINDOW)
    try:
        options = transport.get_security_options()
        # The fastest of what the guest offers, measured; paramiko would take counter mode first.
        options.ciphers = ("aes128-gcm@openssh.com", "aes128-ctr")
        transport.banner_timeout = CONNECT_LIMIT_S
        transport.handshake_timeout = CONNECT_LIMIT_S
        expected = paramiko.Ed25519Key.from_private_key_file(str(keys.host))
        client = paramiko.Ed25519Key.from_private_key_file(str(keys.client))
        transport.connect(hostkey=expected, username="root", pkey=client)
        transport.set_keepalive(KEEPALIVE_S)
    except BaseException:
        transport.close()
        connection.close()
        raise
    return transport


def _close_quietly(channel: Channel) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.close()
