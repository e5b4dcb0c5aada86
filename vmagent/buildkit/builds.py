"""Builds as `/cove/v1/builds` tells of them: what was built, how it went, its steps with their times and output."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vmagent.buildkit import messages as pb
from vmagent.buildkit.history import History
from vmagent.buildkit.protobuf import Timestamp, nanoseconds
from vmagent.dockerfile.errors import Lines
from vmagent.errors import Conflict

SOURCE_DETAIL = "github.com/moby/buildkit/errdefs.Source+json"  # solver/errdefs/source.go; its value is JSON
CANCELED = "context canceled"
_CANCELED_CODE = 1  # google.rpc.Code.CANCELLED
_PIECE = 1 << 17  # characters of output in one line of JSON, so that a client can show them as they come

State = Literal["running", "completed", "failed", "canceled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build. Times are milliseconds since 1970."""

    id: str
    state: State
    names: list[str]  # of the image, as far as it gets some
    image_id: str
    dockerfile: str
    target: str
    platform: str
    started_ms: int
    ended_ms: int | None
    steps: int  # the three are 0 while it runs
    cached_steps: int
    done_steps: int
    warnings: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Where in the Dockerfile a build failed; lines count from 1."""

    file: str
    source: str
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The state of a step; a later report of the same `id` replaces it."""

    id: str
    name: str
    inputs: list[str]
    cached: bool
    started_ms: int | None
    ended_ms: int | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Output of a step's command. `stream`: 1 stdout, 2 stderr."""

    step: str
    stream: int
    at_ms: int
    text: str


def source_detail(lines: Lines, filename: str, dockerfile: bytes) -> pb.Detail:
    """Where in the Dockerfile a build failed, as clients know it: they print the lines around it."""
    value = {
        "info": {
            "filename": filename,
            "data": base64.b64encode(dockerfile).decode(),
            "language": "Dockerfile",
        },
        "ranges": [{"start": {"line": lines.first}, "end": {"line": lines.last}}],
    }
    return pb.Detail(type_url=SOURCE_DETAIL, value=json.dumps(value).encode())


def build_of(record: pb.BuildHistoryRecord) -> Build:
    attributes = record.FrontendAttrs
    names = [name for one in record.Exporters for name in one.Attrs.get("name", "").split(",") if name]
    message = record.error.message if record.HasField("error") else ""
    ended = _ms(record.CompletedAt) if record.HasField("CompletedAt") else None
    state: State = "running"
    if ended is not None:
        canceled = message.endswith(CANCELED) or record.error.code == _CANCELED_CODE
        state = "canceled" if canceled else "failed" if message else "completed"
    return Build(
        id=record.Ref,
        state=state,
        names=names,
        image_id=record.ExporterResponse.get("containerimage.config.digest", ""),
        dockerfile=attributes.get("filename", "") or "Dockerfile",
        target=attributes.get("target", ""),
        platform=attributes.get("platform", ""),
        started_ms=_ms(record.CreatedAt) or 0,
        ended_ms=ended,
        steps=record.numTotalSteps,
        cached_steps=record.numCachedSteps,
        done_steps=record.numCompletedSteps,
        warnings=record.numWarnings,
        error=message,
    )


def failure_of(record: pb.BuildHistoryRecord) -> Failure | None:
    """None: it has not failed, or not at a line that is known."""
    for detail in record.error.details if record.HasField("error") else ():
        if detail.type_url != SOURCE_DETAIL:
            continue
        value = json.loads(detail.value)
        info, ranges = value["info"], value["ranges"]
        return Failure(
            file=info["filename"],
            source=base64.b64decode(info["data"]).decode("utf-8", "replace"),
            first_line=ranges[0]["start"]["line"],
            last_line=ranges[-1]["end"]["line"],
        )
    return None


class BuildBook:
    """What there is to tell of all builds, and the two things that can be done with one."""

    def __init__(self, history: History) -> None:
        self._history = history

    def list(self) -> dict[str, Any]:
        """Those that run, then the newest first."""
        return {"builds": [asdict(build_of(record)) for record in self._history.all()]}

    def one(self, ref: str) -> dict[str, Any]:
        """Raises NotFound."""
        record = self._history.get(ref)
        failure = failure_of(record)
        return {"build": asdict(build_of(record)), "failure": None if failure is None else asdict(failure)}

    async def follow(self) -> AsyncIterator[dict[str, Any]]:
        """Every build that there is, then each that begins, ends or is deleted, without end."""
        async for event in self._history.listen(pb.BuildHistoryRequest()):
            if event.type == pb.HISTORY_DELETED:
                yield {"build": None, "deleted": event.record.Ref}
            else:
                yield {"build": asdict(build_of(event.record)), "deleted": ""}

    async def log(self, ref: str) -> AsyncIterator[dict[str, Any]]:
        """The reports of a build from its first on, until it ends. Raises NotFound."""
        self._history.get(ref)
        decoders: dict[tuple[str, int], codecs.IncrementalDecoder] = {}
        if (status := self._history.running(ref)) is not None:
            async for report in status.follow():
                for piece in _pieces(report, decoders):
                    yield piece
        elif (kept := await self._history.reports(ref)) is not None:
            for piece in _pieces(kept, decoders):
                yield piece

    async def delete(self, ref: str) -> None:
        """Forget a build that has ended. Raises NotFound, Conflict."""
        self._history.get(ref)
        if self._history.running(ref) is not None:
            raise Conflict(f"the build {ref} is running: cancel it first")
        await self._history.update(ref, pinned=False, delete=True)

    def cancel(self, ref: str) -> None:
        """End a build that runs. Raises NotFound, Conflict."""
        self._history.get(ref)
        if not self._history.cancel(ref):
            raise Conflict(f"the build {ref} has ended")


def _pieces(
    report: pb.StatusResponse, decoders: dict[tuple[str, int], codecs.IncrementalDecoder]
) -> Iterator[dict[str, Any]]:
    """A report as lines of JSON: the steps first, then output, a bounded amount in each."""
    last = {vertex.digest: vertex for vertex in report.vertexes}
    steps = [asdict(_step(vertex)) for vertex in last.values()]
    output: list[dict[str, Any]] = []
    size = 0
    for log in report.logs:
        key = (log.vertex, log.stream)
        decoder = decoders.setdefault(key, codecs.getincrementaldecoder("utf-8")(errors="replace"))
        text = decoder.decode(log.msg)
        output.append(asdict(Output(step=log.vertex, stream=log.stream, at_ms=_ms(log.timestamp) or 0, text=text)))
        size += len(text)
        if size >= _PIECE:
            yield {"steps": steps, "output": output}
            steps, output, size = [], [], 0
    if steps or output:
        yield {"steps": steps, "output": output}


def _step(vertex: pb.Vertex) -> Step:
    return Step(
        id=vertex.digest,
        name=vertex.name,
        inputs=list(vertex.inputs),
        cached=vertex.cached,
        started_ms=_ms(vertex.started) if vertex.HasField("started") else None,
        ended_ms=_ms(vertex.completed) if vertex.HasField("completed") else None,
        error=vertex.error,
    )


def _ms(time: Timestamp) -> int | None:
    return nanoseconds(time) // 1_000_000 or None
