"""The saved session: the whole state of a VM that was stopped while no container ran.

The data disk goes on from where it is, so a state is good for one start: before the guest runs, its record is removed.
"""

from __future__ import annotations

import asyncio
import shutil

from desktop.paths import HostPaths
from desktop.vm.command import Disk
from desktop.vm.errors import VmError
from desktop.vm.machine import Machine
from desktop.vm.start.plan import Plan
from desktop.vm.start.saved import SavedState
from desktop.vm.start.ways import PROGRESS_LIMIT_S, attach, launch, or_gone


class Session:
    """The saved session of this home."""

    name = "saved session"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.saved = SavedState(plan.paths.session)

    async def start(self) -> Machine:
        plan = self._plan
        with plan.steps.step("qemu") as step:
            machine = await launch(plan, disk=Disk(plan.paths.data_disk), incoming=True)
            step.detail = f"{plan.hardware.cpus} CPUs, {plan.hardware.memory_mb} MB"
        with plan.steps.step("restore"):
            await machine.restore(self.saved.state)  # its error says more of QEMU's end than `or_gone`
            await asyncio.to_thread(self.saved.consume)
            await machine.resume()
        with plan.steps.step("system") as step:
            step.detail = f"disk {await or_gone(machine, attach(plan, machine, restored=True))}"
        await asyncio.to_thread(self.saved.drop)
        return machine


async def save_session(paths: HostPaths, machine: Machine, memory_mb: int) -> None:
    """Stop the guest, write its state, and end QEMU. Raises VmError, OSError: nothing is saved then, and the guest may
    be stopped."""
    saved = SavedState(paths.session)
    if shutil.disk_usage(paths.vm).free < memory_mb << 20:
        raise VmError("too little space on the disk for the VM's memory")
    try:
        await asyncio.to_thread(saved.clear)
        await machine.guest.sync(PROGRESS_LIMIT_S)
        await machine.save(saved.state)
    except BaseException:
        await asyncio.to_thread(saved.drop)
        raise
    await machine.quit()
    await machine.wait_exit()
    # A record of a state is the last that is written: what fails from here on costs the session, not the data.
    await asyncio.to_thread(saved.finish, machine.fits, paths.data_disk)
