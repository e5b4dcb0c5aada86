"""What is done for a running VM: silence is reported and ends nothing, the clock follows the host's, an idle guest
frees its cache. The machine is a stand-in that replies or not: a real one does not do so at a chosen moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from desktop.vm import watch
from desktop.vm.ending import why_it_ended
from desktop.vm.errors import KernelPanic, VmError
from desktop.vm.machine import Machine
from desktop.vm.qmp import QmpSession
from desktop.vm.state import Status, VmState
from desktop.vm.watch import Watch
from tests.support.limits import HANG_S


class Half:
    """A machine whose guest and monitor reply while their events are set."""

    def __init__(self) -> None:
        self.pid, self.sets, self.reclaims = 7, 0, 0
        self.worked, self.is_busy, self.looks = 0.0, False, 0
        self.guest_replies, self.monitor_replies = asyncio.Event(), asyncio.Event()
        self.guest_replies.set()
        self.monitor_replies.set()
        self.status = "running"
        self.gone, self.pings = asyncio.Event(), 0
        self.qmp = SimpleNamespace(execute=self._execute, no_space=asyncio.Event())
        self.guest = SimpleNamespace(
            request=self._request, set_clock=self._set_clock, worked_s=self._worked_s, reclaim=self._reclaim
        )

    async def _execute(self, command: str, limit_s: float) -> dict[str, str]:
        assert command == "query-status"
        await self.monitor_replies.wait()
        return {"status": self.status}

    async def _request(self, verb: str, limit_s: float) -> str:
        assert verb == "ping"
        self.pings += 1
        await self.guest_replies.wait()
        return "1"

    async def _set_clock(self) -> float:
        self.sets += 1
        return 0.0

    async def _worked_s(self) -> float:
        self.looks += 1
        self.worked += self.is_busy
        return self.worked

    async def _reclaim(self) -> None:
        self.reclaims += 1


class Stepped:
    """The module `time`, with a wall clock that was set."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, by_s: float) -> None:
        self._by_s = by_s

    def time(self) -> float:
        return time.time() + self._by_s


class Bench:
    """A watched machine; `state` changes are awaited by `until`."""

    def __init__(self) -> None:
        self.machine = Half()
        self._changed = asyncio.Event()
        self.state = VmState(self._on_change)
        self.state.status = Status.RUNNING
        self.watch = Watch(cast(Machine, self.machine), self.state, Path("/disk"))

    def _on_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            await asyncio.wait({asyncio.ensure_future(self._changed.wait())}, timeout=0.01)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]:
    for name in ("HEALTH_EVERY_S", "ANSWER_LIMIT_S", "CLOCK_LOOK_EVERY_S", "LEAN_EVERY_S"):
        monkeypatch.setattr(watch, name, 0.02)

    def on_bench(scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
        async def body() -> None:
            bench = Bench()
            watching = asyncio.create_task(bench.watch.until_ended())
            async with asyncio.timeout(HANG_S):
                await scenario(bench)
                bench.machine.gone.set()
                await watching
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run(body())

    return on_bench


Run = Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]


def test_each_kind_of_silence_is_reported_and_ends_with_the_next_reply(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        machine, state = bench.machine, bench.state
        machine.guest_replies.clear()
        await bench.until(lambda: state.silence == "QEMU runs, but its guest does not reply")
        machine.status = "paused"
        await bench.until(lambda: state.silence == "QEMU has stopped its processor (paused)")
        machine.monitor_replies.clear()
        await bench.until(lambda: state.silence == "neither its guest nor QEMU (process 7) replies")
        pings, sets = machine.pings, machine.sets
        machine.guest_replies.set()
        await bench.until(lambda: not state.silence)
        assert pings == 1, "a request without a reply is not repeated"
        await bench.until(lambda: machine.sets > sets)
        assert state.status is Status.RUNNING

    run(scenario)


def test_the_clock_follows_a_step_of_the_hosts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.until(lambda: bench.machine.sets)
        for step_s in (3600.0, 0.0):
            sets = bench.machine.sets
            monkeypatch.setattr(watch, "time", Stepped(step_s))
            await bench.until(lambda sets=sets: bench.machine.sets > sets)  # type: ignore[misc]

    run(scenario)


def test_an_idle_guest_frees_its_cache_once_and_again_after_work(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        machine = bench.machine
        await bench.until(lambda: machine.reclaims == 1)
        machine.is_busy, looks = True, machine.looks
        await bench.until(lambda: machine.looks > looks + 3)
        assert machine.reclaims == 1
        machine.is_busy = False
        await bench.until(lambda: machine.reclaims == 2)

    run(scenario)


@pytest.mark.parametrize(
    ("console", "events", "reason", "off", "status", "message"),
    [
        ("[ 1.5] Kernel panic - not syncing: no init\n[ 1.6] CPU: 0\n", ["GUEST_PANICKED"], "guest-panic", False, None,
         "the VM's kernel panicked: no init"),
        ("[ 1.5] Kernel panic - not syncing: early\n", [], "guest-reset", False, None,
         "the VM's kernel panicked: early"),
        ("", ["GUEST_PANICKED"], "", False, None, "the VM's kernel panicked"),
        ("", [], "guest-reset", False, None, "the VM restarted itself"),
        ("", [], "guest-shutdown", False, None, "the VM powered itself off"),
        ("", [], "", True, None, "the VM powered itself off"),
        ("fine\n", [], "", False, None, "the VM's QEMU process ended unexpectedly"),
        ("fine\n", [], "", False, -9, "the VM's QEMU process was killed (SIGKILL)"),
        ("fine\n", [], "", False, 1, "the VM's QEMU process ended unexpectedly"),
    ],
)  # fmt: skip
def test_the_cause_of_an_end_is_told(
    tmp_path: Path, console: str, events: list[str], reason: str, off: bool, status: int | None, message: str
) -> None:
    log = tmp_path / "console.log"
    log.write_text(console)
    qmp = cast(QmpSession, SimpleNamespace(last_events=events, shutdown_reason=reason))
    why = why_it_ended(qmp, off, log, status)
    assert isinstance(why, VmError)
    assert str(why) == message
    assert isinstance(why, KernelPanic) == ("panicked" in message)
    assert why.hint
    if "no init" in message:
        assert why.lines == ("Kernel panic - not syncing: no init", "CPU: 0")
