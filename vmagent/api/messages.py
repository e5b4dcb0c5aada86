"""Requests and responses as the routes see them. No I/O: bodies and streams are in `streams`."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from vmagent.api import gojson
from vmagent.api.streams import Body, Exchange
from vmagent.engine.versions import API_VERSION, DOCKER_VERSION, MIN_API_VERSION
from vmagent.errors import BadRequest

MAX_JSON_BODY = 4 << 20  # bytes; docker's largest JSON bodies (a create with many mounts) are some 100 kB

JSON = "application/json"
_FALSE = frozenset(("", "0", "no", "false", "none"))
_REASONS = {
    100: "Continue",
    101: "UPGRADED",
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
STATUS_LINES = {code: f"HTTP/1.1 {code} {reason}\r\n".encode() for code, reason in _REASONS.items()}
# In every reply of a handler, whatever version the client asked for.
COMMON_HEADERS = f"Api-Version: {API_VERSION}\r\nOstype: linux\r\nServer: Docker/{DOCKER_VERSION} (linux)\r\n".encode()


class Version(NamedTuple):
    """An Engine API version, comparable: `request.version < Version(1, 42)`."""

    major: int
    minor: int

    @staticmethod
    @functools.lru_cache(maxsize=64)  # each request has one, and a client the same in all
    def parse(text: str) -> Version:
        """From "1.43". Missing or empty parts count as 0."""
        parts = [int(part or 0) for part in text.split(".")] + [0, 0]
        return Version(parts[0], parts[1])

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


NEWEST = Version.parse(API_VERSION)
OLDEST = Version.parse(MIN_API_VERSION)


def is_true(value: str) -> bool:
    """Docker's reading of a boolean in a query: every value is true except a few words (httputils/form.go)."""
    return value.lower() not in _FALSE


class Query:
    """A query string, parsed when it is first used."""

    __slots__ = ("_raw", "_values")

    def __init__(self, raw: str) -> None:
        self._raw = raw
        self._values: dict[str, list[str]] | None = None

    def _parsed(self) -> dict[str, list[str]]:
        if self._values is None:
            values: dict[str, list[str]] = {}
            try:
                # A path may have bytes that are no UTF-8, and stays what it is.
                found = parse_qsl(self._raw, keep_blank_values=True, errors="surrogateescape", max_num_fields=1000)
                for key, value in found:
                    values.setdefault(key, []).append(value)
            except ValueError as e:
                raise BadRequest(f"invalid query: {e}") from e
            self._values = values
        return self._values

    def __contains__(self, key: str) -> bool:
        return bool(self._raw) and key in self._parsed()

    def get(self, key: str, default: str = "") -> str:
        """The first value of `key`."""
        if not self._raw:
            return default
        return self._parsed().get(key, [default])[0]

    def all(self, key: str) -> list[str]:
        """Every value of `key`, in order."""
        return list(self._parsed().get(key, ())) if self._raw else []

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean; `default` only where the key is absent."""
        return is_true(self.get(key)) if key in self else default

    def integer(self, key: str) -> int | None:
        """A decimal number; None if absent or empty. Raises BadRequest."""
        text = self.get(key)
        if not text:
            return None
        if re.fullmatch(r"[+-]?\d{1,18}", text) is None:
            raise BadRequest(f'strconv.Atoi: parsing "{text}": invalid syntax')
        return int(text)


class Request:
    """One request; `params` are the names of the route's template. Header names are lower case."""

    __slots__ = ("body", "exchange", "headers", "method", "params", "path", "query", "version")

    def __init__(self, method: str, path: str, query: str, headers: dict[str, str], body: Body) -> None:
        self.method = method
        self.path = path
        self.query = Query(query)
        self.headers = headers
        self.body = body
        self.version = NEWEST
        self.params: Mapping[str, str] = {}
        self.exchange: Exchange  # set by the connection that owns this request

    async def json(self, *, optional: bool = False) -> dict[str, Any]:
        """The body, which must be one JSON object. With `optional`, an empty body is {}.

        Raises BadRequest on a wrong Content-Type or anything but one object, TooLarge past MAX_JSON_BODY.
        """
        raw = await self.body.read(MAX_JSON_BODY)
        kind = self.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != JSON and (raw or kind):
            if not kind:
                raise BadRequest("malformed Content-Type header (): mime: no media type")
            raise BadRequest(f"unsupported Content-Type header ({kind}): must be 'application/json'")
        if not raw.strip():
            if optional:
                return {}
            raise BadRequest("invalid JSON: got EOF while reading request body")
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as e:
            if isinstance(e, json.JSONDecodeError) and e.msg == "Extra data":
                raise BadRequest("unexpected content after JSON") from e
            # In a thread: it takes seconds for the largest bodies, in which the other clients are served.
            words = await asyncio.to_thread(gojson.fault, raw.decode(errors="replace"))
            raise BadRequest(f"invalid JSON: {words or e}") from e
        if value is None and optional:
            return {}
        if not isinstance(value, dict):
            kind = gojson.KINDS.get(type(value), "null")
            raise BadRequest(f"invalid JSON: json: cannot unmarshal {kind} into Go value of type struct")
        return value


class Response:
    """A whole reply. `bare` leaves out the common headers, as docker does where no handler was reached."""

    __slots__ = ("bare", "body", "close", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        *,
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
        bare: bool = False,
        close: bool = False,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.bare = bare
        self.close = close


NO_CONTENT = Response(204)
EMPTY_OK = Response(200)
CREATED = Response(201)


def dump_json(value: object) -> bytes:
    """Compact JSON and a newline; `<`, `>` and `&` stay as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape") + b"\n"


def dump_progress(value: object) -> bytes:
    """One line of a progress stream: HTML-escaped as Go's encoder does by default, ended by CR LF."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text.encode("utf-8", "surrogateescape") + b"\r\n"


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, dump_json(value), content_type=JSON, headers=headers)


def error_response(status: int, message: str, *, reason: str = "", bare: bool = False, close: bool = False) -> Response:
    """The one place where a failure becomes docker's JSON. The Go client reads it only if the type is exactly this.

    `reason`: see `EngineError`. It is a header, since docker's body has no such field.
    """
    if status in (204, 304):
        return Response(status, bare=bare, close=close)
    headers = {"X-Cove-Reason": reason} if reason else None
    return Response(status, dump_json({"message": message}), content_type=JSON, headers=headers, bare=bare, close=close)
