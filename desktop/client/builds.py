"""Builds as `/cove/v1/builds` tells of them. Another engine than Cove's replies 404."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from desktop.client.api import JsonStream, path_part
from desktop.client.engine import EngineClient
from desktop.client.wire import ProtocolError

PATH = "/cove/v1/builds"


class Build(NamedTuple):
    """One build. `state`: running, completed, failed, canceled. Times are Unix seconds; the counts of steps are 0 while
    it runs."""

    id: str
    state: str
    names: tuple[str, ...]
    image_id: str
    dockerfile: str
    target: str
    platform: str
    started_s: float
    ended_s: float | None
    steps: int
    cached_steps: int
    done_steps: int
    warnings: int
    error: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Build:
        """Raises KeyError, TypeError, ValueError."""
        return cls(
            id=str(value["id"]),
            state=str(value["state"]),
            names=tuple(map(str, value["names"])),
            image_id=str(value["image_id"]),
            dockerfile=str(value["dockerfile"]),
            target=str(value["target"]),
            platform=str(value["platform"]),
            started_s=int(value["started_ms"]) / 1000,
            ended_s=_seconds(value["ended_ms"]),
            steps=int(value["steps"]),
            cached_steps=int(value["cached_steps"]),
            done_steps=int(value["done_steps"]),
            warnings=int(value["warnings"]),
            error=str(value["error"]),
        )


class Failure(NamedTuple):
    """Where in the Dockerfile it failed; lines count from 1."""

    file: str
    source: str
    first_line: int
    last_line: int


class Step(NamedTuple):
    """A step as last reported. Times are Unix seconds; None: not yet."""

    id: str
    name: str
    inputs: tuple[str, ...]
    cached: bool
    started_s: float | None
    ended_s: float | None
    error: str


class Output(NamedTuple):
    """Output of a step's command, as it came."""

    step: str
    stream: int
    at_s: float
    text: str


class Report(NamedTuple):
    steps: tuple[Step, ...]
    output: tuple[Output, ...]


class Change(NamedTuple):
    """A build that is there, has begun or has ended, or the id of one that was deleted."""

    build: Build | None
    deleted: str


def changes(stream: JsonStream) -> Iterator[Change]:
    """Raises ProtocolError, ConnectionFailed."""
    for line in stream:
        try:
            build = line["build"]
            yield Change(None if build is None else Build.from_json(build), str(line["deleted"]))
        except (KeyError, TypeError, ValueError) as e:
            raise ProtocolError(f"not a change of a build: {e!r}") from e


def reports(stream: JsonStream) -> Iterator[Report]:
    """Raises ProtocolError, ConnectionFailed."""
    for line in stream:
        try:
            yield Report(tuple(map(_step, line["steps"])), tuple(map(_output, line["output"])))
        except (KeyError, TypeError, ValueError) as e:
            raise ProtocolError(f"not a report of a build: {e!r}") from e


def listed(client: EngineClient) -> list[Build]:
    """All builds that are known. Raises ApiError, ConnectionFailed, ProtocolError."""
    told = client.json_object("GET", PATH)
    try:
        return [Build.from_json(value) for value in told["builds"]]
    except (KeyError, TypeError, ValueError) as e:
        raise ProtocolError(f"not a list of builds: {e!r}") from e


def follow(client: EngineClient) -> JsonStream:
    """For `changes`: all builds, then what happens. Raises ApiError, ConnectionFailed."""
    return client.stream("GET", f"{PATH}/events")


def log(client: EngineClient, build_id: str) -> JsonStream:
    """For `reports`: of a build from the first one on, until it ends. Raises ApiError, ConnectionFailed."""
    return client.stream("GET", f"{PATH}/{path_part(build_id)}/log")


def failure(client: EngineClient, build_id: str) -> Failure | None:
    """None: it has not failed, or not at a known line. Raises ApiError, ConnectionFailed, ProtocolError."""
    told = client.json_object("GET", f"{PATH}/{path_part(build_id)}").get("failure")
    if told is None:
        return None
    try:
        return Failure(str(told["file"]), str(told["source"]), int(told["first_line"]), int(told["last_line"]))
    except (KeyError, TypeError, ValueError) as e:
        raise ProtocolError(f"not a failure of a build: {e!r}") from e


def delete(client: EngineClient, build_id: str) -> None:
    """Forget it; image and cache stay. Raises ApiError, ConnectionFailed."""
    client.request("DELETE", f"{PATH}/{path_part(build_id)}")


def cancel(client: EngineClient, build_id: str) -> None:
    """End a build that runs. Raises ApiError, ConnectionFailed."""
    client.request("POST", f"{PATH}/{path_part(build_id)}/cancel")


class CacheItem(NamedTuple):
    """A record of the build cache. `size` in bytes; `in_use`: a build needs it now."""

    id: str
    kind: str
    description: str
    size: int
    in_use: bool


def cache(client: EngineClient) -> list[CacheItem]:
    """Raises ApiError, ConnectionFailed, ProtocolError."""
    told = client.disk_usage("build-cache").get("BuildCache") or ()
    try:
        return [
            CacheItem(
                id=str(item["ID"]),
                kind=str(item.get("Type", "")),
                description=str(item.get("Description", "")),
                size=int(item.get("Size") or 0),
                in_use=bool(item.get("InUse")),
            )
            for item in told
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ProtocolError(f"not a list of the build cache: {e!r}") from e


def prune(client: EngineClient, ids: Sequence[str]) -> int:
    """Remove these records of the cache; how many bytes are free now. Raises ApiError, ConnectionFailed."""
    freed = 0
    for one in ids:
        told = client.request("POST", "/build/prune", {"all": True, "filters": {"id": [one]}}, limited=False)
        freed += int((told or {}).get("SpaceReclaimed") or 0)
    return freed


def _step(value: Mapping[str, Any]) -> Step:
    return Step(
        id=str(value["id"]),
        name=str(value["name"]),
        inputs=tuple(map(str, value["inputs"])),
        cached=bool(value["cached"]),
        started_s=_seconds(value["started_ms"]),
        ended_s=_seconds(value["ended_ms"]),
        error=str(value["error"]),
    )


def _output(value: Mapping[str, Any]) -> Output:
    return Output(str(value["step"]), int(value["stream"]), int(value["at_ms"]) / 1000, str(value["text"]))


def _seconds(value: int | None) -> float | None:
    return None if value is None else int(value) / 1000
