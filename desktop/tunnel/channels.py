"""SSH channels for an event loop, on paramiko's: opened, read and written without a thread that waits.

paramiko is made for threads that block. Two of its hooks are events that it sets from its own thread: the answer to an
opened channel, and bytes in a channel's buffer. A third is the condition that it notifies when the peer grants room to
write. Here all three wake the loop instead. What may block is the sending of a message, while TCP takes no more; that
is left to the caller's one thread for sending, which is enough, as all messages go through one TCP connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import paramiko
from paramiko.buffered_pipe import PipeTimeout
from paramiko.channel import Channel
from paramiko.common import cMSG_CHANNEL_OPEN, cMSG_CHANNEL_WINDOW_ADJUST
from paramiko.message import Message

from desktop.tunnel.transport import CHUNK, TcpTarget, UnixTarget

WINDOW = 2 * 1024 * 1024
_PACKET = 32768


class Opening:
    """A request for a channel to a socket of the peer: a Unix socket (OpenSSH's PROTOCOL, section 2.4,
    "direct-streamlocal") or a TCP port (RFC 4254, section 7.2, "direct-tcpip"). Call `send` in the thread for sending,
    then wait for `answered`.

    paramiko's `open_channel` waits in a thread, and writes no fields for kinds that it does not know, so the message is
    made here, on its private members.
    """

    def __init__(
        self,
        transport: paramiko.Transport,
        target: UnixTarget | TcpTarget,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[Opening], None],
    ) -> None:
        """Sends nothing yet. `on_end` is called when no answer is awaited any more. Raises SSHException: the connection
        has ended."""
        if not transport.is_active():
            raise paramiko.SSHException("the connection has ended")
        self.answered = asyncio.Event()
        self._transport: Any = transport  # Any, here and below: its private members have no types
        self._loop = loop
        self._on_end = on_end
        self._on_late: Callable[[Channel], None] | None = None
        self._is_sent = False
        inner: Any = transport
        with inner.lock:
            number: int = inner._next_channel()
            message = Message()
            message.add_byte(cMSG_CHANNEL_OPEN)
            message.add_string("direct-streamlocal@openssh.com" if isinstance(target, UnixTarget) else "direct-tcpip")
            message.add_int(number)
            message.add_int(WINDOW)
            message.add_int(_PACKET)
            if isinstance(target, UnixTarget):
                message.add_string(target.path)
                message.add_string("")
                message.add_int(0)
            else:
                message.add_string(target.host)
                message.add_int(target.port)
                message.add_string("127.0.0.1")  # of the originator, as this kind has one
                message.add_int(0)
            self._message = message
            self._channel = Channel(number)  # the transport holds it weakly
            channel: Any = self._channel
            inner._channels.put(number, channel)
            inner.channel_events[number] = self
            inner.channels_seen[number] = True
            channel._set_transport(transport)
            channel._set_window(WINDOW, _PACKET)

    def send(self) -> None:
        """Ask the peer for the channel; blocks while TCP takes no more."""
        if self._on_late is None:
            self._is_sent = True
            self._transport._send_user_message(self._message)

    def set(self) -> None:
        """paramiko calls this when the reply arrives or the connection ends, in its thread and with its lock held."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.end)

    def end(self) -> None:
        """The answer has come, or none can come any more."""
        if not self.answered.is_set():
            self.answered.set()
            self._on_end(self)
        if self._on_late is not None and self._is_open:
            on_late, self._on_late = self._on_late, None
            on_late(self._channel)

    def abandon(self, on_late: Callable[[Channel], None]) -> None:
        """Stop waiting. If the peer opens the channel later, `on_late` is called with it and must close it."""
        self._on_late = on_late
        if self.answered.is_set() or not self._is_sent:
            self.end()

    @property
    def channel(self) -> Channel | None:
        """The open channel, once it is answered; None: refused, or the connection has ended."""
        return self._channel if self._is_open else None

    @property
    def _is_open(self) -> bool:
        channel: Any = self._channel
        return bool(channel.active)  # set by the peer's confirmation, and by nothing else


class Wake:
    """Takes the place of the threading.Event of a paramiko buffer, and sets an event of the loop instead."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wanted = False
        self.readable = asyncio.Event()

    def set(self) -> None:
        self._pass_on(True)

    def clear(self) -> None:
        self._pass_on(False)

    def _pass_on(self, readable: bool) -> None:
        self._wanted = readable
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        # Two calls may arrive in the other order; the last value set under the buffer's lock is the valid one.
        if self._wanted:
            self.readable.set()
        else:
            self.readable.clear()


class Room(threading.Condition):
    """Stands where a paramiko channel notifies its writers of room, or of the channel's end; sets an event of the
    loop instead. No thread waits on it."""

    def __init__(self, lock: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(lock)
        self._loop = loop
        self.given = asyncio.Event()

    def notify_all(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.given.set)


class ChannelIo:
    """Reading and writing of one open channel. `readable` is set when `take` has something, or the end; `room` when
    `put` may send more, or fails."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self.channel = channel
        self._inner: Any = channel
        channel.settimeout(0.0)
        room = Room(self._inner.lock, loop)
        with self._inner.lock:
            self._inner.out_buffer_cv = room
        self.room = room.given
        wake: Any = Wake(loop)
        # Its calls come with the buffer's lock held, so it must not call back into the channel.
        channel.in_buffer.set_event(wake)
        self.readable: asyncio.Event = wake.readable

    def take(self) -> bytes | None:
        """At most CHUNK bytes that have come, b"" at the end, None: there is nothing yet. Does not block."""
        try:
            data: bytes = self._inner.in_buffer.read(CHUNK, 0.0)
        except PipeTimeout:
            return None
        return data

    def grant(self, taken: int) -> Callable[[], None] | None:
        """Account for `taken` bytes that `take` has returned.

        The result is a function that sends the peer a window adjustment, to be called in the sending thread; None
        if the window is still large enough.
        """
        granted: int = self._inner._check_add_window(taken)
        if not granted:
            return None

        def send() -> None:
            message = Message()
            message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
            message.add_int(self._inner.remote_chanid)
            message.add_int(granted)
            self._inner.transport._send_user_message(message)

        return send

    def put(self, data: bytes) -> int:
        """Send as much of `data` as the peer has room for; returns how much that was. In the thread for sending: it
        blocks while TCP takes no more. Raises OSError: the channel is closed."""
        sent = 0
        while sent < len(data):
            try:
                count = self.channel.send(data[sent : sent + _PACKET])
            except TimeoutError:  # the peer has no room
                break
            if not count:
                raise BrokenPipeError("the channel is closed")
            sent += count
        return sent

    @property
    def has_ended(self) -> bool:
        """The peer has ended its direction in order."""
        return bool(self._inner.eof_received)

    @property
    def is_connected(self) -> bool:
        transport = self.channel.get_transport()
        return transport is not None and transport.is_active()
