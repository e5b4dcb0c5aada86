"""A host agent that finds an earlier one's QEMU serves its sockets at once and adopts that QEMU meanwhile."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.client.host import HostState
from desktop.platform import platform_for
from desktop.platform.base import LocalAddress
from desktop.tunnel.keys import KeyFiles, ensure_keys
from desktop.tunnel.transport import Stream
from desktop.vm import qmp
from desktop.vm.accelerator import Accelerator
from desktop.vm.errors import VmError
from desktop.vm.lifecycle import VirtualMachine
from desktop.vm.machine import Record
from desktop.vm.qmp import QmpSession
from tests.support.limits import HANG_S
from tests.vm.conftest import Vm

STAND_IN = Path(__file__).with_name("stand_in_qemu.py")


class Left:
    """A home whose agent was killed. Its QEMU was left behind, and its guest hangs."""

    def __init__(self) -> None:
        self.vm = Vm()
        self.vm.environ["COVE_GUEST"] = str(self.vm.home / "no image")  # a start fails at its first step
        paths, platform = self.vm.paths, platform_for("linux")
        for folder in (paths.home, paths.run, paths.vm):
            platform.private_folder(folder)
        ensure_keys(KeyFiles(paths.client_key, paths.host_key), paths.known_hosts)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        monitor, control, tunnel = (platform.channel_address(paths.run, name) for name in ("qmp", "control", "tunnel"))
        self.qemu = subprocess.Popen(
            [sys.executable, STAND_IN, str(monitor.path), str(control.path), str(tunnel.path), str(port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.qemu.stdout is not None
        assert self.qemu.stdout.readline() == "ready\n"
        Record(self.qemu.pid, monitor, control, tunnel, port, Accelerator("tcg", "no KVM"), 1024, 2).save(
            paths.vm_record
        )

    def states_until(self, wanted: str) -> list[HostState]:
        """The states from now until `wanted`."""
        seen = []
        with self.vm.client() as client, client.events() as events:
            for state in events.states():
                seen.append(state)
                if state.state == wanted:
                    break
        return seen

    def close(self) -> None:
        self.qemu.kill()
        self.qemu.communicate()
        self.vm.close()


@pytest.fixture
def left() -> Iterator[Left]:
    made = Left()
    yield made
    made.close()


def test_the_agent_answers_while_it_takes_a_vm_over(left: Left) -> None:
    left.vm.start_agent()
    state = left.vm.state()
    assert (state.state, state.accelerator, state.cpus) == ("adopting", "tcg", 2)
    shown = left.vm.cove("vm", "status", check=False)
    assert (shown.returncode, shown.stdout.split()[1]) == (3, "adopting")
    with left.vm.client() as client, client.events() as events:
        for state in events.states():
            assert state.state == "adopting"
            if [(step.name, step.done) for step in state.steps] == [("adopt", True), ("tunnel", False)]:
                break
    assert state.qemu_pid == left.qemu.pid
    left.qemu.send_signal(signal.SIGKILL)
    *before, last = (s.state for s in left.states_until("stopped"))
    assert (set(before) - {"adopting"}, last) == (set(), "stopped")  # the first may be of after the kill
    assert not left.vm.paths.vm_record.exists()


def test_a_stop_during_the_adoption_stops_the_guest_in_order(left: Left) -> None:
    left.vm.start_agent()
    left.vm.cove("vm", "stop")
    assert left.vm.state().state == "stopped"
    assert left.qemu.stdout is not None
    assert left.qemu.stdout.read().splitlines()[-1] == "stop"
    assert left.qemu.wait(HANG_S) == 0
    assert not left.vm.paths.vm_record.exists()


def test_where_no_state_can_be_saved_a_stop_does_not_try(left: Left) -> None:
    """Like Windows, where QEMU takes no open file. The guest would be paused by then."""
    platform = platform_for("linux")
    platform.saves_states = False
    record = Record.load(left.vm.paths.vm_record)
    assert record is not None
    record._replace(fits={"QEMU": "of this home"}).save(left.vm.paths.vm_record)

    async def refuse(name: str, stream: Stream) -> None:
        stream.close()

    async def scenario() -> None:
        changed = asyncio.Event()
        machine = VirtualMachine(left.vm.paths, platform, left.vm.environ, changed.set, refuse)
        machine.adopt()
        while "tunnel" not in [step.name for step in machine.state.steps]:
            changed.clear()
            await changed.wait()
        await machine.stop()

    asyncio.run(scenario())
    assert left.qemu.stdout is not None
    requests = left.qemu.stdout.read().split("\n")
    assert "stop" in requests
    assert "engine GET /containers/json" not in requests


def test_an_agent_that_is_ended_during_the_adoption_stops_the_guest_in_order(left: Left) -> None:
    left.vm.start_agent()
    assert left.vm.agent is not None
    left.vm.agent.terminate()
    assert left.vm.agent.wait(HANG_S) == 0
    assert left.qemu.wait(HANG_S) == 0


def test_a_start_during_the_adoption_begins_when_that_has_failed(left: Left) -> None:
    left.vm.start_agent()
    with left.vm.client() as client, client.events() as events:
        states = events.states()
        assert next(states).state == "adopting"
        assert client.start().state == "adopting"
        left.qemu.kill()
        names = ["adopting"]
        for state in states:
            if state.state != names[-1]:
                names.append(state.state)
            if state.state == "failed":
                break
    assert names == ["adopting", "starting", "failed"], "it is never shown as stopped, which would end a client's wait"
    assert state.error is not None
    assert "image is missing" in state.error.message


@pytest.mark.logs("Failed to receive Greeting", "Failed to establish session")
def test_a_monitor_that_never_greets_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like a QEMU stopped by SIGSTOP: its socket accepts connections and never sends anything."""
    monkeypatch.setattr(qmp, "CONNECT_LIMIT_S", 0.1)

    async def scenario() -> None:
        ended = asyncio.Event()
        ended.set()
        session = QmpSession()
        async with asyncio.timeout(HANG_S):
            with pytest.raises(VmError, match="does not answer within"):
                await session.connect(LocalAddress(tmp_path / "qmp"), ended)
            await session.close()

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "qmp"))
        silent.listen()
        asyncio.run(scenario())
