"""One vertex of a build's progress, from its start to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vmagent.builder.progress import Progress, Vertex, VertexLog, VertexStatus

CANCELED = "context canceled"
OUTPUT_LIMIT_BYTES = 16 << 20  # of one step: fronts hold it in memory for their clients


def at_once(vertex: Vertex, *, cached: bool) -> Vertex:
    """The vertex, ending now; begun now, unless it has begun."""
    now = time.time_ns()
    return replace(vertex, started_ns=vertex.started_ns or now, completed_ns=now, cached=cached)


class Report:
    """Reports the states of one vertex. Each vertex starts once and ends once."""

    def __init__(self, progress: Progress, vertex: Vertex) -> None:
        self._progress, self._vertex = progress, vertex
        self._output_left = OUTPUT_LIMIT_BYTES
        self.settling: asyncio.Task[None] | None = None  # what is left of the step, without which it is not done

    @property
    def digest(self) -> str:
        return self._vertex.digest

    @property
    def name(self) -> str:
        return self._vertex.name

    @property
    def is_started(self) -> bool:
        return self._vertex.started_ns is not None

    def start(self) -> None:
        if self._vertex.started_ns is None:
            self._vertex = replace(self._vertex, started_ns=time.time_ns())
            self._progress.vertex(self._vertex)

    def complete(self, *, cached: bool = False, error: str = "", image_id: str = "") -> None:
        """Report the end, once `settling` has ended: what it fails with is the vertex's error."""
        if self.settling is None or error:
            self._complete(cached=cached, error=error, image_id=image_id)
            return

        def settled(task: asyncio.Task[None]) -> None:
            failure = CANCELED if task.cancelled() else task.exception()
            self._complete(cached=cached, error=str(failure) if failure else "", image_id=image_id)

        if self.settling.done():
            settled(self.settling)
        else:
            self.settling.add_done_callback(settled)

    def _complete(self, *, cached: bool, error: str, image_id: str) -> None:
        # What has not started by now is reported once: nothing was done for it.
        self._vertex = at_once(replace(self._vertex, error=error, image_id=image_id), cached=cached)
        self._progress.vertex(self._vertex)

    def output(self, stream: int, data: bytes, at_ns: int) -> None:
        """Report output of the step's command. Past the limit it is dropped, as BuildKit does at its own limit."""
        if self._output_left <= 0:
            return
        self._output_left -= len(data)
        if self._output_left <= 0:
            data += b"\n[output clipped, log limit %dMiB reached]\n" % (OUTPUT_LIMIT_BYTES >> 20)
        self._progress.log(VertexLog(vertex=self.digest, stream=stream, data=data, at_ns=at_ns))

    def status(self, status_id: str, *, name: str = "", current: int = 0, total: int = 0, done: bool = False) -> None:
        now = time.time_ns()
        self._progress.status(
            VertexStatus(
                vertex=self.digest,
                id=status_id,
                name=name,
                current=current,
                total=total,
                at_ns=now,
                started_ns=self._vertex.started_ns,
                completed_ns=now if done else None,
            )
        )

    def pulled(self, line: Mapping[str, Any]) -> None:
        """Report a progress line of a pull."""
        detail = line.get("progressDetail") or {}
        if "id" in line and "progressDetail" in line:
            done = line["status"] in ("Pull complete", "Already exists")
            self.status(line["id"], current=detail.get("current", 0), total=detail.get("total", 0), done=done)
