"""One request and its answer on a connection: heads, whole and streamed answers, hijacks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING

from vmagent.api.messages import COMMON_HEADERS, STATUS_LINES, Request, Response
from vmagent.api.streams import Inflow, Stream

if TYPE_CHECKING:
    from vmagent.api.http import Connection
    from vmagent.api.router import Route

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


class HttpExchange:
    """One request and its answer (`streams.Exchange`)."""

    __slots__ = ("connection", "has_answered", "has_failed", "hijacked", "is_http11", "keep_alive", "request", "route")

    def __init__(self, connection: Connection, request: Request, *, is_http11: bool, keep_alive: bool) -> None:
        self.connection = connection
        self.request = request
        self.is_http11 = is_http11
        self.keep_alive = keep_alive
        self.has_answered = False
        self.has_failed = False  # after its head: the connection must break, so that the client notices
        self.hijacked: HijackedConnection | None = None
        self.route: Route

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
        self.has_answered = True
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
        self.hijacked = self.connection.hijack(head)
        return self.hijacked

    def switch_protocols(self, headers: Mapping[str, str]) -> HijackedConnection:
        self.has_answered = True
        self.hijacked = self.connection.hijack(encode_head(101, headers=headers, bare=True))
        return self.hijacked


class HijackedConnection:
    """A connection that a handler has taken over (`streams.Hijacked`)."""

    def __init__(self, connection: Connection, inflow: Inflow) -> None:
        self._connection = connection
        self._inflow = inflow
        self.read = inflow.next

    async def write(self, data: bytes) -> None:
        self._connection.send(data)
        await self._connection.drain()

    async def head_was_read(self) -> None:
        # docker-py, dockerode and Portainer parse the head through a buffered reader and then read the bare socket:
        # output that sits in the socket together with the head is lost to them. The kernel tells when it was taken.
        for _ in range(20):
            if not self._connection.unread_by_peer():
                return
            await asyncio.sleep(0.001)

    async def hung_up(self) -> None:
        await asyncio.shield(self._connection.hang_up)

    def finish(self) -> None:
        self._inflow.discard()
        self._connection.finish_output()
