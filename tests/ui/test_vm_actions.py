"""The window and a real VM: it is started, stopped and restarted from the window and the tray, what is deleted in it
comes back, and what is killed in the middle of work is told and started again. One VM for all of these."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from desktop.client.engine import Endpoint
from desktop.context import VM, Context
from desktop.ui.feed.engine import EnginePhase
from desktop.ui.kit.theme import Theme
from desktop.ui.shell.application import Application
from desktop.vm.image import host_architecture
from tests.support.limits import HANG_S
from tests.ui.hands import CONTROL
from tests.ui.held import Held, held
from tests.ui.opening import cove_in
from tests.ui.program import Program
from tests.ui.screen import open_notifier_tray, open_screen
from tests.ui.window import Window
from tests.vm.conftest import Vm, build_image

pytestmark = [pytest.mark.vm, pytest.mark.qt_log_ignore("This plugin does not support", extend=True)]

LIMIT_MS = int(4 * HANG_S * 1000)  # a VM without KVM, on a machine that does other work
KEPT, VOLUME = "vm-kept", "vm-data"


@pytest.fixture(scope="module")
def machine() -> Iterator[Vm]:
    """A home whose host agent runs; its VM is stopped until the window starts it."""
    build_image(host_architecture())
    made = Vm()
    try:
        made.start_agent()
        yield made
    finally:
        made.close()


@pytest.fixture
def window(machine: Vm, qapp: Application, qtbot: QtBot, theme: Theme, tmp_path: Path) -> Iterator[Window]:
    """The window of that VM, which it starts where it is stopped."""
    context = Context(VM, Endpoint.local(machine.paths.engine_socket), "--context")
    cove = cove_in(context, qapp, theme, machine.paths, tmp_path)
    cove.open()
    shown = Window(cove, qtbot)
    shown.wait_until_phase(EnginePhase.RUNNING, LIMIT_MS)
    yield shown
    cove.close()
    cove.window.deleteLater()


@pytest.fixture
def kept(machine: Vm, window: Window, busybox_tar: Path) -> Iterator[str]:
    """A running container that comes back with its engine, and has a volume with a file."""
    if machine.docker("image", "inspect", "busybox", check=False).returncode:
        machine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", busybox_tar, "busybox:latest")
    run = ("run", "-d", "--name", KEPT, "--restart", "always", "--stop-signal", "KILL", "-v", f"{VOLUME}:/v")
    machine.docker(*run, "busybox", "sh", "-c", "echo mine > /v/own; sync; exec sleep 100000")
    window.containers.wait_until_says(KEPT, "running")
    yield KEPT
    machine.docker("rm", "-f", KEPT)
    machine.docker("volume", "rm", "-f", VOLUME)


def own(machine: Vm) -> str:
    """What the volume has; empty if nothing."""
    return machine.docker("run", "--rm", "-v", f"{VOLUME}:/v", "busybox", "cat", "/v/own", check=False).stdout


def choose(window: Window, title: str) -> None:
    """Take a command of the palette."""
    window.palette.type(f">{title.removesuffix('…')}")
    assert window.palette.preselected == title
    window.palette.press(Qt.Key.Key_Return)


def test_the_palette_stops_the_vm_after_a_question_and_starts_it(machine: Vm, window: Window, kept: str) -> None:
    choose(window, "Stop the VM…")
    assert "Stop the VM?" in window.dialog_words()
    assert "1 container is running in it and is stopped first." in window.dialog_words()
    window.press("Keep it running")
    assert machine.state().state == "running"
    choose(window, "Stop the VM…")
    window.press("Stop the VM")
    window.wait_until_phase(EnginePhase.STOPPED, LIMIT_MS)
    assert machine.state().state == "stopped"
    window.containers.wait_until_says(kept, "Unknown, was running")
    choose(window, "Start the VM")
    window.wait_until_phase(EnginePhase.RUNNING, LIMIT_MS)
    window.containers.wait_until_says(kept, "running")
    assert own(machine) == "mine\n"


def test_the_engines_menu_restarts_stops_and_starts_the_vm(machine: Vm, window: Window, kept: str) -> None:
    before = machine.state().qemu_pid
    phases = window.note_phases()
    assert {"Stop the VM…", "Restart the VM…"} < set(window.engine_menu())
    window.choose_in_menu("Restart the VM…")
    assert "Restart the VM?" in window.dialog_words()
    window.press("Restart the VM")
    window.wait_until_phase(EnginePhase.STARTING, LIMIT_MS, phases)
    window.wait_until_phase(EnginePhase.RUNNING, LIMIT_MS)
    window.containers.wait_until_says(kept, "running")
    assert machine.state().qemu_pid not in (None, before)
    machine.docker("stop", kept)
    window.containers.wait_until_says(kept, "Stopped")
    window.engine_menu()
    window.choose_in_menu("Stop the VM…")
    assert not window.has_dialog, "nothing runs: nothing is asked"
    window.wait_until_phase(EnginePhase.STOPPED, LIMIT_MS)
    assert "Start the VM" in window.engine_menu()
    window.choose_in_menu("Start the VM")
    window.wait_until_phase(EnginePhase.RUNNING, LIMIT_MS)
    assert own(machine) == "mine\n"


def test_what_is_deleted_in_a_vm_comes_back(machine: Vm, window: Window, kept: str) -> None:
    page = window.containers
    was = machine.docker("inspect", "-f", "{{.Id}}", kept).stdout
    page.menu_on(kept)
    page.choose("Delete…")
    assert any("brought back from the bin for 24 hours" in words for words in window.dialog_words())
    window.press(f"Delete {kept}")
    window.wait_until_told(f"{kept} was deleted")
    window.go("volumes")
    window.volumes.wait_until_says(VOLUME, "nobody")
    window.volumes.choose(VOLUME)
    window.volumes.wait_until_previewed("mine")  # while its files are read, a volume can be deleted only after that
    window.volumes.press(Qt.Key.Key_Delete)
    window.press(f"Delete {VOLUME}")
    window.wait_until_told(f"{VOLUME} was deleted")
    window.volumes.wait_until_bin_has(1)  # the container is counted on its own page
    window.volumes.press_button("Bin 1")
    window.bin.wait_until_shown(kept)
    window.bin.choose(VOLUME)
    window.bin.press(Qt.Key.Key_Return)
    window.wait_until_told(f"{VOLUME}: back again")
    window.bin.choose(kept)
    window.bin.press(Qt.Key.Key_Return)
    window.wait_until_told(f"{kept}: back again")
    window.go("containers")
    page.wait_until_says(kept, "Stopped")
    assert machine.docker("inspect", "-f", "{{.Id}}", kept).stdout == was
    assert own(machine) == "mine\n"
    page.menu_on(kept)
    page.choose("Delete…")
    window.press(f"Delete {kept}")
    window.wait_until_told(f"{kept} was deleted")
    window.key(Qt.Key.Key_Z, CONTROL)
    page.wait_until_says(kept, "Stopped")


def test_the_tray_stops_and_starts_the_vm(machine: Vm, tmp_path: Path, qtbot: QtBot) -> None:
    with open_screen() as screen, open_notifier_tray() as tray:
        words = ("--context", "vm")
        program = Program(screen, tray, words, machine.home, qtbot)
        try:
            for entry, state, next_entry in (("Stop VM", "stopped", "Start VM"), ("Start VM", "running", "Stop VM")):
                qtbot.waitUntil(lambda entry=entry: entry in tray.menu(), timeout=LIMIT_MS)  # type: ignore[misc]
                tray.choose(entry)
                qtbot.waitUntil(lambda state=state: machine.state().state == state, timeout=LIMIT_MS)  # type: ignore[misc]
                qtbot.waitUntil(lambda entry=next_entry: entry in tray.menu(), timeout=LIMIT_MS)  # type: ignore[misc]
            tray.choose_quit()
            assert program.wait_until_ended() == 0
        finally:
            program.process.kill()
            program.process.wait()


@pytest.fixture
def waiting(registry: str) -> Iterator[Held]:
    with held(registry) as made:
        yield made


def kill_engine(machine: Vm) -> None:
    machine.cove("vm", "ssh", "kill -9 $(pidof -s cove-engine || ps | awk '/cove-engine/ && !/awk/ {print $1; exit}')")


def kill_qemu(machine: Vm) -> None:
    pid = machine.state().qemu_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_engine, kill_qemu])
def test_a_kill_in_the_middle_of_a_pull_is_told_and_nothing_is_lost(
    machine: Vm, window: Window, kept: str, waiting: Held, kill: Callable[[Vm], None], qtbot: QtBot
) -> None:
    machine.cove("vm", "ssh", "sync")
    port = waiting.address.rpartition(":")[2]
    name = f"10.0.2.2:{port}/ui/in-the-vm:1"
    window.go("images")
    window.images.press_button("Pull…")
    window.type(name)
    window.press("Pull")
    qtbot.waitUntil(waiting.asked.is_set, timeout=LIMIT_MS)
    phases = window.note_phases()
    kill(machine)
    qtbot.waitUntil(lambda: f"{name} was not pulled" in window.toasts(), timeout=LIMIT_MS)
    if window.has_dialog:
        window.press("Close")
    window.wait_until_phase(EnginePhase.RUNNING, LIMIT_MS)
    assert {EnginePhase.LOST, EnginePhase.FAILED} & set(phases), phases
    window.go("containers")
    qtbot.waitUntil(lambda: "running" in window.containers.rows()[kept], timeout=LIMIT_MS)
    assert own(machine) == "mine\n"
