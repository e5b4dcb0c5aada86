"""One request and its reply on a connection: heads, whole and streamed replies, and the ways to end HTTP/1.1.

There is one way for a connection to leave HTTP/1.1: `hand_over` gives its transport to another asyncio protocol. What
docker calls a hijack is a hand-over to `HijackedConnection`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Protocol

from vmagent.api.hangup import HangupWatch
from vmagent.api.hijacked import HijackedConnection
from vmagent.api.messages import COMMON_HEADERS, STATUS_LINES, Request, Response
from vmagent.api.router import Route
from vmagent.api.streams import P, Sink, Stream

_NO_BODY = frozenset((101, 204, 304))

_date = (0, b"")


def _date_header() -> bytes:
    """RFC 9110, 6.6.1; formatted once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode())
    return _date[1]


def encode_head(
    status: int,
    *,
    content_type: str = "",
    headers: Mapping[str, str] | None = None,
    bare: bool = False,
    extra: bytes = b"",
) -> bytes:
    """Status line and headers up to the empty line, `extra` being raw lines. Raises ValueError on a line break."""
    head = STATUS_LINES[status]
    if not bare:
        head += COMMON_HEADERS
    head += _date_header()
    if content_type:
        head += f"Content-Type: {content_type}\r\n".encode("latin-1")
    if headers:
        for name, value in headers.items():
            if "\n" in value or "\r" in value:
                raise ValueError(f"line break in header {name}")
            head += f"{name}: {value}\r\n".encode("latin-1", "replace")
    return head + extra + b"\r\n"


class Carrier(Sink, Protocol):
    """What an exchange needs of its connection."""

    @property
    def hangups(self) -> HangupWatch: ...

    def hand_over(self, head: bytes, factory: Callable[[], P]) -> P:
        """Send `head` and give the transport to `factory()`. Raises Disconnected, BadRequest."""


class HttpExchange:
    """One request and its reply (`streams.Exchange`)."""

    __slots__ = ("connection", "has_answered", "has_failed", "hijacked", "is_http11", "keep_alive", "request", "route")

    def __init__(self, connection: Carrier, request: Request, *, is_http11: bool, keep_alive: bool) -> None:
        self.connection = connection
        self.request = request
        self.is_http11 = is_http11
        self.keep_alive = keep_alive
        self.has_answered = False
        self.has_failed = False  # after its head: the connection must break, so that the client notices
        self.hijacked: HijackedConnection | None = None
        self.route: Route

    @property
    def is_passive(self) -> bool:
        """Whether it uses nothing. Events with `until` count as a use: they end by themselves, and a client waits."""
        return self.route.passive and "until" not in self.request.query

    def break_off(self) -> None:
        self.has_failed = True

    def send(self, response: Response) -> None:
        """Answer with a whole response."""
        self.has_answered = True
        if response.close:
            self.keep_alive = False
        extra = b"" if response.status in _NO_BODY else b"Content-Length: %d\r\n" % len(response.body)
        if not self.keep_alive:
            extra += b"Connection: close\r\n"
        head = encode_head(
            response.status,
            content_type=response.content_type,
            headers=response.headers,
            bare=response.bare,
            extra=extra,
        )
        self.connection.send(head if self.request.method == "HEAD" else head + response.body)

    def stream(self, status: int = 200, *, content_type: str = "", headers: Mapping[str, str] | None = None) -> Stream:
        self.has_answered = True
        if self.is_http11:
            extra = b"Transfer-Encoding: chunked\r\n"
        else:
            self.keep_alive = False
            extra = b""
        if not self.keep_alive:
            extra += b"Connection: close\r\n"
        self.connection.send(encode_head(status, content_type=content_type, headers=headers, extra=extra))
        return Stream(self.connection, chunked=self.is_http11)

    def hijack(self, content_type: str, *, common_headers: bool) -> HijackedConnection:
        if "x-upgrade" in self.request.headers:
            # Go's client takes nothing but 101, and says "tcp".
            head = encode_head(
                101,
                content_type=content_type,
                bare=not common_headers,
                extra=b"Connection: Upgrade\r\nUpgrade: tcp\r\n",
            )
        else:
            head = encode_head(200, content_type="application/vnd.docker.raw-stream", bare=not common_headers)
        return self._hijack(head)

    def switch_protocols(self, headers: Mapping[str, str]) -> HijackedConnection:
        return self._hijack(encode_head(101, headers=headers, bare=True))

    def hand_over(self, factory: Callable[[], P], *, upgrade: str) -> P:
        head = encode_head(101, headers={"Connection": "Upgrade", "Upgrade": upgrade}, bare=True)
        protocol = self.connection.hand_over(head, factory)
        self.has_answered = True
        return protocol

    def _hijack(self, head: bytes) -> HijackedConnection:
        self.hijacked = self.connection.hand_over(head, lambda: HijackedConnection(self.connection.hangups))
        self.has_answered = True
        return self.hijacked
