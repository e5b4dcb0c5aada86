"""The Engine API as `cove` and the window use it: blocking calls, JSON in and out as the API shapes it.

Plain requests share a few kept connections; every stream has a connection of its own, and its `close()` may be called
from another thread to end it. An `EngineClient` may be shared between threads.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from desktop.client import reference
from desktop.client.http import Body, Connection, ConnectionFailed, Endpoint, HijackedStream, Response
from desktop.client.wire import Frame, FrameReader, ProtocolError

__all__ = ["ApiError", "ConnectionFailed", "Endpoint", "EngineClient", "Frame", "HijackedStream", "ProtocolError"]

API_VERSION = (1, 50)  # the newest whose answers this client has been written for
_MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
_SAFE = "/:@,"
_KEPT_CONNECTIONS = 4
_MAX_LINE = 32 * 1024 * 1024

Json = dict[str, Any]
Query = Mapping[str, object]


class ApiError(Exception):
    """The engine refused: its status, and str(self) is its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class StreamFailed(ApiError):
    """The engine had begun to answer with 200 and then failed (a pull, a load)."""

    def __init__(self, message: str) -> None:
        super().__init__(500, message)


class PullProgress(NamedTuple):
    """One line of a pull. `id` is a layer's first 12 hex digits, or the tag, or empty."""

    id: str
    status: str
    current: int
    total: int
    is_progress: bool  # it replaces the line before with the same id; otherwise it is a message


class EngineClient:
    """A client of the engine at `endpoint`. `timeout_s` limits each wait for an answer's bytes, streams excepted."""

    def __init__(self, endpoint: Endpoint, timeout_s: float | None = None) -> None:
        """Connects to nothing yet."""
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._version: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the kept connections; streams under way go on."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # --- requests

    @property
    def api_version(self) -> str:
        """The version spoken: the smaller of ours and the engine's, asked once. Raises ConnectionFailed."""
        if self._version is None:
            response = self._exchange("HEAD", "/_ping", {}, None)
            told = _version_of(response.headers.get("api-version", "1.24"))
            self._finish(response)
            self._version = ".".join(map(str, min(told, API_VERSION)))
        return self._version

    def _open(self) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return Connection(self.endpoint, self._timeout_s)
            if not connection.is_stale():
                return connection
            connection.close()

    def _finish(self, response: Response) -> None:
        """Keep the connection of an answer read to its end, or close it."""
        if response.is_reusable:
            with self._lock:
                if len(self._idle) < _KEPT_CONNECTIONS:
                    response.connection.settimeout(self._timeout_s)
                    self._idle.append(response.connection)
                    return
        response.close()

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, *, limited: bool = True
    ) -> Response:
        connection = self._open()
        if not limited:
            connection.settimeout(None)
        return connection.request(method, target, headers, body)

    def _target(self, path: str, query: Query | None) -> str:
        version = "" if path.startswith(("/cove/", "/_ping")) else f"/v{self.api_version}"
        return f"{version}{path}{encode_query(query)}"

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
        response = self._exchange(method, self._target(path, query), sent, payload, limited=limited)
        if response.status >= 400:
            error = _error_of(response)
            self._finish(response)
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
        """Parsed JSON, None for an empty answer. `limited=False` for calls that take what they take (stop, wait).

        Raises ApiError, ConnectionFailed, ProtocolError.
        """
        response = self.call(method, path, query=query, body=body, limited=limited, headers=headers)
        try:
            text = response.read()
        finally:
            self._finish(response)
        if not text.strip():
            return None
        try:
            return json.loads(text)
        except ValueError as e:
            raise ProtocolError(f"{method} {path}: the answer is not JSON") from e

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
        """The JSON objects of an answer as they come. Raises as `call`."""
        return JsonStream(self.call(method, path, query=query, body=body, data=data, headers=headers))

    def hijack(
        self, path: str, body: object = None, query: Query | None = None, *, tty: bool | None = None
    ) -> HijackedStream:
        """Both directions of an attach or exec. `tty` decides about frames where an engine below 1.42 does not tell.

        Raises ApiError, ConnectionFailed, ProtocolError.
        """
        sent = {"Connection": "Upgrade", "Upgrade": "tcp"}
        response = self.call("POST", path, query=query, body=body, headers=sent, limited=False)
        if response.status != 101:
            response.close()
            raise ProtocolError(f"the engine did not hijack the connection: {response.status} {response.head.reason}")
        is_multiplexed = response.headers.get("content-type") == _MULTIPLEXED
        if not is_multiplexed and tty is not None and _version_of(self.api_version) < (1, 42):
            is_multiplexed = not tty
        return HijackedStream(response, is_multiplexed=is_multiplexed)

    # --- system

    def ping(self) -> Mapping[str, str]:
        """The headers of `_ping`: the engine's version, builder, state. Raises ConnectionFailed."""
        response = self.call("GET", "/_ping", limited=True)
        response.read()
        self._finish(response)
        return response.headers

    def version(self) -> Json:
        return self._object("GET", "/version")

    def info(self) -> Json:
        return self._object("GET", "/info")

    def events(
        self,
        since: float | str | None = None,
        filters: Mapping[str, Iterable[str]] | None = None,
        *,
        until: object = None,
    ) -> JsonStream:
        """Events as they happen; with `since` (Unix seconds) those still remembered come first."""
        return self.stream("GET", "/events", {"since": since, "until": until, "filters": filters})

    # --- containers

    def containers(
        self,
        all: bool = False,
        *,
        limit: int | None = None,
        size: bool = False,
        filters: Mapping[str, Iterable[str]] | None = None,
    ) -> list[Json]:
        query = {"all": all or None, "limit": limit, "size": size or None, "filters": filters}
        return self._list("GET", "/containers/json", query)

    def inspect(self, container: str, *, size: bool = False) -> Json:
        return self._object("GET", f"/containers/{_part(container)}/json", {"size": size or None})

    def create(self, config: Mapping[str, object], *, name: str | None = None, platform: str | None = None) -> Json:
        """`{"Id", "Warnings"}`. ApiError 404: the image is missing (and nothing else)."""
        return self._object("POST", "/containers/create", {"name": name, "platform": platform}, config)

    def start(self, container: str, *, detach_keys: str | None = None) -> None:
        self.request("POST", f"/containers/{_part(container)}/start", {"detachKeys": detach_keys}, limited=False)

    def stop(self, container: str, timeout_s: int | None = None, signal: str | None = None) -> None:
        """Returns when it has stopped; harmless if it had."""
        query = {"t": timeout_s, "signal": signal}
        self.request("POST", f"/containers/{_part(container)}/stop", query, limited=False)

    def restart(self, container: str, timeout_s: int | None = None, signal: str | None = None) -> None:
        query = {"t": timeout_s, "signal": signal}
        self.request("POST", f"/containers/{_part(container)}/restart", query, limited=False)

    def kill(self, container: str, signal: str | None = None) -> None:
        self.request("POST", f"/containers/{_part(container)}/kill", {"signal": signal}, limited=False)

    def pause(self, container: str) -> None:
        self.request("POST", f"/containers/{_part(container)}/pause")

    def unpause(self, container: str) -> None:
        self.request("POST", f"/containers/{_part(container)}/unpause")

    def rename(self, container: str, name: str) -> None:
        self.request("POST", f"/containers/{_part(container)}/rename", {"name": name})

    def remove(self, container: str, *, force: bool = False, volumes: bool = False) -> None:
        query = {"force": force or None, "v": volumes or None}
        self.request("DELETE", f"/containers/{_part(container)}", query, limited=False)

    def resize(self, container: str, rows: int, columns: int) -> None:
        self.request("POST", f"/containers/{_part(container)}/resize", {"h": rows, "w": columns})

    def top(self, container: str, ps_args: str | None = None) -> Json:
        return self._object("GET", f"/containers/{_part(container)}/top", {"ps_args": ps_args})

    def wait(self, container: str, condition: str | None = None) -> int:
        """The exit status, as soon as `condition` (not-running, next-exit, removed) holds."""
        with self.waiter(container, condition) as waiter:
            return waiter.result()

    def waiter(self, container: str, condition: str | None = None) -> Waiter:
        """A wait that is known to have begun: to be asked for before `start`."""
        path = f"/containers/{_part(container)}/wait"
        return Waiter(self.call("POST", path, query={"condition": condition}))

    def logs(
        self,
        container: str,
        follow: bool = False,
        tail: int | str | None = None,
        timestamps: bool = False,
        *,
        since: str | None = None,
        until: str | None = None,
        details: bool = False,
        tty: bool | None = None,
    ) -> LogStream:
        """Log lines as frames. `tty` (else asked of `inspect`) tells whether the streams are apart."""
        if tty is None:
            tty = bool(self.inspect(container)["Config"]["Tty"])
        query = {
            "stdout": True, "stderr": True, "follow": follow or None, "tail": tail, "timestamps": timestamps or None,
            "since": since, "until": until, "details": details or None,
        }  # fmt: skip
        response = self.call("GET", f"/containers/{_part(container)}/logs", query=query)
        return LogStream(response, is_multiplexed=not tty)

    def attach(
        self,
        container: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        stream: bool = True,
        detach_keys: str | None = None,
        tty: bool | None = None,
    ) -> HijackedStream:
        query = {
            "stream": stream or None, "stdin": stdin or None, "stdout": stdout or None, "stderr": stderr or None,
            "logs": logs or None, "detachKeys": detach_keys,
        }  # fmt: skip
        return self.hijack(f"/containers/{_part(container)}/attach", None, query, tty=tty)

    def timeline(self, container: str) -> Json:
        """How long the engine took for the steps of a start (milliseconds); ours only, else ApiError 404."""
        return self._object("GET", f"/cove/v1/containers/{_part(container)}/timeline")

    # --- exec

    def exec_create(self, container: str, config: Mapping[str, object]) -> str:
        return str(self._object("POST", f"/containers/{_part(container)}/exec", None, config)["Id"])

    def exec_start(
        self, exec_id: str, *, tty: bool = False, console_size: tuple[int, int] | None = None
    ) -> HijackedStream:
        """Start it, attached. `console_size`: rows and columns."""
        body = {"Detach": False, "Tty": tty, "ConsoleSize": list(console_size) if console_size else None}
        return self.hijack(f"/exec/{_part(exec_id)}/start", {k: v for k, v in body.items() if v is not None}, tty=tty)

    def exec_start_detached(self, exec_id: str, *, tty: bool = False) -> None:
        self.request("POST", f"/exec/{_part(exec_id)}/start", None, {"Detach": True, "Tty": tty}, limited=False)

    def exec_inspect(self, exec_id: str) -> Json:
        return self._object("GET", f"/exec/{_part(exec_id)}/json")

    def resize_exec(self, exec_id: str, rows: int, columns: int) -> None:
        self.request("POST", f"/exec/{_part(exec_id)}/resize", {"h": rows, "w": columns})

    # --- images

    def images(self, all: bool = False, *, filters: Mapping[str, Iterable[str]] | None = None) -> list[Json]:
        return self._list("GET", "/images/json", {"all": all or None, "filters": filters})

    def image_inspect(self, image: str) -> Json:
        return self._object("GET", f"/images/{_part(image)}/json")

    def image_history(self, image: str) -> list[Json]:
        return self._list("GET", f"/images/{_part(image)}/history")

    def image_remove(self, image: str, *, force: bool = False, no_prune: bool = False) -> list[Json]:
        query = {"force": force or None, "noprune": no_prune or None}
        return self._list("DELETE", f"/images/{_part(image)}", query)

    def tag(self, image: str, repository: str, tag: str) -> None:
        self.request("POST", f"/images/{_part(image)}/tag", {"repo": repository, "tag": tag})

    def pull(self, ref: str, *, platform: str | None = None, auth: str | None = None) -> PullStream:
        """The lines of a pull. Raises reference.InvalidReference, ApiError; StreamFailed while iterating."""
        wanted = reference.parse(ref)
        query = {"fromImage": wanted.repository, "tag": wanted.version, "platform": platform}
        headers = {"X-Registry-Auth": auth} if auth else None
        return PullStream(self.call("POST", "/images/create", query=query, headers=headers))

    def _object(self, method: str, path: str, query: Query | None = None, body: object = None) -> Json:
        answer = self.request(method, path, query, body)
        if not isinstance(answer, dict):
            raise ProtocolError(f"{method} {path}: not a JSON object")
        return answer

    def _list(self, method: str, path: str, query: Query | None = None) -> list[Json]:
        answer = self.request(method, path, query)
        return list(answer) if answer else []


class _Stream:
    """An answer that is read as it comes; closable from another thread."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ByteStream(_Stream):
    """The body of an answer in pieces as they come (an image's tar, a log)."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from iter(self._response.read_some, b"")
        finally:
            self.close()


class JsonStream(_Stream):
    """JSON objects one behind the other, with or without line ends; iterating ends with the stream or `close()`.

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


class PullStream(JsonStream):
    """`pull`'s lines, as PullProgress."""

    def __iter__(self) -> Iterator[PullProgress]:  # type: ignore[override]  # the same stream, read once, typed
        for line in super().__iter__():
            detail = line.get("progressDetail")
            yield PullProgress(
                str(line.get("id", "")),
                str(line.get("status", "")),
                int((detail or {}).get("current") or 0),
                int((detail or {}).get("total") or 0),
                detail is not None,
            )


class LogStream(_Stream):
    """Frames of a container's log; a terminal's is all stream 1."""

    def __init__(self, response: Response, *, is_multiplexed: bool) -> None:
        super().__init__(response)
        self._is_multiplexed = is_multiplexed

    def __iter__(self) -> Iterator[Frame]:
        frames = FrameReader()
        try:
            while data := self._response.read_some():
                if not self._is_multiplexed:
                    yield Frame(1, data)
                    continue
                frames.feed(data)
                while (frame := frames.take()) is not None:
                    yield frame
        finally:
            self.close()


class Waiter(_Stream):
    """A wait under way: the engine has confirmed that it waits."""

    def result(self) -> int:
        """The exit status. Raises StreamFailed if waiting failed, ProtocolError, ConnectionFailed."""
        try:
            text = self._response.read()
        finally:
            self.close()
        if not text.strip():
            raise ConnectionFailed(self._response.connection.endpoint, "the engine ended the wait without a status")
        answer = json.loads(text)
        if (error := answer.get("Error")) and error.get("Message"):
            raise StreamFailed(str(error["Message"]))
        return int(answer["StatusCode"])


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
            parts.append(f"{quote(key, safe='')}={quote(text_value, safe=_SAFE)}")
    return "?" + "&".join(parts) if parts else ""


def _part(name: str) -> str:
    """A name or reference inside a path: `/` and `:` stay, as docker's clients leave them."""
    return quote(name, safe=_SAFE)


def _version_of(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(".")[:2])
    except ValueError:
        return (1, 24)


def _error_of(response: Response) -> ApiError:
    """The refusal in an answer: `{"message"}` as JSON, or plain text (attach)."""
    text = response.read()
    message = text.decode(errors="replace").strip()
    if response.headers.get("content-type", "").startswith("application/json"):
        try:
            message = str(json.loads(text).get("message") or message)
        except (ValueError, AttributeError):
            message = message[:500]
    return ApiError(response.status, message or f"{response.status} {response.head.reason}")


def _checked(line: bytes) -> Json:
    try:
        answer = json.loads(line)
    except ValueError as e:
        raise ProtocolError(f"not JSON: {line[:60]!r}") from e
    if not isinstance(answer, dict):
        raise ProtocolError(f"not a JSON object: {line[:60]!r}")
    detail = answer.get("errorDetail")
    if detail or answer.get("error"):
        raise StreamFailed(str((detail or {}).get("message") or answer.get("error")))
    return answer
