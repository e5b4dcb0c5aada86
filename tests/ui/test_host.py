"""What the window shows of the VM, from the host agent's states."""

from __future__ import annotations

from desktop.client.host import HostState, VmError, VmStep
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.feed.host_session import facts_of_host
from desktop.ui.kit.states import State
from desktop.ui.kit.steps import gathered
from desktop.ui.shell.tray import tray_state

RUNNING = EngineFacts(phase=EnginePhase.RUNNING, kind="vm", version="0.1.0", cpus=8)
LOST = EngineFacts(phase=EnginePhase.LOST, kind="vm")
STEPS = (VmStep("image", 200, "", True), VmStep("kernel", 7_000, "", True), VmStep("engine", 900, "", True))


def state(name: str, steps: tuple[VmStep, ...] = STEPS, error: VmError | None = None) -> HostState:
    return HostState(name, 5.0, steps, "tcg", "no KVM here", "/run/e.sock", 7, 2048, 2, error)


def test_a_running_vm_shows_the_engine_in_it() -> None:
    facts = facts_of_host(state("running"), RUNNING)
    assert (facts.phase, facts.accelerator, facts.cpus) == (EnginePhase.RUNNING, "tcg", 2)
    assert facts.memory_bytes == 2 * 2**30
    assert facts.started_in_s == 8.1
    assert facts_of_host(state("running"), LOST).phase is EnginePhase.LOST


def test_a_start_names_its_step() -> None:
    steps = (*STEPS[:1], VmStep("kernel", 0, "", False))
    facts = facts_of_host(state("starting", steps), LOST)
    assert (facts.phase, facts.step) == (EnginePhase.STARTING, "Boot Linux")
    assert tray_state(facts, []) is State.WORKING


def test_a_killed_vm_stopped_unexpectedly_and_one_that_never_ran_could_not_start() -> None:
    why = VmError("the VM's QEMU process ended unexpectedly", "Start it again")
    died = facts_of_host(state("failed", error=why), LOST)
    assert died.word == "Virtual machine stopped unexpectedly"
    assert (died.problem, died.hint) == why
    failed = facts_of_host(state("failed", (VmStep("image", 1, "", False),), why), LOST)
    assert failed.word == "Virtual machine could not start"
    assert tray_state(failed, []) is State.PROBLEM


def test_a_saved_vm_is_no_loss_and_may_be_used() -> None:
    saved = facts_of_host(state("saved"), RUNNING)
    assert (saved.phase, saved.phase.is_usable) == (EnginePhase.SAVED, True)
    assert saved.word == "Virtual machine saved until it is used"
    assert facts_of_host(state("saving"), RUNNING).phase is EnginePhase.SAVED
    assert tray_state(saved, []) is State.PAUSED


def test_many_steps_are_gathered_to_what_fits() -> None:
    steps = facts_of_host(state("starting", tuple(VmStep(str(n), 100, "", True) for n in range(8))), LOST).steps
    bars = gathered(steps, 5)
    assert [bar.name for bar in bars] == ["prepare", "4", "5", "6", "7"]
    assert bars[0].took_ms == 400
