"""The VM's states, the moves between them, and the steps of a start, as the host agent tells them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from desktop.vm.accelerator import Accelerator
from desktop.vm.errors import VmError


class Status(StrEnum):
    """What the VM is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


# FAILED is a stopped VM with a reason: its QEMU is gone, and it may be started again.
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.STOPPED: frozenset({Status.STARTING, Status.RUNNING, Status.FAILED}),  # RUNNING: one was found, and adopted
    Status.STARTING: frozenset({Status.RUNNING, Status.FAILED, Status.STOPPING}),
    Status.RUNNING: frozenset({Status.STOPPING, Status.FAILED}),
    Status.STOPPING: frozenset({Status.STOPPED, Status.FAILED}),
    Status.FAILED: frozenset({Status.STARTING, Status.RUNNING, Status.STOPPED}),
}


@dataclass(slots=True)
class Step:
    """One step of a start. Times are of the monotonic clock, in seconds."""

    name: str
    started: float
    ended: float | None = None
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        took_s = (time.monotonic() if self.ended is None else self.ended) - self.started
        return {"name": self.name, "ms": round(took_s * 1000, 1), "detail": self.detail, "done": self.ended is not None}


@dataclass(slots=True)
class VmState:
    """Everything that is told about the VM. Change it through its methods: each tells `on_change`."""

    on_change: Callable[[], None]
    status: Status = Status.STOPPED
    since: float = field(default_factory=time.time)
    steps: list[Step] = field(default_factory=list)
    accelerator: Accelerator | None = None
    qemu_pid: int | None = None
    memory_mb: int = 0
    cpus: int = 0
    ssh_port: int | None = None
    error: VmError | None = None

    def move(self, status: Status, error: VmError | None = None) -> None:
        """Raises AssertionError where the move is none of the table."""
        assert status in MOVES[self.status], f"{self.status} to {status}"
        self.status, self.since, self.error = status, time.time(), error
        if status in (Status.STARTING, Status.STOPPED):
            self.steps = []
        if status in (Status.STOPPED, Status.FAILED):
            self.qemu_pid = self.ssh_port = None
        self.on_change()

    def trouble(self, error: VmError | None) -> None:
        """Something is wrong, or right again, with a VM that goes on running."""
        self.error = error
        self.on_change()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step of the start, told as it begins and ends. After an error it stays undone: that is where it broke."""
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
            "error": {"message": str(self.error), "hint": self.error.hint} if self.error else None,
        }
