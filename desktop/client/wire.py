"""Parsers of HTTP/1.1 replies and docker's stdio frames, without sockets, so that tests can split the bytes anywhere.

Bodies come in the three ways of RFC 9112, section 6: a length, chunks, or everything up to the end of the connection.
After `101` the rest of the connection belongs to whoever asked for the upgrade (`rest()`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MAX_HEAD = 64 * 1024
MAX_CHUNK_LINE = 4 * 1024
MAX_FRAME = 64 * 1024 * 1024  # one log line or one read of a pipe; docker's own are 32 KiB at most

_FRAME_HEAD = struct.Struct(">B3xI")  # Engine API, ContainerAttach, "Stream format"


class ProtocolError(Exception):
    """The peer violates HTTP or docker's framing."""


class Head(NamedTuple):
    """Status line and headers of an answer; header names in lower case, the last of a repeated one counts."""

    status: int
    reason: str
    headers: dict[str, str]


class Frame(NamedTuple):
    """Output of a container: stream 1 is stdout (and the terminal), 2 is stderr, 3 an error of the engine."""

    stream: int
    data: bytes


class ResponseReader:
    """The answer to one request. `feed` what was received, `end` when the peer closed; take `head` and then `body`."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._buffer = bytearray()
        self._head: Head | None = None
        self._left: int | None = None  # remaining bytes of the body or of this chunk; None: until the end
        self._chunked = False
        self._in_trailer = False
        self._ended = False
        self.done = False
        self.upgraded = False
        self.keep_alive = False

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def end(self) -> None:
        """The peer has closed. Raises ProtocolError if the reply is incomplete."""
        self._ended = True
        if self._head is None:
            raise ProtocolError("the connection was closed before the answer")
        if self.done:
            return
        if self.upgraded:
            self.done = True
            return
        if self._chunked or self._left is not None:
            raise ProtocolError("the connection was closed within the answer")
        self.done = not self._buffer

    def head(self) -> Head | None:
        """The head of the reply, None until it is complete. Skips 1xx except 101. Raises ProtocolError."""
        while self._head is None:
            at = self._buffer.find(b"\r\n\r\n")
            if at < 0:
                if len(self._buffer) > MAX_HEAD:
                    raise ProtocolError("the head of the answer is too long")
                return None
            head = _parse_head(bytes(self._buffer[:at]))
            del self._buffer[: at + 4]
            if 100 <= head.status < 200 and head.status != 101:
                continue
            self._begin_body(head)
        return self._head

    def _begin_body(self, head: Head) -> None:
        self._head = head
        closes = "close" in head.headers.get("connection", "").lower()
        if head.status == 101:
            self.upgraded = True
        elif self._method == "HEAD" or head.status in (204, 304):
            self.done, self.keep_alive = True, not closes
        elif "chunked" in head.headers.get("transfer-encoding", "").lower():
            self._chunked, self._left, self.keep_alive = True, 0, not closes
            self._need_line = False
        elif (length := head.headers.get("content-length")) is not None:
            if not length.isdecimal():
                raise ProtocolError(f"bad Content-Length: {length!r}")
            self._left, self.keep_alive = int(length), not closes
            self.done = self._left == 0

    def body(self) -> bytes:
        """The bytes of the body that have arrived since the last call; b"" if there are none or the body is `done`."""
        if self.done or self.upgraded or self._head is None:
            return b""
        if self._chunked:
            return self._chunks()
        if self._left is None:
            data = bytes(self._buffer)
            self._buffer.clear()
            self.done = self._ended
            return data
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        self._left -= len(data)
        self.done = self._left == 0
        return data

    def _chunks(self) -> bytes:
        """RFC 9112, section 7.1: size line, data, CR LF, … and a trailer after the chunk of size 0."""
        parts: list[bytes] = []
        while not self.done:
            if self._left:
                data = bytes(self._buffer[: self._left])
                del self._buffer[: len(data)]
                self._left -= len(data)
                parts.append(data)
                if self._left:
                    break
                self._need_line = True
            at = self._buffer.find(b"\r\n")
            if at < 0:
                if len(self._buffer) > MAX_CHUNK_LINE:
                    raise ProtocolError("a chunk's size line is too long")
                break
            line = bytes(self._buffer[:at])
            del self._buffer[: at + 2]
            if self._in_trailer:
                self.done = not line
            elif self._need_line:
                if line:
                    raise ProtocolError("a chunk is longer than it said")
                self._need_line = False
            else:
                size = line.partition(b";")[0].strip()
                try:
                    self._left = int(size, 16)
                except ValueError:
                    raise ProtocolError(f"bad chunk size: {size[:20]!r}") from None
                self._in_trailer = self._left == 0
        return b"".join(parts)

    def rest(self) -> bytes:
        """The bytes that followed the head of an upgrade."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data


def _parse_head(data: bytes) -> Head:
    status_line, *lines = data.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or len(code) != 3 or not code.isdecimal():
        raise ProtocolError(f"not an HTTP answer: {status_line[:60]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError(f"bad header line: {line[:60]!r}")
        headers[name.strip().lower()] = value.strip()
    return Head(int(code), reason, headers)


class FrameReader:
    """Docker's multiplexed stream of stdout and stderr (Engine API, ContainerAttach, "Stream format")."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> Frame | None:
        """Take the next complete frame; None if more bytes are needed. Raises ProtocolError."""
        if len(self._buffer) < _FRAME_HEAD.size:
            return None
        stream, size = _FRAME_HEAD.unpack_from(self._buffer)
        if stream > 3 or size > MAX_FRAME:
            raise ProtocolError(f"bad stdio frame: type {stream}, {size} bytes")
        if len(self._buffer) < (end := _FRAME_HEAD.size + size):
            return None
        data = bytes(self._buffer[_FRAME_HEAD.size : end])
        del self._buffer[:end]
        return Frame(stream, data)
