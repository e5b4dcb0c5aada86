"""Arguments and results that cross the engine's facade and are more than plain JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


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
    """A path in a container, as docker's archive calls tell it. `mode` is Go's os.FileMode, `mtime` RFC 3339."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str
