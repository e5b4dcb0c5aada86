"""What is done for a VM while it runs: its clock, its answers, a full disk of the host. None of it ends the VM."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from desktop.vm.errors import VmError
from desktop.vm.health import Health
from desktop.vm.machine import Machine
from desktop.vm.state import VmState

CLOCK_EVERY_S = 60.0
CLOCK_LOOK_EVERY_S = 1.0
CLOCK_STEP_S = 0.2  # of the host's clock, from which on the guest's is set at once
HEALTH_EVERY_S = 3.0
ANSWER_LIMIT_S = 6.0  # emulated on a busy machine, a guest may well take seconds for a reply
LEAN_EVERY_S = 60.0
QUIET_SHARE = 0.05  # of one processor: a guest that works less is idle
SPACE_RETRY_S = 2.0
SPACE_PROOF_S = 0.5


class Watch:
    """Supervises one running machine, and reports to `state`."""

    def __init__(self, machine: Machine, state: VmState, data_disk: Path) -> None:
        self._machine, self._state, self._data_disk = machine, state, data_disk
        self.health = Health(machine)

    async def until_ended(self) -> None:
        """Returns when QEMU has ended."""
        machine = self._machine
        try:
            while not machine.gone.is_set():
                waits = {
                    asyncio.create_task(machine.gone.wait(), name="qemu gone"),
                    asyncio.create_task(machine.qmp.no_space.wait(), name="disk full"),
                    asyncio.create_task(self._keep_clock(), name="clock"),
                    asyncio.create_task(self._keep_asking(), name="health"),
                    asyncio.create_task(self._keep_lean(), name="memory"),
                }
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
                    await asyncio.gather(*waits, return_exceptions=True)
                if machine.qmp.no_space.is_set() and not machine.gone.is_set():
                    await self._wait_for_space()
        finally:
            await self.health.close()

    async def _wait_for_space(self) -> None:
        """The host's disk is full, and QEMU has paused the guest instead of failing its writes. Report it, and
        resume the guest until a write succeeds. Returns then, or when QEMU has ended."""
        machine, state = self._machine, self._state
        try:
            while machine.qmp.no_space.is_set():
                if state.error is None:
                    hint = f"Free some space where {self._data_disk} lies; the VM then goes on by itself"
                    state.trouble(VmError("this machine's disk is full, so the VM is paused", hint))
                machine.qmp.no_space.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(machine.gone.wait(), SPACE_RETRY_S)
                    return
                with contextlib.suppress(VmError):  # QEMU has ended meanwhile
                    await machine.resume()
                # A resumed guest repeats the failed write at once.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(machine.qmp.no_space.wait(), SPACE_PROOF_S)
        finally:
            state.trouble(None)

    async def _keep_clock(self) -> None:
        """Set the guest's clock at once, at intervals, when the host's was set, and after each sleep of the host, which
        the guest cannot notice. Never returns."""
        while True:
            # A guest that does not reply is paused, or QEMU has ended.
            with contextlib.suppress(VmError):
                await self._machine.guest.set_clock()
            ahead_s = time.time() - time.monotonic()
            for _ in range(int(CLOCK_EVERY_S / CLOCK_LOOK_EVERY_S)):
                await asyncio.sleep(CLOCK_LOOK_EVERY_S)
                # While the host sleeps, the monotonic clock stops and the wall clock goes on.
                if abs(time.time() - time.monotonic() - ahead_s) > CLOCK_STEP_S:
                    break

    async def _keep_lean(self) -> None:
        """Have a guest that has become idle free its cache of files, once; what it frees goes back to the host by
        itself. Never returns."""
        guest, before_s, is_lean = self._machine.guest, 0.0, False
        while True:
            with contextlib.suppress(VmError):  # it is silent, or has ended
                now_s = await guest.worked_s()
                is_quiet = now_s - before_s < QUIET_SHARE * LEAN_EVERY_S
                before_s = now_s
                if is_quiet and not is_lean:
                    await guest.reclaim()
                is_lean = is_quiet
            await asyncio.sleep(LEAN_EVERY_S)

    async def _keep_asking(self) -> None:
        """Report when the VM stops replying, and when it replies again. Never returns."""
        while True:
            silence = await self.health.probe(ANSWER_LIMIT_S) or ""
            if silence != self._state.silence:
                self._state.fall_silent(silence)
                if not silence:
                    with contextlib.suppress(VmError):
                        await self._machine.guest.set_clock()
            await asyncio.sleep(HEALTH_EVERY_S)
