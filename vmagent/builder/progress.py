"""What a build reports while it runs: BuildKit's model of vertexes, which serves both wires.

Times are nanoseconds since 1970. A vertex is reported again whenever its state changes; the last report counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Step:
    """What the classic wire's stream shows about a vertex that stands for one instruction of a Dockerfile."""

    number: int  # from 1, in the order of the Dockerfile, over the stages that are built
    total: int
    text: str  # the instruction as written, continuation lines joined
    line: int  # of the Dockerfile, from 1
    stage: str  # the stage's name, or its number


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """One node of the build's graph. `digest` (sha256:…) identifies it within the build."""

    digest: str
    name: str  # as BuildKit's progress shows it: `[stage 2/5] RUN make`
    inputs: tuple[str, ...] = ()
    started_ns: int | None = None
    completed_ns: int | None = None
    cached: bool = False
    error: str = ""  # "context canceled" if another step's failure or the client ended it
    step: Step | None = None
    is_metadata: bool = False  # the step only changes the configuration: BuildKit shows no vertex for it
    image_id: str = ""  # set with `completed_ns` for a step: the id of the image up to here


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexStatus:
    """Progress of a part of a vertex, such as one layer of a pull. Sizes in bytes; `total` 0: unknown."""

    vertex: str
    id: str
    name: str = ""
    current: int = 0
    total: int = 0
    at_ns: int = 0
    started_ns: int | None = None
    completed_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexLog:
    """Output of a command, as it came; it may end in the middle of a line or of a character."""

    vertex: str
    stream: int  # 1: stdout, 2: stderr
    data: bytes
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexWarning:
    """A warning about the Dockerfile (a build check) or the build."""

    vertex: str
    short: str
    detail: tuple[str, ...] = ()
    url: str = ""
    lines: Sequence[tuple[int, int]] = ()  # ranges (first, last) of lines of the Dockerfile
    rule: str = ""  # BuildKit's name of the check


class Tee:
    """Gives each report to two receivers."""

    def __init__(self, one: Progress, other: Progress) -> None:
        self._both = (one, other)

    def vertex(self, vertex: Vertex) -> None:
        for each in self._both:
            each.vertex(vertex)

    def status(self, status: VertexStatus) -> None:
        for each in self._both:
            each.status(status)

    def log(self, log: VertexLog) -> None:
        for each in self._both:
            each.log(log)

    def warning(self, warning: VertexWarning) -> None:
        for each in self._both:
            each.warning(warning)


class Progress(Protocol):
    """Receives a build's reports on the engine's loop. The methods must not block."""

    def vertex(self, vertex: Vertex) -> None: ...

    def status(self, status: VertexStatus) -> None: ...

    def log(self, log: VertexLog) -> None: ...

    def warning(self, warning: VertexWarning) -> None: ...
