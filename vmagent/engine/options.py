"""Arguments and results of the engine's verbs that are more than plain JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which lines of a container's log are wanted. Times are Unix nanoseconds, both ends included."""

    stdout: bool
    stderr: bool
    follow: bool = False
    since_ns: int | None = None
    until_ns: int | None = None
    tail: int | None = None  # None: all lines; 0: only lines still to come


class PathStat(NamedTuple):
    """A path in a container, as in docker's archive calls. `mode` is Go's os.FileMode, `mtime` RFC 3339."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str


class Session(Protocol):
    """A process's streams: those of a container or of an exec."""

    @property
    def tty(self) -> bool: ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1 or 2, bytes) until the process has ended and all its output was given."""

    async def write(self, data: bytes) -> None:
        """Write to the process's stdin; waits while the pipe is full. Raises OSError once the process has ended."""

    async def close_stdin(self) -> None: ...

    async def detach(self, *, keys: bool = False) -> None:
        """End the session before the process ends. `keys`: the client sent the detach keys."""
