"""HTTP APIs with JSON, as a blocking client: the engine's and the host agent's are built on it.

Plain requests share a few kept connections; every stream has a connection of its own, and its `close()` may be called
from another thread to end it. A client may be shared between threads.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self
from weakref import WeakSet

from desktop.client.http import Body, Connection, ConnectionFailed, Endpoint, Response
from desktop.client.wire import ProtocolError

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:@,")
_AT_ONCE = 8  # requests of `get_all`
_MAX_LINE = 32 * 1024 * 1024

Json = dict[str, Any]
Query = Mapping[str, object]


class ApiError(Exception):
    """An error reply of the engine: `status`, and str(self) is its message. `reason`: Cove's own word for a failure
    that a client may react to by itself; "" for all others, and of other engines."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class StreamFailed(ApiError):
    """The engine replied 200 and reported an error later in the stream (a pull, a load)."""

    def __init__(self, message: str) -> None:
        super().__init__(500, message)


class ApiClient:
    """A client of the API at `endpoint`. `timeout_s` limits each wait for an answer's bytes, streams excepted."""

    kept_connections = 4  # so many idle ones, at most, are kept for the next requests

    def __init__(self, endpoint: Endpoint, timeout_s: float | None = None) -> None:
        """Makes no connection yet."""
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self._idle: list[Connection] = []
        self._all: WeakSet[Connection] = WeakSet()
        self._is_aborted = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; open streams go on."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def abort(self) -> None:
        """Close all connections, also those on which another thread waits for a reply. Its call raises
        ConnectionFailed, as every later one does; a stream ends."""
        with self._lock:
            self._is_aborted = True
            connections, self._idle = list(self._all), []
        for connection in connections:
            connection.close()

    def _open(self) -> Connection:
        connection = self._take()
        with self._lock:
            self._all.add(connection)
            is_aborted = self._is_aborted
        if is_aborted:
            connection.close()
            raise ConnectionFailed(self.endpoint, "the call was aborted")
        return connection

    def _take(self) -> Connection:
        """An idle connection, or a new one."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return Connection(self.endpoint, self.timeout_s)
            if not connection.is_stale():
                connection.settimeout(self.timeout_s)  # it may have been changed since
                return connection
            connection.close()

    def finish(self, response: Response) -> None:
        """Keep the connection for another request if the reply was read to its end; else close it."""
        if response.is_reusable:
            with self._lock:
                if len(self._idle) < self.kept_connections:
                    response.connection.settimeout(self.timeout_s)
                    self._idle.append(response.connection)
                    return
        response.close()

    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, *, limited: bool = True
    ) -> Response:
        connection = self._open()
        if not limited:
            connection.settimeout(None)
        return connection.request(method, target, headers, body)

    def target(self, path: str, query: Query | None) -> str:
        """The target in the request line. Overridden by clients whose paths begin with a version."""
        return path + encode_query(query)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        data: Body = None,
        headers: Mapping[str, str] | None = None,
        limited: bool = False,
    ) -> Response:
        """The answer to a request, its body unread; the caller reads it to the end or closes it.

        `body` goes as JSON, `data` as it is. `limited`: the client's `timeout_s` holds for the body's bytes too.
        Raises ApiError for a status of 400 and above, ConnectionFailed, ProtocolError.
        """
        sent = dict(headers or {})
        payload = data
        if body is not None:
            payload = json.dumps(body, separators=(",", ":")).encode()
            sent.setdefault("Content-Type", "application/json")
        response = self.exchange(method, self.target(path, query), sent, payload, limited=limited)
        if response.status >= 400:
            error = _error_of(response)
            self.finish(response)
            raise error
        return response

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: object = None,
        *,
        limited: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Parsed JSON, None for an empty answer. `limited=False` for calls of unlimited duration (stop, wait).

        Raises ApiError, ConnectionFailed, ProtocolError.
        """
        return self._json_of(
            self.call(method, path, query=query, body=body, limited=limited, headers=headers), f"{method} {path}"
        )

    def _json_of(self, response: Response, what: str) -> Any:
        try:
            text = response.read()
        finally:
            self.finish(response)
        if not text.strip():
            return None
        try:
            return json.loads(_text_of(text))
        except ValueError as e:
            raise ProtocolError(f"{what}: the answer is not JSON") from e

    def get_all(self, asked: Sequence[tuple[str, Query | None]]) -> list[Any]:
        """The replies to several GETs (path and query each), of which some are under way at the same time.

        A reply is parsed JSON, or the ApiError that it told. Raises ConnectionFailed, ProtocolError.
        """
        found: list[Any] = []
        for first in range(0, len(asked), _AT_ONCE):
            found += self._get_some(asked[first : first + _AT_ONCE])
        return found

    def _get_some(self, asked: Sequence[tuple[str, Query | None]]) -> list[Any]:
        targets = [self.target(path, query) for path, query in asked]
        open_ones: list[Connection] = []
        found: list[Any] = []
        try:
            for target in targets:
                open_ones.append(self._open())
                open_ones[-1].send("GET", target, {})
            for path, _ in asked:
                response = open_ones[0].response("GET")
                if response.status >= 400:
                    found.append(_error_of(response))
                    self.finish(response)
                else:
                    found.append(self._json_of(response, f"GET {path}"))
                del open_ones[0]
        finally:
            for connection in open_ones:  # after a failure: their replies are not read
                connection.close()
        return found

    def stream(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: object = None,
        *,
        data: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonStream:
        """The JSON objects of a reply, each as it arrives. Raises as `call`."""
        return JsonStream(self.call(method, path, query=query, body=body, data=data, headers=headers))

    def json_object(self, method: str, path: str, query: Query | None = None, body: object = None) -> Json:
        answer = self.request(method, path, query, body)
        if not isinstance(answer, dict):
            raise ProtocolError(f"{method} {path}: not a JSON object")
        return answer

    def json_list(self, method: str, path: str, query: Query | None = None) -> list[Json]:
        answer = self.request(method, path, query)
        return list(answer) if answer else []


class Stream:
    """A reply that is read as it arrives. `close` may be called from another thread."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ByteStream(Stream):
    """The body of a reply in pieces, as they arrive (an image's tar, a log)."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from iter(self._response.read_some, b"")
        finally:
            self.close()


class JsonStream(Stream):
    """A sequence of JSON objects, with or without line ends; iterating ends with the stream or `close()`.

    Raises StreamFailed for a line that tells an error, ConnectionFailed when the engine goes away.
    """

    def __iter__(self) -> Iterator[Json]:
        try:
            yield from self._objects()
        finally:
            self.close()

    def _objects(self) -> Iterator[Json]:
        buffer = b""
        while data := self._response.read_some():
            *lines, buffer = (buffer + data).split(b"\n")
            if len(buffer) > _MAX_LINE:
                raise ProtocolError("a line of the engine's answer is too long")
            for line in lines:
                if line.strip():
                    yield _checked(line)
        if buffer.strip() and not self._response.connection.is_closed:
            yield _checked(buffer)


def encode_query(query: Query | None) -> str:
    """`?a=b&…`; None is left out, lists repeat their key, mappings go as JSON (docker's filters)."""
    parts = []
    for key, value in (query or {}).items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            if not value:
                continue
            text = {k: {item: True for item in v} for k, v in value.items()}
            values: list[object] = [json.dumps(text, separators=(",", ":"))]
        else:
            values = list(value) if isinstance(value, list | tuple) else [value]
        for item in values:
            text_value = "1" if item is True else "0" if item is False else str(item)
            parts.append(f"{quoted(key)}={quoted(text_value)}")
    return "?" + "&".join(parts) if parts else ""


def path_part(name: str) -> str:
    """A name or reference inside a path: `/` and `:` stay, as docker's clients leave them."""
    return quoted(name)


def _text_of(json_text: bytes) -> str:
    """The text of a reply. The names of files in it may have bytes that are no UTF-8; `quoted` sends them back so."""
    return json_text.decode("utf-8", "surrogateescape")


def quoted(text: str) -> str:
    """Percent-encoded (RFC 3986, section 2.1); importing urllib would slow the start of `cove` by 1 to 2 ms."""
    if text.isascii() and text.isalnum():  # an ID
        return text
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def _error_of(response: Response) -> ApiError:
    """The error in a reply: `{"message"}` as JSON, or plain text (attach)."""
    text = response.read()
    message = text.decode(errors="replace").strip()
    if response.headers.get("content-type", "").startswith("application/json"):
        try:
            message = str(json.loads(text).get("message") or message)
        except (ValueError, AttributeError):
            message = message[:500]
    reason = response.headers.get("x-cove-reason", "")
    return ApiError(response.status, message or f"{response.status} {response.head.reason}", reason)


def _checked(line: bytes) -> Json:
    try:
        answer = json.loads(_text_of(line))
    except ValueError as e:
        raise ProtocolError(f"not JSON: {line[:60]!r}") from e
    if not isinstance(answer, dict):
        raise ProtocolError(f"not a JSON object: {line[:60]!r}")
    detail = answer.get("errorDetail")
    # A string is docker's error line. An object is the field `error` of the host agent's states.
    if detail or (isinstance(answer.get("error"), str) and answer["error"]):
        raise StreamFailed(str((detail or {}).get("message") or answer.get("error")))
    return answer
