"""The VM's states, the moves between them, and the steps of a start, as the host agent reports them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from desktop.vm.accelerator import Accelerator
from desktop.vm.errors import VmError


class Status(StrEnum):
    """What the VM is doing."""

    STOPPED = "stopped"
    ADOPTING = "adopting"  # an earlier agent's QEMU may still run, and is being taken over
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SAVING = "saving"  # the resource saver saves the idle VM
    SAVED = "saved"  # it has: QEMU has ended, and the first request for the engine resumes the VM
    FAILED = "failed"


# FAILED is a stopped VM with a reason: its QEMU is gone, and it may be started again.
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.STOPPED: frozenset({Status.STARTING, Status.ADOPTING, Status.FAILED}),
    Status.ADOPTING: frozenset(
        {Status.RUNNING, Status.STARTING, Status.STOPPING, Status.STOPPED, Status.FAILED}
    ),  # STARTING: it could not be taken over, and a start was asked for meanwhile
    Status.STARTING: frozenset({Status.RUNNING, Status.FAILED, Status.STOPPING}),
    Status.RUNNING: frozenset({Status.STOPPING, Status.SAVING, Status.FAILED}),
    Status.SAVING: frozenset({Status.SAVED, Status.RUNNING, Status.FAILED}),
    Status.SAVED: frozenset({Status.STARTING, Status.STOPPED}),
    Status.STOPPING: frozenset({Status.STOPPED, Status.FAILED}),
    Status.FAILED: frozenset({Status.STARTING, Status.STOPPED}),
}


@dataclass(slots=True)
class Step:
    """One step of a start or an adoption. Times are of the monotonic clock, in seconds."""

    name: str
    started: float
    ended: float | None = None
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        took_s = (time.monotonic() if self.ended is None else self.ended) - self.started
        return {"name": self.name, "ms": round(took_s * 1000, 1), "detail": self.detail, "done": self.ended is not None}


class LastEnd(NamedTuple):
    """An end of the VM that nobody wished."""

    at: float  # Unix time
    why: str


@dataclass(slots=True)
class VmState:
    """Everything that is reported about the VM. Change it through its methods: each calls `on_change`."""

    on_change: Callable[[], None]
    status: Status = Status.STOPPED
    since: float = field(default_factory=time.time)
    steps: list[Step] = field(default_factory=list)
    accelerator: Accelerator | None = None
    qemu_pid: int | None = None
    memory_mb: int = 0
    cpus: int = 0
    ssh_port: int | None = None
    way: str = ""  # how the VM was started: cold, template, saved session; "" until it was
    dropped: tuple[str, ...] = ()  # what could not be used for that start, each with its reason
    error: VmError | None = None
    silence: str = ""  # why a VM that should run does not answer; "" while it does
    restart_at: float | None = None  # of a failed VM: when it is started again by itself (Unix time)
    last_end: LastEnd | None = None  # kept while the VM that was started again runs, until it is stopped

    def move(self, status: Status, error: VmError | None = None, *, restart_at: float | None = None) -> None:
        """Change the status. Raises AssertionError if `MOVES` does not allow it."""
        assert status in MOVES[self.status], f"{self.status} to {status}"
        # The steps of a start are kept while the VM runs. Those of an adoption are dropped: they are not of a start.
        if self.status is Status.ADOPTING or status in (Status.ADOPTING, Status.STARTING, Status.STOPPED, Status.SAVED):
            self.steps = []
        self.status, self.since, self.error = status, time.time(), error
        self.silence, self.restart_at = "", restart_at
        if status in (Status.STOPPED, Status.SAVED, Status.FAILED):
            self.qemu_pid = self.ssh_port = None
        if status is Status.STOPPED:
            self.last_end = None
        self.on_change()

    def trouble(self, error: VmError | None) -> None:
        """Report a problem of a VM that keeps running; None clears it."""
        self.error = error
        self.on_change()

    def fall_silent(self, why: str) -> None:
        """Report that the VM does not answer; "": it does again."""
        self.silence = why
        self.on_change()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step; its begin and end are reported. After an error its end is not set."""
        step = Step(name, time.monotonic())
        self.steps.append(step)
        self.on_change()
        yield step
        step.ended = time.monotonic()
        self.on_change()

    def to_json(self) -> dict[str, Any]:
        return {
            "state": str(self.status),
            "since": self.since,
            "steps": [step.to_json() for step in self.steps],
            "accelerator": self.accelerator._asdict() if self.accelerator else None,
            "qemu_pid": self.qemu_pid,
            "memory_mb": self.memory_mb,
            "cpus": self.cpus,
            "ssh_port": self.ssh_port,
            "start": {"way": self.way, "dropped": list(self.dropped)},
            "error": _error_json(self.error) if self.error else None,
            "silence": self.silence,
            "restart_at": self.restart_at,
            "last_end": {"at": self.last_end.at, "message": self.last_end.why} if self.last_end else None,
        }


def _error_json(error: VmError) -> dict[str, Any]:
    return {"message": str(error), "hint": error.hint, "lines": list(error.lines)}
