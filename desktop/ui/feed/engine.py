"""The state of the engine and of its VM, as a plain value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from desktop.ui.kit.states import State
from desktop.ui.kit.steps import BootStep
from desktop.ui.kit.words import tr


class EnginePhase(StrEnum):
    """The phase of the engine, as the switch card shows it."""

    CONNECTING = "connecting"
    RUNNING = "running"
    STOPPED = "stopped"
    STARTING = "starting"
    STOPPING = "stopping"
    LOST = "lost"
    FAILED = "failed"
    SAVED = "saved"  # the VM, by the resource saver; whatever uses it resumes it

    @property
    def is_usable(self) -> bool:
        """Whether actions on containers and images can be asked for."""
        return self in (EnginePhase.RUNNING, EnginePhase.SAVED)

    @property
    def state(self) -> State:
        return {
            EnginePhase.CONNECTING: State.WORKING,
            EnginePhase.RUNNING: State.RUNNING,
            EnginePhase.STOPPED: State.STOPPED,
            EnginePhase.STARTING: State.WORKING,
            EnginePhase.STOPPING: State.WORKING,
            EnginePhase.LOST: State.UNKNOWN,
            EnginePhase.FAILED: State.PROBLEM,
            EnginePhase.SAVED: State.PAUSED,
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """The state of the engine and its VM, for the card, the status bar, the tray and the banner."""

    phase: EnginePhase
    kind: str  # "vm", "native" or "other"
    address: str = ""
    version: str = ""
    kernel: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    accelerator: str = ""
    why_accelerator: str = ""
    started_in_s: float | None = None
    since_s: float | None = None
    steps: tuple[BootStep, ...] = ()
    problem: str = ""
    hint: str = ""

    @property
    def ran(self) -> bool:
        """Whether the engine had fully started."""
        return bool(self.steps) and all(step.done for step in self.steps)

    @property
    def step(self) -> str:
        """The current step of a running start."""
        busy = next((step for step in self.steps if not step.done), None)
        return busy.title if busy else ""

    @property
    def name(self) -> str:
        return {"vm": tr("Cove VM"), "native": tr("This Linux, no VM")}.get(self.kind, tr("Other engine"))

    @property
    def word(self) -> str:
        thing = tr("Virtual machine") if self.kind == "vm" else tr("Engine")
        return {
            EnginePhase.CONNECTING: tr("Connecting to the engine"),
            EnginePhase.RUNNING: tr("Engine running"),
            EnginePhase.STOPPED: tr("{thing} stopped", thing=thing),
            EnginePhase.STARTING: tr("{thing} starting", thing=thing),
            EnginePhase.STOPPING: tr("{thing} stopping", thing=thing),
            EnginePhase.LOST: tr("Contact to the engine lost"),
            EnginePhase.FAILED: tr("{thing} stopped unexpectedly", thing=thing)
            if self.ran
            else tr("{thing} could not start", thing=thing),
            EnginePhase.SAVED: tr("{thing} saved until it is used", thing=thing),
        }[self.phase]
