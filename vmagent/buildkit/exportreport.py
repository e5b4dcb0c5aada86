"""What an export shows in a build's progress: a vertex, and its parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from vmagent.builder.progress import Vertex, VertexStatus
from vmagent.buildkit.status import StatusLog


class ExportReport:
    """A vertex of the export and its parts, in the build's progress."""

    def __init__(self, status: StatusLog, title: str) -> None:
        self._status, self._title = status, title
        self._digest = f"sha256:{sha256(title.encode()).hexdigest()}"
        self._started = time.time_ns()

    def __enter__(self) -> None:
        self._status.vertex(Vertex(digest=self._digest, name=self._title, started_ns=self._started))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        text = "" if error is None else "context canceled" if isinstance(error, asyncio.CancelledError) else str(error)
        self._status.vertex(
            Vertex(
                digest=self._digest,
                name=self._title,
                started_ns=self._started,
                completed_ns=time.time_ns(),
                error=text,
            )
        )

    def step(self, name: str) -> Part:
        return Part(self._status, self._digest, name)

    def push_line(self, layer: str, line: Mapping[str, Any]) -> None:
        """One line of the API's stream of a push."""
        detail = line.get("progressDetail") or {}
        is_done = line.get("status") in ("Pushed", "Layer already exists", "Mounted from")
        self._status.status(
            VertexStatus(
                vertex=self._digest,
                id=f"pushing layer {layer}",
                current=detail.get("current", 0),
                total=detail.get("total", 0),
                at_ns=time.time_ns(),
                started_ns=self._started,
                completed_ns=time.time_ns() if is_done else None,
            )
        )


class Part:
    """One line below a vertex."""

    def __init__(self, status: StatusLog, vertex: str, name: str) -> None:
        self._status, self._vertex, self._name = status, vertex, name
        self._started = time.time_ns()

    def __enter__(self) -> None:
        self._send(None)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._send(time.time_ns())

    def _send(self, completed: int | None) -> None:
        self._status.status(
            VertexStatus(
                vertex=self._vertex,
                id=self._name,
                at_ns=time.time_ns(),
                started_ns=self._started,
                completed_ns=completed,
            )
        )
