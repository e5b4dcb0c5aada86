"""What the builder needs of the engine to run a command: the interface between `vmagent.builder` and the launcher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmagent.builder.request import NO_LIMITS, Limits, Ulimit

Output = Callable[[int, bytes, int], None]  # stream (1 or 2), data, when it arrived in nanoseconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """A file or folder of the engine's, seen by the command at `destination`."""

    source: str
    destination: str
    readonly: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMount:
    """A tmpfs at `destination`; `size` in bytes, 0: the kernel's default."""

    destination: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a RUN step. `folder` has the empty folders `upper` and `work`, and gets the output's files."""

    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    lowers: Sequence[str]  # topmost first
    folder: Path
    mounts: Sequence[BindMount | MemoryMount] = ()
    network: str = "bridge"
    insecure: bool = False
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    limits: Limits = NO_LIMITS
    cgroup_parent: str = ""


class Runner(Protocol):
    """Runs commands of RUN steps."""

    def run(self, command: Command, output: Output) -> AbstractAsyncContextManager[int]:
        """Run it to its end: entered with its exit code (128 + the signal), when all output has been reported.

        What the command has written is in `command.folder` by then; its network is taken away meanwhile, and nothing
        else is left of it at the exit. If the entry is cancelled, the command is killed. Raises EngineError if it could
        not be started.
        """
