"""The start from a template: the state of a VM that has booted and loaded its engine, but has seen no data disk yet.

Any number of starts use it. The first cold start writes it on its way, and goes on; see
docs/decisions/0023-the-first-start-writes-the-template.md.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from desktop.vm.errors import VmError
from desktop.vm.machine import Machine
from desktop.vm.start.plan import Plan
from desktop.vm.start.saved import SavedState
from desktop.vm.start.stream import UnknownStream
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
            machine = await self._launch()
            step.detail = f"{plan.hardware.cpus} CPUs, {plan.hardware.memory_mb} MB"
        with plan.steps.step("restore"):
            await machine.restore(self.saved.state)  # its error says more of QEMU's end than `or_gone`
            await machine.add_disk(plan.paths.data_disk)
            await machine.resume()
        with plan.steps.step("system") as step:
            step.detail = f"disk {await or_gone(machine, attach(plan, machine, restored=True))}"
        return machine

    async def _launch(self) -> Machine:
        """QEMU that waits for the state. It maps a copy of the memory, if that is a file of its own: QEMU punches holes
        into the file where the guest frees memory, and other starts need what was there."""
        if not self.saved.memory.exists():
            return await launch(self._plan, incoming=True)
        copy = self._plan.paths.vm / "memory"
        try:
            await asyncio.to_thread(self._clone, copy)
            return await launch(self._plan, incoming=True, memory=copy)
        finally:
            copy.unlink(missing_ok=True)  # QEMU has it open

    def _clone(self, copy: Path) -> None:
        copy.unlink(missing_ok=True)
        self._plan.platform.clone_file(self.saved.memory, copy)

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
        """Have the memory mapped by later starts, if that serves, and flush what was written to the disk. Raises
        OSError: there is no template then."""
        plan = self._plan
        try:
            # Memory of a guest that does not run by emulation is best anonymous: then it has large pages.
            if plan.hardware.accelerator == "tcg" and plan.platform.maps_files(plan.paths.vm):
                try:
                    await asyncio.to_thread(self.saved.part, plan.hardware.memory)
                except UnknownStream as e:
                    plan.notes.append(f"the template's memory will be read, and not mapped: QEMU wrote it so that {e}")
            await asyncio.to_thread(self.saved.finish, plan.fits)
        except OSError:
            await asyncio.to_thread(self.saved.drop)
            raise
