"""The host agent's own API over HTTP/1.1, read and written by h11: small requests, replies whole or in chunks."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import h11

HEAD_LIMIT = 16 * 1024
BODY_LIMIT = 64 * 1024
_CHUNK = 64 * 1024


class Request(NamedTuple):
    """`path` is without its query; of a repeated query field the last value counts."""

    method: str
    path: str
    query: dict[str, str]


class HttpError(Exception):
    """An error reply with `status`; str() is its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Exchange:
    """One client's connection: requests and replies in turn. Writing raises OSError when the client has left."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._wants_body = True

    async def request(self) -> Request | None:
        """The next request, its body read and dropped: no call takes one. None: the connection takes no more. Raises
        HttpError: `reply` with it."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        head: h11.Request | None = None
        size = 0
        while True:
            event = await self._next_event()
            match event:
                case h11.Request():
                    head, self._wants_body = event, event.method != b"HEAD"
                case h11.Data():
                    size += len(event.data)
                    if size > BODY_LIMIT:
                        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request's body is too long")
                case h11.EndOfMessage() if head is not None:
                    return _parsed(head)
                case _:  # the client ended the connection
                    return None

    async def reply(self, status: int, value: Any) -> None:
        """A whole reply with a JSON body, which is left out where HEAD was asked for (RFC 9110, section 9.3.2)."""
        body = json.dumps(value).encode() + b"\n"
        self._begin(status, "application/json", ("Content-Length", str(len(body))))
        if self._wants_body:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        await self._writer.drain()

    async def begin_stream(self, content_type: str) -> None:
        """The head of a reply in chunks, which ends the connection."""
        self._begin(HTTPStatus.OK, content_type, ("Transfer-Encoding", "chunked"), ("Connection", "close"))
        await self._writer.drain()

    async def send_chunk(self, data: bytes) -> None:
        self._send(h11.Data(data=data))
        await self._writer.drain()

    async def end_stream(self) -> None:
        self._send(h11.EndOfMessage())
        await self._writer.drain()

    async def client_left(self) -> None:
        """Wait until the client closes the connection."""
        while await self._reader.read(_CHUNK):
            pass

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[]))
                self._http.receive_data(await self._reader.read(_CHUNK))
        except h11.RemoteProtocolError as e:
            raise HttpError(e.error_status_hint, f"this is no HTTP/1.1 request: {e}") from e
        return event

    def _begin(self, status: int, content_type: str, *headers: tuple[str, str]) -> None:
        reason = HTTPStatus(status).phrase
        self._send(h11.Response(status_code=status, reason=reason, headers=[("Content-Type", content_type), *headers]))

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)


def _parsed(head: h11.Request) -> Request:
    """Raises HttpError."""
    try:
        target = urlsplit(head.target.decode("ascii"))
    except ValueError as e:
        raise HttpError(HTTPStatus.BAD_REQUEST, f"the request's target is not valid: {e}") from e
    query = {name: values[-1] for name, values in parse_qs(target.query, True).items()}
    return Request(head.method.decode("ascii"), unquote(target.path), query)
