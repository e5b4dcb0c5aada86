"""HTTP/1.1 on an asyncio.Protocol of our own, over httptools.

What aiohttp and h11 lack and docker's API needs: a connection that a handler hands over to another protocol,
half-close in both directions, and heads sent long before bodies. Replies on one connection keep the order of requests.

A head is gathered whole before it is parsed. This bounds its size and separates it from the bytes that follow: after
a request that hijacks they are the process's input, and only the route says so (an `Upgrade` header is optional). The
parser must not see `Upgrade` at all: it would stop before the body, which exec start has.

A connection that begins with the preface of HTTP/2 (RFC 9113, section 3.4) is handed to the server's HTTP/2 protocol.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Protocol

import httptools

from vmagent.api.chunked import ChunkError, ChunkScanner
from vmagent.api.exchange import HttpExchange, encode_head
from vmagent.api.hangup import HangupWatch
from vmagent.api.messages import Request, Response, error_response
from vmagent.api.router import Route
from vmagent.api.streams import Body, Disconnected, Inflow, Outflow, P
from vmagent.errors import BadRequest

MAX_HEAD = 64 * 1024  # bytes of request line and headers
MAX_URL = 32 * 1024  # bytes; compose's label filters make some hundred
MAX_PIPELINED = 16  # requests waiting on one connection before its socket is paused
WRITE_BUFFER = 256 * 1024  # bytes per connection, then the writer waits
LINGER_S = 10.0  # how long a client may take to finish a body that is no longer needed
_HTTP2_HEAD = b"PRI * HTTP/2.0\r\n\r\n"  # RFC 9113, 3.4: the preface's part that looks like a head
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)


class App(Protocol):
    """What the connections of a server share."""

    hangups: HangupWatch
    is_stopping: bool
    http2: Callable[[], asyncio.Protocol] | None  # serves connections that begin with the preface of HTTP/2

    def match(self, request: Request) -> Route: ...

    async def respond(self, request: Request, route: Route) -> Response | None:
        """Run the handler; failures become responses here. None: the handler streamed or hijacked."""

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...


class _HandedOver(asyncio.Protocol):
    """Passes a transport's callbacks to the protocol that took it over, and reports the connection's end."""

    def __init__(self, protocol: asyncio.Protocol, on_lost: Callable[[Exception | None], None]) -> None:
        self._protocol, self._on_lost = protocol, on_lost

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._on_lost(exc)


class Connection(asyncio.Protocol):
    """One client's connection: parses, queues, and runs one exchange after the other."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._outflow: Outflow
        self._parser = httptools.HttpRequestParser(self)
        self._head = bytearray()  # an incomplete head
        self._in_head = True
        self._body_left = 0  # bytes of the request being parsed, unless it is chunked
        self._chunks: ChunkScanner | None = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._parsing: HttpExchange | None = None
        self._current: HttpExchange | None = None
        self._queue: list[HttpExchange] = []  # seldom more than none
        self._task: asyncio.Task[None] | None = None
        self._raw: Inflow | None = None  # what follows a request that may hand the connection over
        self._is_first = True  # no head has arrived yet
        self._is_handed_over = False
        self._refusal: Response | None = None
        self._is_deaf = False  # input is dropped: the connection closes once all output is written
        self._got_eof = False
        self._is_lost = False
        self._reading_paused = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._outflow = Outflow(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._app.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
            self.update_reading()
        elif not self._is_deaf:
            self._feed(data)

    def eof_received(self) -> bool:
        """True keeps our sending half open: the reply may still be due."""
        self._got_eof = True
        if self._is_deaf:
            return False
        if self._raw is not None:
            return True
        exchange = self._current
        return exchange is not None and exchange.request.body.has_ended and not exchange.route.streams

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        error = Disconnected("the client has closed the connection")
        if (inflow := self._inflow()) is not None:
            inflow.fail(error)
        self._outflow.fail(error)
        self._queue.clear()
        if self._current is not None and self._task is not None and self._current.route.streams:
            self._task.cancel()
        self._app.closed(self)
        del self._parser  # a reference cycle: the parser holds a bound method of this object for each callback

    def pause_writing(self) -> None:
        self._outflow.pause()

    def resume_writing(self) -> None:
        self._outflow.resume()

    # --- exchange.Carrier

    @property
    def hangups(self) -> HangupWatch:
        return self._app.hangups

    def send(self, data: bytes) -> None:
        self._outflow.send(data)

    async def drain(self) -> None:
        await self._outflow.drain()

    async def emptied(self) -> socket.socket:
        return await self._outflow.emptied()

    def hand_over(self, head: bytes, factory: Callable[[], P]) -> P:
        """Send `head`, then give the transport and what was received behind the request to `factory()`.

        Raises Disconnected, and BadRequest where the request's body has not arrived whole: what comes next would be
        taken for the other protocol's.
        """
        if self._raw is None:
            raise BadRequest("the request's body must be sent before the connection changes its protocol")
        self.send(head)
        raw, self._raw = self._raw, None
        return self._give_transport(raw.take(), factory())

    def _give_transport(self, received: bytes, protocol: P) -> P:
        """Make `protocol` the transport's; `received` are the bytes that it would have got already."""
        assert isinstance(protocol, asyncio.Protocol), "a protocol of plain, unbuffered callbacks"
        self._is_handed_over = True
        if self._reading_paused and not self._got_eof:
            self._transport.resume_reading()
        self._transport.set_protocol(_HandedOver(protocol, self.connection_lost))
        protocol.connection_made(self._transport)
        if self._outflow.is_paused:
            protocol.pause_writing()
        if received:
            protocol.data_received(received)
        if self._got_eof and not protocol.eof_received():
            self._transport.close()
        return protocol

    def _inflow(self) -> Inflow | None:
        """Where bytes from the peer go now, if they aren't a head."""
        if self._raw is not None:
            return self._raw
        return None if self._parsing is None else self._parsing.request.body

    def update_reading(self) -> None:
        if self._got_eof or self._is_lost or self._is_handed_over:
            return
        inflow = self._inflow()
        pause = (inflow is not None and inflow.is_full) or len(self._queue) >= MAX_PIPELINED
        if pause and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        elif self._reading_paused and not pause:
            self._reading_paused = False
            self._transport.resume_reading()

    # --- parsing

    def _feed(self, data: bytes) -> None:
        try:
            while data and self._raw is None and not self._is_deaf and not self._is_handed_over:
                if self._in_head:
                    data = self._feed_head(data)
                elif self._chunks is not None:
                    size = self._chunks.feed(data)
                    self._parser.feed_data(data if size == len(data) else data[:size])
                    data = data[size:]
                else:
                    part = data if len(data) <= self._body_left else data[: self._body_left]
                    self._body_left -= len(part)
                    self._parser.feed_data(part)
                    data = data[len(part) :]
                if self._refusal is not None:
                    self._refuse(self._refusal)
                    return
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ChunkError) as e:  # the latter: CONNECT
            self._refuse(error_response(400, f"malformed HTTP request: {e}", bare=True, close=True))
            return
        if data and self._raw is not None:
            self._raw.feed(data)
        self.update_reading()

    def _feed_head(self, data: bytes) -> bytes:
        """Parse a head once it is whole; returns what follows it."""
        if self._head:
            searched = max(0, len(self._head) - 3)
            self._head += data
            end = self._head.find(b"\r\n\r\n", searched)
            data = bytes(self._head)
        else:
            end = data.find(b"\r\n\r\n")
        size = len(data) if end < 0 else end + 4
        if size > MAX_HEAD:
            self._refusal = error_response(431, f"the request's head is over {MAX_HEAD} bytes", bare=True, close=True)
            return b""
        if end < 0:
            self._head[:] = data
            return b""
        self._head.clear()
        head = data[:size]
        is_first, self._is_first = self._is_first, False
        if is_first and head == _HTTP2_HEAD and self._app.http2 is not None:
            self._give_transport(data, self._app.http2())
            return b""
        if b"upgrade" in head.lower():
            head = _UPGRADE.sub(b"\r\nx-upgrade:", head)
        self._parser.feed_data(head)
        return data[size:]

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        key = name.decode("latin-1").lower()
        text = (value or b"").decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        headers = self._headers
        self._in_head = False
        self._chunks = ChunkScanner() if "transfer-encoding" in headers else None
        self._body_left = int(headers.get("content-length") or 0)
        if len(self._url) > MAX_URL:
            self._refusal = error_response(414, f"the request's URL is over {MAX_URL} bytes", bare=True, close=True)
            return
        path, _, query = self._url.decode("latin-1").partition("?")
        if not path.startswith("/") and "://" in path:  # absolute form, as sent to a proxy
            path = "/" + path.partition("://")[2].partition("/")[2]
        method = self._parser.get_method().decode("ascii")
        request = Request(method, path, query, headers, Body(self))
        is_http11 = self._parser.get_http_version() == "1.1"
        keep_alive = is_http11 and self._parser.should_keep_alive()
        exchange = HttpExchange(self, request, is_http11=is_http11, keep_alive=keep_alive)
        request.exchange = exchange
        exchange.route = self._app.match(request)
        self._parsing = exchange
        if headers.get("expect", "").lower() == "100-continue" and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._current is None:
            self._begin(exchange)
        else:
            self._queue.append(exchange)

    def on_body(self, data: bytes) -> None:
        if self._parsing is not None:
            self._parsing.request.body.feed(data)

    def on_message_complete(self) -> None:
        self._in_head = True
        exchange, self._parsing = self._parsing, None
        if exchange is None:
            return
        exchange.request.body.feed_end()
        if exchange.route.hijacks:
            self._raw = Inflow(self)
        if exchange is not self._current and exchange not in self._queue and not exchange.keep_alive:
            self._close()  # the reply was sent before the whole body had arrived

    def _refuse(self, response: Response) -> None:
        """Malformed or oversized input: finish the running exchange, then send `response`, then close."""
        self._is_deaf = True
        if self._parsing is not None:
            self._parsing.request.body.fail(Disconnected("malformed request body"))
            self._parsing = None
        if self._current is not None:
            self._current.keep_alive = False
            self._queue.clear()
            self._refusal = response  # sent in place of its reply if the broken part was its body
        elif not self._transport.is_closing():
            extra = b"Content-Length: %d\r\nConnection: close\r\n" % len(response.body)
            head = encode_head(response.status, content_type=response.content_type, bare=True, extra=extra)
            self._transport.write(head + response.body)
            self._transport.close()

    # --- exchanges

    def _begin(self, exchange: HttpExchange) -> None:
        self._current = exchange
        self._task = self._loop.create_task(self._run(exchange), name="request")

    async def _run(self, exchange: HttpExchange) -> None:
        try:
            response = await self._app.respond(exchange.request, exchange.route)
            if response is not None and not exchange.has_answered:
                exchange.send(response)
                await self.drain()  # a client that does not read its replies gets no further ones
        except Disconnected:
            pass  # the client cannot receive a reply
        except asyncio.CancelledError:
            if not self._is_lost:  # the server is stopping
                exchange.has_failed = True
                self._end(exchange)
                raise
        self._end(exchange)

    def _end(self, exchange: HttpExchange) -> None:
        """The handler is done: go on with the next request, or close."""
        self._current = self._task = None
        del exchange.request.exchange  # breaks a reference cycle, so that both are freed without the garbage collector
        if self._is_lost:
            return
        if self._is_handed_over:
            if exchange.hijacked is not None:
                exchange.hijacked.finish()
            return
        rest = b""
        if self._raw is not None:  # the handler did not hijack: these bytes are further requests
            rest = self._raw.take()
            self._raw = None
        if self._refusal is not None and not exchange.has_answered and not self._transport.is_closing():
            exchange.send(self._refusal)
        if exchange.has_failed or not exchange.has_answered:
            self._transport.abort() if exchange.has_failed else self._transport.close()
            return
        is_body_pending = self._parsing is exchange
        if is_body_pending:
            exchange.request.body.discard()  # clients send the whole body before they read the reply
        if not exchange.keep_alive or self._app.is_stopping:
            if is_body_pending and not self._got_eof:
                exchange.keep_alive = False
                self._loop.call_later(LINGER_S, self._close)
            else:
                self._close()
            return
        if self._queue:
            self._begin(self._queue.pop(0))
        elif self._got_eof:
            self._close()
            return
        if rest:
            self._feed(rest)
        self.update_reading()

    def _close(self) -> None:
        self._is_deaf = True
        self._transport.close()

    # --- the server's end

    @property
    def is_idle(self) -> bool:
        return self._current is None

    @property
    def is_active(self) -> bool:
        """Whether a request is under way that is not passive, or the connection speaks another protocol now."""
        return self._is_handed_over or (self._current is not None and not self._current.is_passive)

    @property
    def is_endless(self) -> bool:
        """Whether the running exchange would go on until the client leaves."""
        return self._current is not None and self._current.route.endless

    def cancel(self) -> asyncio.Task[None] | None:
        """Cancel the running exchange; its task, to be awaited."""
        if self._task is not None:
            self._task.cancel()
        return self._task

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The exchange under way."""
        return self._task

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        self._close()
