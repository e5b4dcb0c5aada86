"""The part of HTTP/1.1 that the host agent's own API needs: small requests, replies with a length or in chunks."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

HEAD_LIMIT = 16 * 1024
BODY_LIMIT = 64 * 1024
_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
_REASONS |= {409: "Conflict", 500: "Internal Server Error", 503: "Service Unavailable"}


class Request(NamedTuple):
    """`path` is without its query; of a repeated query field the last value counts."""

    method: str
    path: str
    query: dict[str, str]
    keep_alive: bool


class HttpError(Exception):
    """An error reply with `status`; str() is its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request, its body read and dropped: no call here takes one. None: the peer ended the connection.
    Raises HttpError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as e:
        if e.partial:
            raise HttpError(400, "the request ends in its head") from e
        return None
    except asyncio.LimitOverrunError as e:
        raise HttpError(400, "the request's head is too long") from e
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise HttpError(400, "not an HTTP/1.1 request")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding"):
        raise HttpError(400, "a body in chunks is not taken here")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_LIMIT:
        raise HttpError(400, f"a body of {length} bytes is not taken here")
    try:
        await reader.readexactly(int(length))
    except asyncio.IncompleteReadError as e:
        raise HttpError(400, "the request ends in its body") from e
    target = urlsplit(words[1])
    query = {name: values[-1] for name, values in parse_qs(target.query, keep_blank_values=True).items()}
    connection = headers.get("connection", "").lower()
    keep_alive = words[2] != "HTTP/1.0" and "close" not in connection
    return Request(words[0], unquote(target.path), query, keep_alive)


def answer(status: int, value: Any, *, keep_alive: bool) -> bytes:
    """A whole answer with a JSON body."""
    body = json.dumps(value).encode() + b"\n"
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + (b"\r\n" if keep_alive else b"Connection: close\r\n\r\n") + body


def stream_head(content_type: str) -> bytes:
    """The head of an answer that comes in chunks and ends the connection."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return head.encode()


def chunk(data: bytes) -> bytes:
    """One chunk; that of b"" ends the stream."""
    return b"%x\r\n%b\r\n" % (len(data), data)
