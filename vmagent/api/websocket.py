"""WebSocket framing (RFC 6455) over a hijacked connection, as attach/ws needs it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct

from vmagent.api.streams import Disconnected, Hijacked
from vmagent.errors import BadRequest, Forbidden

MAX_MESSAGE = 1 << 20  # bytes; what is typed into a terminal is far below
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10


def handshake(headers: dict[str, str]) -> dict[str, str]:
    """The reply's headers to the opening handshake. Raises BadRequest, Forbidden.

    A browser lets any page open a WebSocket to any site, so a foreign Origin is refused here.
    """
    key = headers.get("sec-websocket-key", "")
    if headers.get("x-upgrade", "").lower() != "websocket" or headers.get("sec-websocket-version") != "13" or not key:
        raise BadRequest("this endpoint speaks the WebSocket protocol, version 13, only")
    origin = headers.get("origin", "")
    if origin and "://" in origin and origin.partition("://")[2] != headers.get("host", ""):
        raise Forbidden(f"WebSockets from {origin} are not accepted")
    accept = base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    reply = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}
    if protocols := headers.get("sec-websocket-protocol"):
        reply["Sec-WebSocket-Protocol"] = protocols.partition(",")[0].strip()
    return reply


def encode(opcode: int, payload: bytes) -> bytes:
    """One unmasked, final frame: what a server sends. RFC 6455, section 5.2."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
    return head + payload


def take(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take one frame off the front of `buffer`: (opcode, payload); None: more bytes are needed.

    Raises Disconnected for a peer that breaks the protocol: client frames are masked, messages bounded.
    """
    if len(buffer) < 2:
        return None
    opcode, size, at = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
    if not buffer[1] & 0x80:
        raise Disconnected("the client's WebSocket frame is not masked")
    if size >= 126:
        at = 4 if size == 126 else 10
        if len(buffer) < at:
            return None
        size = int.from_bytes(buffer[2:at], "big")
    if size > MAX_MESSAGE:
        raise Disconnected(f"the client's WebSocket frame is over {MAX_MESSAGE} bytes")
    end = at + 4 + size
    if len(buffer) < end:
        return None
    mask, masked = buffer[at : at + 4], buffer[at + 4 : end]
    # XOR as one large number: in a loop over bytes a megabyte would block the loop for a tenth of a second.
    pad = (bytes(mask) * (size // 4 + 1))[:size]
    payload = (int.from_bytes(masked, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
    del buffer[:end]
    return opcode, payload


class WebSocket:
    """A `streams.Hijacked` whose bytes travel in binary frames."""

    def __init__(self, raw: Hijacked) -> None:
        self._raw = raw
        self._buffer = bytearray()
        self._closed = asyncio.Event()  # the client sent its close frame

    async def read(self) -> bytes:
        """The payload of the next frame with data; b"" after a close frame or the connection's end."""
        while not self._closed.is_set():
            while (frame := take(self._buffer)) is not None:
                opcode, payload = frame
                if opcode in (_TEXT, _BINARY, _CONTINUATION):
                    if payload:
                        return payload
                elif opcode == _PING:
                    await self._raw.write(encode(_PONG, payload[:125]))
                elif opcode == _CLOSE:
                    self._closed.set()
                    return b""
            data = await self._raw.read()
            if not data:
                break
            self._buffer += data
        return b""

    async def write(self, data: bytes) -> None:
        await self._raw.write(encode(_BINARY, data))

    async def head_was_read(self) -> None:
        await self._raw.head_was_read()

    async def hung_up(self) -> None:
        # A close frame ends both directions: the client waits for ours.
        waits = [asyncio.ensure_future(self._closed.wait()), asyncio.ensure_future(self._raw.hung_up())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def send_close(self) -> None:
        """Send a close frame with status 1000, normal closure: the process has ended."""
        await self._raw.write(encode(_CLOSE, struct.pack(">H", 1000)))

    def finish(self) -> None:
        self._raw.finish()
