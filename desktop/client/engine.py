"""The Engine API as `cove` and the window use it: blocking calls, JSON in and out as the API shapes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from desktop.client import reference
from desktop.client.api import (
    ApiClient,
    ApiError,
    ByteStream,
    Json,
    JsonStream,
    Query,
    Stream,
    StreamFailed,
    encode_query,
    path_part,
)
from desktop.client.http import Body, ConnectionFailed, Endpoint, HijackedStream, Response
from desktop.client.wire import Frame, FrameReader, ProtocolError

__all__ = [
    "ApiError",
    "ByteStream",
    "ConnectionFailed",
    "Endpoint",
    "EngineClient",
    "Frame",
    "HijackedStream",
    "ProtocolError",
    "StreamFailed",
]

API_VERSION = (1, 50)  # the newest version that this client knows
_MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


class PullProgress(NamedTuple):
    """One line of a pull. `id` is a layer's first 12 hex digits, or the tag, or empty.

    `size` is the layer's download in bytes, told once by Cove's engine before it begins; else 0.
    """

    id: str
    status: str
    current: int
    total: int
    is_progress: bool  # it replaces the previous line with the same id; else it is a message
    size: int = 0
    aux: Json | None = None  # what a push tells of its end


class EngineClient(ApiClient):
    """A client of the engine at `endpoint`. `timeout_s` limits each wait for an answer's bytes, streams excepted."""

    _version: str | None = None

    @property
    def api_version(self) -> str:
        """The version in use: the lower of ours and the engine's, requested once. Raises ConnectionFailed."""
        if self._version is None:
            response = self.exchange("HEAD", "/_ping", {}, None)
            told = _version_of(response.headers.get("api-version", "1.24"))
            self.finish(response)
            self._version = ".".join(map(str, min(told, API_VERSION)))
        return self._version

    def target(self, path: str, query: Query | None) -> str:
        version = "" if path.startswith(("/cove/", "/_ping")) else f"/v{self.api_version}"
        return f"{version}{path}{encode_query(query)}"

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
        self.finish(response)
        return response.headers

    def version(self) -> Json:
        return self.json_object("GET", "/version")

    def is_cove(self) -> bool:
        """Whether it is Cove's engine. Raises ApiError, ConnectionFailed."""
        return str((self.version().get("Platform") or {}).get("Name")).startswith("Cove ")

    def info(self) -> Json:
        return self.json_object("GET", "/info")

    def events(
        self,
        since: float | str | None = None,
        filters: Mapping[str, Iterable[str]] | None = None,
        *,
        until: object = None,
    ) -> JsonStream:
        """Events as they are published. With `since` (Unix seconds), the past events that the engine has come first."""
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
        return self.json_list("GET", "/containers/json", query)

    def inspect(self, container: str, *, size: bool = False) -> Json:
        return self.json_object("GET", f"/containers/{path_part(container)}/json", {"size": size or None})

    def create(self, config: Mapping[str, object], *, name: str | None = None, platform: str | None = None) -> Json:
        """`{"Id", "Warnings"}`. ApiError 404 always means that the image is missing."""
        return self.json_object("POST", "/containers/create", {"name": name, "platform": platform}, config)

    def start(self, container: str, *, detach_keys: str | None = None) -> None:
        self.request("POST", f"/containers/{path_part(container)}/start", {"detachKeys": detach_keys}, limited=False)

    def stop(self, container: str, timeout_s: int | None = None, signal: str | None = None) -> None:
        """Returns when the container has stopped. Does nothing if it does not run."""
        query = {"t": timeout_s, "signal": signal}
        self.request("POST", f"/containers/{path_part(container)}/stop", query, limited=False)

    def restart(self, container: str, timeout_s: int | None = None, signal: str | None = None) -> None:
        query = {"t": timeout_s, "signal": signal}
        self.request("POST", f"/containers/{path_part(container)}/restart", query, limited=False)

    def kill(self, container: str, signal: str | None = None) -> None:
        self.request("POST", f"/containers/{path_part(container)}/kill", {"signal": signal}, limited=False)

    def pause(self, container: str) -> None:
        self.request("POST", f"/containers/{path_part(container)}/pause")

    def unpause(self, container: str) -> None:
        self.request("POST", f"/containers/{path_part(container)}/unpause")

    def update(self, container: str, limits: Mapping[str, object]) -> None:
        """Change limits: fields of HostConfig that docker's update takes."""
        self.request("POST", f"/containers/{path_part(container)}/update", None, limits)

    def rename(self, container: str, name: str) -> None:
        self.request("POST", f"/containers/{path_part(container)}/rename", {"name": name})

    def remove(self, container: str, *, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        query = {"force": force or None, "v": volumes or None, "link": link or None}
        self.request("DELETE", f"/containers/{path_part(container)}", query, limited=False)

    def resize(self, container: str, rows: int, columns: int) -> None:
        self.request("POST", f"/containers/{path_part(container)}/resize", {"h": rows, "w": columns})

    def put_archive(self, container: str, folder: str, tar: Body, query: Query | None = None) -> None:
        """Unpack a tar in a container's folder. `query`: the API's further parameters."""
        response = self.call(
            "PUT",
            f"/containers/{path_part(container)}/archive",
            query={"path": folder, **(query or {})},
            data=tar,
            headers={"Content-Type": "application/x-tar"},
        )
        response.read()
        self.finish(response)

    def changes(self, container: str) -> list[Json]:
        """What differs from the image: `{"Path", "Kind"}`, 0: changed, 1: added, 2: deleted."""
        return self.json_list("GET", f"/containers/{path_part(container)}/changes")

    def export(self, container: str) -> ByteStream:
        """The tar of a container's file system."""
        return ByteStream(self.call("GET", f"/containers/{path_part(container)}/export"))

    def commit(self, container: str, repository: str, tag: str) -> str:
        """Make an image of a container with what it has written; returns the image's id."""
        query = {"container": container, "repo": repository, "tag": tag}
        return str(self.request("POST", "/commit", query, {}, limited=False)["Id"])

    def top(self, container: str, ps_args: str | None = None) -> Json:
        return self.json_object("GET", f"/containers/{path_part(container)}/top", {"ps_args": ps_args})

    def wait(self, container: str, condition: str | None = None) -> int:
        """The exit status, as soon as `condition` (not-running, next-exit, removed) holds."""
        with self.waiter(container, condition) as waiter:
            return waiter.result()

    def waiter(self, container: str, condition: str | None = None) -> Waiter:
        """Begin a wait; returns when the engine has confirmed it. Call it before `start`, so that no exit is missed."""
        path = f"/containers/{path_part(container)}/wait"
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
        """Log lines as frames. `tty` (by default read from `inspect`): the output is one stream without frames."""
        if tty is None:
            tty = bool(self.inspect(container)["Config"]["Tty"])
        query = {
            "stdout": True, "stderr": True, "follow": follow or None, "tail": tail, "timestamps": timestamps or None,
            "since": since, "until": until, "details": details or None,
        }  # fmt: skip
        response = self.call("GET", f"/containers/{path_part(container)}/logs", query=query)
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
        return self.hijack(f"/containers/{path_part(container)}/attach", None, query, tty=tty)

    def timeline(self, container: str) -> Json:
        """The durations of a start's steps in ms. Cove's engine only; others reply ApiError 404."""
        return self.json_object("GET", f"/cove/v1/containers/{path_part(container)}/timeline")

    def xray(self, container: str, path: str | None = None) -> Json:
        """A container as the kernel has it, and where `path` in it comes from. Cove's engine only."""
        return self.json_object("GET", f"/cove/v1/containers/{path_part(container)}/xray", {"path": path})

    def usage(self, interval_ms: int | None = None, containers: Iterable[str] = ()) -> JsonStream:
        """What the running ones of `containers` (none: of all) use, an object per interval, `{"containers": [...]}`.

        Those that start and stop meanwhile are followed. Cove's engine only; others reply ApiError 404, as Cove's does
        for a name of no container.
        """
        query = {"interval_ms": interval_ms, "containers": ",".join(containers) or None}
        return self.stream("GET", "/cove/v1/stats", query)

    def usage_history(self, container: str) -> Json:
        """What a container has used: a point a second for ten minutes, one a minute for a day, as lists of values.

        `{"seconds": {"at_ms": [...], "cpu_ns": [...], ...}, "minutes": {...}}`, the same counters as in `usage`, also
        of a container that has stopped. Cove's engine only; others reply ApiError 404.
        """
        return self.json_object("GET", f"/cove/v1/containers/{path_part(container)}/usage")

    # --- exec

    def exec_create(self, container: str, config: Mapping[str, object]) -> str:
        return str(self.json_object("POST", f"/containers/{path_part(container)}/exec", None, config)["Id"])

    def exec_start(
        self, exec_id: str, *, tty: bool = False, console_size: tuple[int, int] | None = None
    ) -> HijackedStream:
        """Start the exec, attached. `console_size`: rows and columns."""
        body = {"Detach": False, "Tty": tty, "ConsoleSize": list(console_size) if console_size else None}
        return self.hijack(
            f"/exec/{path_part(exec_id)}/start", {k: v for k, v in body.items() if v is not None}, tty=tty
        )

    def exec_start_detached(self, exec_id: str, *, tty: bool = False) -> None:
        self.request("POST", f"/exec/{path_part(exec_id)}/start", None, {"Detach": True, "Tty": tty}, limited=False)

    def exec_inspect(self, exec_id: str) -> Json:
        return self.json_object("GET", f"/exec/{path_part(exec_id)}/json")

    def resize_exec(self, exec_id: str, rows: int, columns: int) -> None:
        self.request("POST", f"/exec/{path_part(exec_id)}/resize", {"h": rows, "w": columns})

    # --- volumes and networks

    def volumes(self) -> list[Json]:
        return [dict(volume) for volume in self.json_object("GET", "/volumes").get("Volumes") or ()]

    def volume_inspect(self, name: str) -> Json:
        return self.json_object("GET", f"/volumes/{path_part(name)}")

    def volume_create(self, name: str) -> Json:
        return self.json_object("POST", "/volumes/create", None, {"Name": name})

    def volume_remove(self, name: str) -> None:
        self.request("DELETE", f"/volumes/{path_part(name)}", limited=False)

    def check(self, *, repair: bool = False) -> JsonStream:
        """A check of all that the engine has: `{"progress", "finding", "result"}`, of which one is not None.

        Cove's engine only; ApiError 409 while another check runs.
        """
        return self.stream("POST", "/cove/v1/check", {"repair": repair or None})

    def disk_usage(self, *types: str) -> Json:
        """What is on the disk, of `types` (container, image, volume, build-cache); sizes are measured, which may take
        long."""
        return dict(self.request("GET", "/system/df", {"type": list(types)}, limited=False) or {})

    def networks(self) -> list[Json]:
        return self.json_list("GET", "/networks")

    def network_inspect(self, network: str) -> Json:
        return self.json_object("GET", f"/networks/{path_part(network)}")

    def network_create(self, config: Mapping[str, object]) -> Json:
        return self.json_object("POST", "/networks/create", None, config)

    def network_remove(self, network: str) -> None:
        self.request("DELETE", f"/networks/{path_part(network)}")

    def network_connect(self, network: str, container: str) -> None:
        self.request("POST", f"/networks/{path_part(network)}/connect", None, {"Container": container})

    def network_disconnect(self, network: str, container: str) -> None:
        self.request("POST", f"/networks/{path_part(network)}/disconnect", None, {"Container": container})

    # --- images

    def images(
        self, all: bool = False, *, filters: Mapping[str, Iterable[str]] | None = None, manifests: bool = False
    ) -> list[Json]:
        query = {"all": all or None, "filters": filters, "manifests": manifests or None}
        return self.json_list("GET", "/images/json", query)

    def image_inspect(self, image: str, *, platform: str | None = None, manifests: bool = False) -> Json:
        """`platform`: as an OCI platform's JSON. `manifests`: with the images of all platforms (API 1.48)."""
        query = {"platform": platform, "manifests": manifests or None}
        return self.json_object("GET", f"/images/{path_part(image)}/json", query)

    def image_history(self, image: str, *, platform: str | None = None) -> list[Json]:
        """`platform`: as an OCI platform's JSON."""
        return self.json_list("GET", f"/images/{path_part(image)}/history", {"platform": platform})

    def image_remove(
        self, image: str, *, force: bool = False, no_prune: bool = False, platforms: Iterable[str] = ()
    ) -> list[Json]:
        """`platforms`: only the images for these, each as an OCI platform's JSON."""
        query = {"force": force or None, "noprune": no_prune or None, "platforms": list(platforms) or None}
        return self.json_list("DELETE", f"/images/{path_part(image)}", query)

    def save(self, images: Iterable[str]) -> ByteStream:
        """The tar of images, which `load` reads."""
        return ByteStream(self.call("GET", "/images/get", query={"names": list(images)}))

    def load(self, pieces: Iterable[bytes]) -> JsonStream:
        """Load images from a tar; the stream says which. Raises StreamFailed while it is read."""
        return self.stream(
            "POST", "/images/load", {"quiet": True}, data=pieces, headers={"Content-Type": "application/x-tar"}
        )

    def tag(self, image: str, repository: str, tag: str) -> None:
        self.request("POST", f"/images/{path_part(image)}/tag", {"repo": repository, "tag": tag})

    def pull(
        self, ref: str, *, platform: str | None = None, auth: str | None = None, all_tags: bool = False
    ) -> PullStream:
        """The lines of a pull. `auth`: X-Registry-Auth; None: the login that docker and cove keep for the registry.

        Raises reference.InvalidReference, ApiError; StreamFailed while iterating.
        """
        from desktop.client import logins

        wanted = reference.parse(ref)
        query = {"fromImage": wanted.repository, "tag": None if all_tags else wanted.version, "platform": platform}
        auth = auth or logins.header_for(wanted.repository)
        headers = {"X-Registry-Auth": auth} if auth else None
        return PullStream(self.call("POST", "/images/create", query=query, headers=headers))

    def push(self, wanted: reference.Reference, *, all_tags: bool = False, platform: str | None = None) -> PullStream:
        """The lines of a push of an image, or of all tags of its repository, with the login that docker and cove keep
        for the registry. `platform`: as an OCI platform's JSON. Raises ApiError; StreamFailed while iterating."""
        from desktop.client import logins

        auth = logins.header_for(wanted.repository) or logins.encoded({})  # the header is required
        query = {"tag": None if all_tags else wanted.version, "platform": platform}
        path = f"/images/{path_part(wanted.repository)}/push"
        return PullStream(self.call("POST", path, query=query, headers={"X-Registry-Auth": auth}))


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
                int(line.get("size") or 0),
                line.get("aux"),
            )


class LogStream(Stream):
    """Frames of a container's log; all output of a terminal is stream 1."""

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


class Waiter(Stream):
    """A wait that the engine has confirmed."""

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


def _version_of(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(".")[:2])
    except ValueError:
        return (1, 24)
