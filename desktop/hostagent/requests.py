"""The requests on a client's connection to the engine, found in its bytes without a full parser of HTTP.

Only what the proxy must know is read: where each request's head is (RFC 9112, sections 2, 6 and 7.1), and which of them
are passive: GET and HEAD /_ping, and GET /events without `until`. They use nothing, so they neither keep a VM awake nor
wake it; the engine has the same rule (`passive` in vmagent/api/router.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

HEAD_LIMIT = 64 * 1024
_METHOD = re.compile(rb"[A-Z]{3,7} [/*]")
_PREFIX = re.compile(rb"[A-Z]{0,7}|[A-Z]{3,7} ")
_VERSION = re.compile(r"/v[0-9.]{1,16}(?=/)")
# After these the connection is no longer HTTP/1.1, with or without a header `Upgrade`.
_HIJACKS = re.compile(r"/containers/[^/]+/attach|/exec/[^/]+/start|/session|/grpc")


@dataclass(frozen=True, slots=True)
class Head:
    """A request's line and headers, with the empty line behind them."""

    raw: bytes
    method: str
    target: str

    @classmethod
    def parse(cls, raw: bytes) -> Head | None:
        """None: this is no request of HTTP/1."""
        words = raw.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1"):
            return None
        return cls(raw, words[0], words[1])

    @property
    def path(self) -> str:
        """Without version prefix and query."""
        return _VERSION.sub("", self.target.partition("?")[0], count=1)

    @property
    def is_ping(self) -> bool:
        return self.path == "/_ping" and self.method in ("GET", "HEAD")

    @property
    def is_events(self) -> bool:
        """Whether it is for a stream of events that ends with the client; one with `until` ends by itself."""
        return self.path == "/events" and self.method == "GET" and "until=" not in self.target

    @property
    def hijacks(self) -> bool:
        """Whether what follows the request is no further request."""
        return bool(self.header(b"upgrade")) or (self.method == "POST" and bool(_HIJACKS.fullmatch(self.path)))

    def header(self, name: bytes) -> bytes:
        """The first value of a header, in lower case; b"" without one."""
        found = re.search(rb"\r\n" + name + rb"[ \t]*:[ \t]*([^\r]*)", self.raw, re.IGNORECASE)
        return found[1].strip().lower() if found else b""

    def since(self, time_ns: int) -> Head:
        """The request for events from `time_ns` on, instead of its own begin."""
        path, _, query = self.target.partition("?")
        kept = [field for field in query.split("&") if field and not field.startswith("since=")]
        seconds, rest = divmod(time_ns, 1_000_000_000)
        target = f"{path}?{'&'.join([*kept, f'since={seconds}.{rest:09d}'])}"
        _, _, headers = self.raw.partition(b"\r\n")
        return replace(self, target=target, raw=f"{self.method} {target} HTTP/1.1\r\n".encode("latin-1") + headers)


class RequestScanner:
    """Splits a client's bytes into heads and all else. What is no HTTP/1.1 passes unchanged from there on."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._body: _Sized | _Chunked | None = None
        self._is_last = False  # the request under way hijacks the connection
        self._is_raw = False

    @property
    def is_between(self) -> bool:
        """Whether the last request is whole and another one may follow."""
        return not self._is_raw and self._body is None and not self._head

    def feed(self, data: bytes) -> list[Head | bytes]:
        """The parts that are complete now, in order."""
        parts: list[Head | bytes] = []
        while data:
            if self._is_raw:
                parts.append(data)
                break
            if self._body is not None:
                size = self._body.feed(data)
                parts.append(data if size == len(data) else data[:size])
                data = data[size:]
                if self._body.is_whole:
                    self._body, self._is_raw = None, self._is_last
                continue
            self._head += data
            data = b""
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                if not _may_be_head(self._head):
                    parts.append(self._give_up())
                break
            head = Head.parse(bytes(self._head[: end + 4]))
            if head is None:
                parts.append(self._give_up())
                break
            data = bytes(self._head[end + 4 :])
            self._head.clear()
            parts.append(head)
            self._begin_body(head)
        return parts

    def rest(self) -> bytes:
        """Where the client has ended its direction: the begin of a head that will never be whole."""
        return self._give_up() if self._head else b""

    def _begin_body(self, head: Head) -> None:
        self._is_last = head.hijacks
        length = head.header(b"content-length")
        if b"chunked" in head.header(b"transfer-encoding"):
            self._body = _Chunked()
        elif length.isdigit() and int(length):
            self._body = _Sized(int(length))
        else:
            self._is_raw = self._is_last

    def _give_up(self) -> bytes:
        self._is_raw = True
        data = bytes(self._head)
        self._head.clear()
        return data


def _may_be_head(begun: bytearray) -> bool:
    start = bytes(begun[:10])
    return len(begun) <= HEAD_LIMIT and bool(_METHOD.match(start) or _PREFIX.fullmatch(start))


class _Sized:
    """A body with a length."""

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def is_whole(self) -> bool:
        return self._left == 0

    def feed(self, data: bytes) -> int:
        """How many of these bytes belong to the body."""
        size = min(len(data), self._left)
        self._left -= size
        return size


class _Chunked:
    """A body in chunks: each has a line with its size, its data and a line break; the last one, of size 0, has lines of
    trailers and an empty line."""

    def __init__(self) -> None:
        self._left = 0  # of a chunk's data and its line break
        self._line = bytearray()
        self._in_trailers = False
        self.is_whole = False

    def feed(self, data: bytes) -> int:
        """How many of these bytes belong to the body."""
        at = 0
        while at < len(data) and not self.is_whole:
            if self._left:
                size = min(len(data) - at, self._left)
                self._left -= size
                at += size
                continue
            end = data.find(b"\n", at)
            stop = len(data) if end < 0 else end + 1
            self._line += data[at:stop]
            at = stop
            if end >= 0:
                line = bytes(self._line).strip()
                self._line.clear()
                self._take(line)
        return at

    def _take(self, line: bytes) -> None:
        if self._in_trailers:
            self.is_whole = not line
            return
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            size = 0  # the engine refuses it and closes the connection
        if size:
            self._left = size + 2
        else:
            self._in_trailers = True
