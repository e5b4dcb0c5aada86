"""The start from a template: the state of a VM that has booted and loaded its engine, but has seen no data disk yet.

Any number of starts use it. The first cold start writes it on its way, and goes on; see
docs/decisions/0023-the-first-start-writes-the-template.md.
"""

from __future__ import annotations

import asyncio
import shutil

from desktop.vm.errors import VmError
from desktop.vm.machine import Machine
from desktop.vm.start.plan import Plan
from desktop.vm.start.saved import SavedState
from desktop.vm.start.ways import attach, launch, or_gone

_ROOM_BYTES = 1 << 30  # that must be free; a template takes about 230 MB


class Template:
    """The template of this home."""

    name = "template"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.saved = SavedState(plan.paths.template)

    def obstacle(self) -> str | None:
        """Why no template can be written here; None: it can."""
        if not self._plan.platform.saves_states:
            return "QEMU can't do that on this system"
        if shutil.disk_usage(self._plan.paths.vm).free < _ROOM_BYTES:
            return "too little space on the disk"
        return None

    async def start(self) -> Machine:
        plan = self._plan
        with plan.steps.step("qemu") as step:
            machine = await launch(plan, incoming=True)
            step.detail = f"{plan.hardware.cpus} CPUs, {plan.hardware.memory_mb} MB"
        with plan.steps.step("restore"):
            await machine.restore(self.saved.state)  # its error says more of QEMU's end than `or_gone`
            await machine.add_disk(plan.paths.data_disk)
            await machine.resume()
        with plan.steps.step("system") as step:
            step.detail = f"disk {await or_gone(machine, attach(plan, machine, restored=True))}"
        return machine

    async def write(self, machine: Machine) -> None:
        """Write the state of `machine`, which has no data disk yet; it goes on. `finish` makes it usable. Raises
        VmError, OSError: there is no template then, but the machine goes on too, if QEMU lives."""
        try:
            await asyncio.to_thread(self.saved.clear)
            await machine.save(self.saved.state)
        except (VmError, OSError):
            await asyncio.to_thread(self.saved.drop)
            raise
        finally:
            await machine.resume()

    async def finish(self) -> None:
        """Flush what was written to the disk. Raises OSError: there is no template then."""
        try:
            await asyncio.to_thread(self.saved.finish, self._plan.fits)
        except OSError:
            await asyncio.to_thread(self.saved.drop)
            raise
