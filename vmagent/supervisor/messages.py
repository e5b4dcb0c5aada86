"""What engine and supervisor tell each other, as values: requests, replies, events, and the errors of a request."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmagent.errors import EngineError
from vmagent.runtime.plantypes import Plan, Process


class SupervisorError(EngineError):
    """The supervisor refused a request or failed at it; `str(self)` says what and why. HTTP status 500 by default."""


class NotHeld(SupervisorError):
    """The supervisor has no such container or exec, or its process has ended."""

    status = 409


class SupervisorUnavailable(SupervisorError):
    """No reply within the time limit, or the client was closed meanwhile."""


class SpawnError(SupervisorError):
    """The process could not be started. `kind`: not-found, permission, user, mount, spec or other."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the supervisor knows about one run of a container."""

    id: str
    run: int
    pid: int
    state: str  # "running" | "exited" | "starting"
    started_at_ns: int
    exit_code: int | None = None
    oom_killed: bool = False
    exited_at_ns: int | None = None
    tty: bool = False
    stdin_open: bool = False
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnRequest:
    id: str
    run: int  # counts the container's starts; the same (id, run) is never started twice
    plan: Plan
    log_dir: str | None  # folder of the log files; None: no log, the exec root keeps the latest output for attach
    log_limits: tuple[int, int] | None = None  # size of a log generation in bytes, and how many generations are kept
    open_stdin: bool = False
    tty: bool = False
    tty_size: tuple[int, int] | None = None  # rows, columns
    netns_fd: int | None = None  # the caller keeps and closes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    pid: int
    started_at_ns: int
    timings: Mapping[str, float] = field(default_factory=dict)  # mount_ms, setup_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest:
    exec_id: str
    container_id: str
    process: Process  # its `terminal` decides whether it gets a terminal
    facts: Mapping[str, Any] = field(default_factory=dict)  # returned in `HeldExec`
    tty: bool = False
    tty_size: tuple[int, int] | None = None
    # Which of stdin, stdout, stderr are attached; the others are the null device. A terminal is always attached.
    streams: Sequence[str] = ()
    pipe_owner: tuple[int, int] | None = None  # uid and gid of the pipes


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldExec:
    """What the supervisor knows about one exec that was started. It is kept for five minutes after the end."""

    exec_id: str
    container_id: str
    pid: int
    tty: bool
    facts: Mapping[str, Any]
    exit_code: int | None  # None while it runs
    ended_at: float  # seconds since 1970; 0.0 while it runs
    has_output: bool  # a client can attach to its streams
    is_attended: bool  # output is kept for a client
    is_closed: bool  # the engine has handled the exit and sent `close_exec`


@dataclass(slots=True, kw_only=True)
class ExecStreams:
    """The engine's descriptors of an attached exec. The holder closes them. With a tty, stdin is the pty's master."""

    window: tuple[int, int] | None = None  # of `vmagent.supervisor.windowreader`
    stdin_fd: int | None = None

    def close(self) -> None:
        """Idempotent."""
        for fd in (*(self.window or ()), self.stdin_fd):
            if fd is not None:
                os.close(fd)
        self.window = self.stdin_fd = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """A container's first process ended. Repeated until acknowledged."""

    id: str
    run: int
    exit_code: int  # the status, or 128 + the signal
    oom_killed: bool
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecExited:
    exec_id: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGrew:
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecGrew:
    """The exec has more output: read its window again."""

    exec_id: str


SupervisorEvent = Exited | ExecExited | LogGrew | ExecGrew
