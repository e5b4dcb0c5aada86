"""A build's reports as the messages of `Control.Status`, kept so that each client sees them from the first one on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from vmagent.builder.progress import Vertex, VertexLog, VertexStatus, VertexWarning
from vmagent.buildkit import messages as pb
from vmagent.buildkit.protobuf import Timestamp, timestamp

LOG_LIMIT_BYTES = 2 << 20  # of output that is kept of one vertex; BuildKit's limit (util/progress/logs)
CLIPPED = b"\n[output clipped, log limit 2MiB reached]\n"


class StatusLog:
    """Receives a build's reports (`builder.progress.Progress`) and replays them to any number of followers."""

    def __init__(self) -> None:
        self.source: pb.SourceInfo | None = None  # of the Dockerfile; for the warnings
        self.vertexes: dict[str, Vertex] = {}
        self.warnings = 0
        self._events: list[pb.StatusResponse] = []
        self._logged: dict[str, int] = {}  # bytes of output by vertex
        self._news = asyncio.Event()
        self._is_complete = False

    def vertex(self, vertex: Vertex) -> None:
        if vertex.is_metadata:
            return
        self.vertexes[vertex.digest] = vertex
        self._add(
            vertexes=[
                pb.Vertex(
                    digest=vertex.digest,
                    name=vertex.name,
                    inputs=vertex.inputs,
                    cached=vertex.cached,
                    started=_time(vertex.started_ns),
                    completed=_time(vertex.completed_ns),
                    error=vertex.error,
                )
            ]
        )

    def status(self, status: VertexStatus) -> None:
        self._add(
            statuses=[
                pb.VertexStatus(
                    ID=status.id,
                    vertex=status.vertex,
                    name=status.name,
                    current=status.current,
                    total=status.total,
                    timestamp=timestamp(status.at_ns),
                    started=_time(status.started_ns),
                    completed=_time(status.completed_ns),
                )
            ]
        )

    def log(self, log: VertexLog) -> None:
        before = self._logged.get(log.vertex, 0)
        if before > LOG_LIMIT_BYTES:
            return
        self._logged[log.vertex] = before + len(log.data)
        data = log.data
        if before + len(data) > LOG_LIMIT_BYTES:
            data = data[: LOG_LIMIT_BYTES - before] + CLIPPED
            self._logged[log.vertex] = LOG_LIMIT_BYTES + 1
        self._add(logs=[pb.VertexLog(vertex=log.vertex, stream=log.stream, msg=data, timestamp=timestamp(log.at_ns))])

    def warning(self, warning: VertexWarning) -> None:
        self.warnings += 1
        self._add(
            warnings=[
                pb.VertexWarning(
                    vertex=warning.vertex,
                    level=1,
                    short=warning.short.encode(),
                    detail=[line.encode() for line in warning.detail],
                    url=warning.url,
                    info=self.source,
                    ranges=[source_range(first, last) for first, last in warning.lines],
                )
            ]
        )

    def complete(self) -> None:
        """No more reports will come: followers end after the last one."""
        self._is_complete = True
        self._news.set()

    async def follow(self) -> AsyncIterator[pb.StatusResponse]:
        """Every report from the first on, as many in a message as have come meanwhile, until `complete`."""
        seen = 0
        while True:
            news = self._news
            if events := self._events[seen:]:
                seen += len(events)  # not more: others may come while the caller sends these
                yield merged(events)
            elif self._is_complete:
                return
            else:
                await news.wait()

    def whole(self) -> pb.StatusResponse:
        """All reports in one message."""
        return merged(self._events)

    def _add(self, **reports: Sequence[object]) -> None:
        self._events.append(pb.StatusResponse(**reports))
        self._news.set()
        self._news = asyncio.Event()


def merged(events: Sequence[pb.StatusResponse]) -> pb.StatusResponse:
    """One message with the reports of all, in order."""
    whole = pb.StatusResponse()
    for event in events:
        whole.vertexes.extend(event.vertexes)
        whole.statuses.extend(event.statuses)
        whole.logs.extend(event.logs)
        whole.warnings.extend(event.warnings)
    return whole


def source_range(first: int, last: int) -> pb.Range:
    """Whole lines, counted from 1."""
    return pb.Range(start=pb.Position(line=first), end=pb.Position(line=last))


def _time(time_ns: int | None) -> Timestamp | None:
    return None if time_ns is None else timestamp(time_ns)
