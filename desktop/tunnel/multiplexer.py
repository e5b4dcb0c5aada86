"""The default carrier: many streams over one virtio-serial port, for which QEMU serves a local socket.

The protocol and the guest's end are in vmagent/native/tunnel; tunnel.h describes the bytes. Both ends have a window for
each stream, so a stream whose end does not read keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING

from desktop.tunnel.transport import OnService, Target, TcpTarget, TunnelError, UdpTarget, UnixTarget

if TYPE_CHECKING:
    from desktop.platform.base import LocalAddress

MAX_PAYLOAD = 65536
ZERO_RUN = MAX_PAYLOAD + 64
MAGIC = b"COVEMUX\n"
VERSION = 1
WINDOW = 512 * 1024
GREETING_LIMIT_S = 10.0
OPEN_LIMIT_S = 15.0
_HEADER = struct.Struct("<B3xII")
_NUMBER = struct.Struct("<I")
_OPEN = struct.Struct("<IBH")
_TRAILER = 4
# What may wait in this process before writers wait: it delays the frames of all streams.
_HIGH_WATER = 128 * 1024
_SERVICES_LIMIT = 64
# Room for what is received: some frames, so that one call to the kernel brings several.
_INPUT_SIZE = 4 * ZERO_RUN


class _Type(IntEnum):
    OPEN = 1
    OPENED = 2
    REFUSED = 3
    DATA = 4
    CREDIT = 5
    END = 6
    RESET = 7


_FIRST_TYPE, _LAST_TYPE = int(_Type.OPEN), int(_Type.RESET)


class _Kind(IntEnum):
    UNIX = 1
    TCP = 2
    UDP = 3
    SERVICE = 4


class MultiplexerCarrier:
    """Connects to the port that QEMU serves at `address`; one transport at a time. `on_service` is called, in a task of
    its own, with each stream that a program in the guest opens, and ends with the stream closed."""

    name = "the multiplexer"

    def __init__(self, address: LocalAddress, on_service: OnService | None = None) -> None:
        self._address = address
        self._on_service = on_service

    async def connect(self) -> MultiplexerTransport:
        transport = MultiplexerTransport(self._on_service)
        try:
            async with asyncio.timeout(GREETING_LIMIT_S):
                await self._address.attach(transport)
                await transport.greeted()
        except TimeoutError:
            await transport.close()
            raise TunnelError(f"no greeting from the VM within {GREETING_LIMIT_S:.0f} s") from None
        except OSError as e:
            await transport.close()
            raise TunnelError(f"no connection to the VM's port: {e.strerror or e}") from e
        except BaseException:
            await transport.close()
            raise
        return transport


class MultiplexerTransport(asyncio.BufferedProtocol):
    """One session on the port: the protocol object of its connection."""

    def __init__(self, on_service: OnService | None) -> None:
        self.gone = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self._on_service = on_service
        self._connection: asyncio.Transport | None = None
        self._nonce = os.urandom(16)
        self._tag = bytes(byte | 0x80 for byte in self._nonce[:_TRAILER])
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._input = bytearray(_INPUT_SIZE)
        self._view = memoryview(self._input)
        self._taken = self._filled = 0  # what of the input is not handled yet
        self._streams: dict[int, MultiplexerStream] = {}
        self._last_id = -1  # of ours; they are odd
        self._turn = asyncio.Lock()  # writers take turns, in the order in which they came
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._services: set[asyncio.Task[None]] = set()

    # Transport ---------------------------------------------------------------------------------------------------

    async def greeted(self) -> None:
        """Wait for the guest's greeting. Raises TunnelError."""
        await asyncio.shield(self._greeted)

    async def open_stream(self, target: Target) -> MultiplexerStream:
        self._check()
        self._last_id += 2
        stream = self._add(self._last_id, is_udp=isinstance(target, UdpTarget))
        self._send(_Type.OPEN, stream.number, _opening(target))
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                await stream.opened.wait()
        except BaseException as e:
            stream.close()
            if isinstance(e, TimeoutError):
                what = f"no answer to a connection to {target} in the VM within {OPEN_LIMIT_S:.0f} s"
                raise TunnelError(what) from None
            raise
        if stream.refusal is not None:
            raise TunnelError(f"nothing answers at {target} in the VM: {stream.refusal}")
        self._check()
        return stream

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            await self.gone.wait()
        self._end("it was closed")
        services = list(self._services)
        for task in services:
            task.cancel()
        await asyncio.gather(*services, return_exceptions=True)

    # asyncio.BufferedProtocol ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._connection = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        transport.write(bytes(2 * ZERO_RUN) + MAGIC + _NUMBER.pack(VERSION) + self._nonce)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc or "QEMU closed it"))

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._greeted.done() or self._find_greeting():
            try:
                self._take_frames()
            except (_BadFrameError, struct.error, UnicodeDecodeError) as e:
                # The guest's program began anew, see BEACON in tunnel.h, or it does not speak our protocol.
                self._fail(f"the VM's end of it began anew ({e})")
                return
        if self._taken == self._filled:
            self._taken = self._filled = 0
        elif _INPUT_SIZE - self._taken < ZERO_RUN:  # the frame that has begun may not fit behind
            left = self._filled - self._taken
            self._view[:left] = bytes(self._view[self._taken : self._filled])
            self._taken, self._filled = 0, left

    # For streams -------------------------------------------------------------------------------------------------

    async def send_data(self, number: int, data: memoryview) -> None:
        """One frame, in turn with other writers. Raises TunnelError."""
        if self._turn.locked() or not self._can_write.is_set():
            async with self._turn:
                await self._can_write.wait()
        self._check()
        self._send(_Type.DATA, number, data)

    def has_room(self) -> bool:
        """Whether a frame could be sent at once."""
        return self._can_write.is_set()

    def send_datagram(self, number: int, data: bytes) -> None:
        self._send(_Type.DATA, number, data)

    def send_credit(self, number: int, count: int) -> None:
        self._send(_Type.CREDIT, number, _NUMBER.pack(count))

    def send_end(self, number: int) -> None:
        """Raises TunnelError."""
        self._check()
        self._send(_Type.END, number)

    def forget(self, number: int, *, reset: bool) -> None:
        """The stream is over; with `reset` the guest is told so."""
        if self._remove(number) is not None and reset:
            self._send(_Type.RESET, number)

    # Parts -------------------------------------------------------------------------------------------------------

    def _add(self, number: int, *, is_udp: bool = False) -> MultiplexerStream:
        stream = self._streams[number] = MultiplexerStream(self, number, is_udp=is_udp)
        self.idle.clear()
        return stream

    def _remove(self, number: int) -> MultiplexerStream | None:
        stream = self._streams.pop(number, None)
        if not self._streams:
            self.idle.set()
        return stream

    def _send(self, kind: _Type, number: int, payload: bytes | memoryview = b"") -> None:
        if self._connection is not None and not self.gone.is_set():
            self._connection.write(b"".join((_HEADER.pack(kind, number, len(payload)), payload, self._tag)))

    def _check(self) -> None:
        if self.gone.is_set():
            raise TunnelError("the tunnel into the VM broke")

    def _fail(self, why: str) -> None:
        self._fail_greeting(why)
        if self._connection is not None:
            self._connection.abort()
        self._end(why)

    def _end(self, why: str) -> None:
        self.gone.set()
        self._can_write.set()
        self._fail_greeting(f"the VM's port broke: {why}")
        streams, self._streams = self._streams, {}
        self.idle.set()
        for stream in streams.values():
            stream.on_broken("the tunnel into the VM broke")

    def _fail_greeting(self, why: str) -> None:
        if not self._greeted.done():
            self._greeted.set_exception(TunnelError(why))
            self._greeted.exception()  # marks it as retrieved: the caller that waited may have been cancelled

    def _find_greeting(self) -> bool:
        """Skip to the end of the guest's greeting. Before it may come bytes of an earlier session, which do not know
        this session's nonce."""
        at = self._input.find(self._nonce, self._taken, self._filled)
        begin = at - len(MAGIC) - _NUMBER.size
        if at < 0:
            self._taken = max(self._taken, self._filled - len(MAGIC) - _NUMBER.size - len(self._nonce))
            return False
        (version,) = _NUMBER.unpack_from(self._input, max(at - _NUMBER.size, 0))
        if begin < self._taken or not self._input.startswith(MAGIC, begin) or version != VERSION:
            self._fail(f"the VM's end speaks version {version} of the multiplexer, and we version {VERSION}")
            return False
        self._taken = at + len(self._nonce)
        self._greeted.set_result(None)
        return True

    def _take_frames(self) -> None:
        """Handle the whole frames of the input. Raises _BadFrameError."""
        view, tag = self._view, self._tag
        while self._filled - self._taken >= _HEADER.size:
            kind, number, length = _HEADER.unpack_from(view, self._taken)
            if not _FIRST_TYPE <= kind <= _LAST_TYPE or length > MAX_PAYLOAD:
                raise _BadFrameError(f"frame of type {kind}, {length} bytes")
            begin = self._taken + _HEADER.size
            after = begin + length + _TRAILER
            if after > self._filled:
                break
            if view[begin + length : after] != tag:
                raise _BadFrameError("a frame of another session")
            self._handle(kind, number, bytes(view[begin : begin + length]))
            self._taken = after

    def _handle(self, kind: int, number: int, payload: bytes) -> None:
        if kind == _Type.OPEN:
            self._serve(number, payload)
            return
        if (stream := self._streams.get(number)) is None:
            return  # it ended here while the frame was on its way
        if kind == _Type.DATA:
            stream.on_data(payload)
        elif kind == _Type.CREDIT:
            stream.on_credit(_NUMBER.unpack(payload)[0])
        elif kind == _Type.OPENED:
            stream.on_opened(_NUMBER.unpack(payload)[0])
        elif kind == _Type.END:
            stream.on_end()
        else:
            self._remove(number)
            stream.on_broken(payload.decode())

    def _serve(self, number: int, payload: bytes) -> None:
        credit, kind, _ = _OPEN.unpack_from(payload)
        if self._on_service is None or kind != _Kind.SERVICE or len(self._services) >= _SERVICES_LIMIT:
            self._send(_Type.REFUSED, number, b"the host has no such service")
            return
        stream = self._add(number)
        stream.on_opened(credit)
        self._send(_Type.OPENED, number, _NUMBER.pack(WINDOW))
        task = asyncio.create_task(self._serve_one(self._on_service, payload[_OPEN.size :].decode(), stream))
        self._services.add(task)
        task.add_done_callback(self._services.discard)

    async def _serve_one(self, on_service: OnService, name: str, stream: MultiplexerStream) -> None:
        try:
            await on_service(name, stream)
        except TunnelError:
            return  # the program in the guest left
        finally:
            stream.close()


class MultiplexerStream:
    """One stream of a session."""

    def __init__(self, transport: MultiplexerTransport, number: int, *, is_udp: bool = False) -> None:
        self.number = number
        self.opened = asyncio.Event()  # set also when it never will be: see `refusal`
        self.refusal: str | None = None
        self._transport = transport
        self._is_udp = is_udp
        self._received: deque[bytes] = deque()
        self._readable = asyncio.Event()
        self._has_ended = False  # the guest's direction
        self._have_ended = False  # ours
        self._broken: str | None = None
        self._credit = 0
        self._room = asyncio.Event()  # there is credit, or an error
        self._window = WINDOW  # what the guest may send before our next credit
        self._owed = 0

    async def read(self) -> bytes:
        while not self._received:
            if self._has_ended:
                return b""
            if self._broken is not None:
                raise TunnelError(self._broken)
            self._readable.clear()
            await self._readable.wait()
        data = self._received.popleft()
        self._owed += len(data)
        if self._owed >= WINDOW // 4 and not self._has_ended:
            self._transport.send_credit(self.number, self._owed)
            self._window += self._owed
            self._owed = 0
        return data

    async def write(self, data: bytes) -> None:
        if self._is_udp:
            self._write_datagram(data)
            return
        view = memoryview(data)
        while view:
            while not self._credit and self._broken is None:
                self._room.clear()
                await self._room.wait()
            self._check()
            part = view[: min(self._credit, MAX_PAYLOAD)]
            self._credit -= len(part)
            await self._transport.send_data(self.number, part)
            view = view[len(part) :]

    async def write_eof(self) -> None:
        self._check()
        if not self._have_ended:
            self._have_ended = True
            self._transport.send_end(self.number)
            self._forget_if_over()

    def close(self) -> None:
        self._transport.forget(self.number, reset=True)
        self.on_broken("the stream was closed")

    # Frames of the guest -----------------------------------------------------------------------------------------

    def on_opened(self, credit: int) -> None:
        self.on_credit(credit)
        self.opened.set()

    def on_data(self, data: bytes) -> None:
        self._window -= len(data)
        if self._window < 0 or self._has_ended:
            raise _BadFrameError("data beyond the window")
        self._received.append(data)
        self._readable.set()

    def on_credit(self, count: int) -> None:
        self._credit += count
        self._room.set()

    def on_end(self) -> None:
        self._has_ended = True
        self._readable.set()
        self._forget_if_over()

    def on_broken(self, why: str) -> None:
        """Reset by the guest, refused, or lost with the session. What was received before can still be read."""
        if self._broken is None:
            self._broken = why
        if not self.opened.is_set():
            self.refusal = why
            self.opened.set()
        self._readable.set()
        self._room.set()

    # Parts -------------------------------------------------------------------------------------------------------

    def _write_datagram(self, data: bytes) -> None:
        """Dropped where it would have to wait."""
        self._check()
        if 0 < len(data) <= min(self._credit, MAX_PAYLOAD) and self._transport.has_room():
            self._credit -= len(data)
            self._transport.send_datagram(self.number, data)

    def _check(self) -> None:
        if self._broken is not None:
            raise TunnelError(self._broken)

    def _forget_if_over(self) -> None:
        if self._has_ended and self._have_ended:
            self._transport.forget(self.number, reset=False)


class _BadFrameError(Exception):
    """The input is no frame of this session."""


def _opening(target: Target) -> bytes:
    match target:
        case UnixTarget(path):
            return _OPEN.pack(WINDOW, _Kind.UNIX, 0) + path.encode()
        case TcpTarget(host, port):
            return _OPEN.pack(WINDOW, _Kind.TCP, port) + host.encode()
        case UdpTarget(host, port):
            return _OPEN.pack(WINDOW, _Kind.UDP, port) + host.encode()
