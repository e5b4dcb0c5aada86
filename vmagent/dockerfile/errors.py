"""What is wrong with a Dockerfile, in the words of BuildKit's frontend."""

from __future__ import annotations

from dataclasses import dataclass

from vmagent.errors import BadRequest


@dataclass(frozen=True, slots=True, order=True)
class Lines:
    """The physical lines of a node: both ends are included, the first line of a file is 1."""

    first: int
    last: int


class DockerfileError(BadRequest):
    """A fault of the Dockerfile. `str(self)` is the message; `lines` is where it is, if that is known."""

    def __init__(self, message: str, lines: Lines | None = None) -> None:
        super().__init__(message)
        self.lines = lines

    def at(self, lines: Lines) -> DockerfileError:
        """The same error at `lines`, unless it has its place already."""
        return self if self.lines is not None else type(self)(str(self), lines)
