"""The cold start: Linux boots. On the way the template for later starts is written."""

from __future__ import annotations

import asyncio

from desktop.vm.errors import VmError
from desktop.vm.machine import Machine
from desktop.vm.opening import engine_is_loaded
from desktop.vm.start.plan import Plan
from desktop.vm.start.template import Template
from desktop.vm.start.ways import PROGRESS_LIMIT_S, attach, give_keys, launch, or_gone


class Cold:
    """Always possible. `no_template` says after `settle` why no template was written; None: one was."""

    name = "cold"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.no_template: str | None = None
        self._finishing: asyncio.Task[None] | None = None

    async def start(self) -> Machine:
        plan = self._plan
        with plan.steps.step("qemu") as step:
            machine = await launch(plan)
            await machine.resume()
            step.detail = f"{plan.hardware.cpus} CPUs, {plan.hardware.memory_mb} MB"
        with plan.steps.step("kernel"):
            await or_gone(machine, machine.guest.marks.wait("init", PROGRESS_LIMIT_S))
        template = Template(plan)
        self.no_template = await asyncio.to_thread(template.obstacle)
        if self.no_template is None:
            with plan.steps.step("load"):
                await self._load(machine)
            with plan.steps.step("template"):
                await self._write(template, machine)
        with plan.steps.step("system") as step:
            await or_gone(machine, machine.guest.reach("network", PROGRESS_LIMIT_S))
            await machine.add_disk(plan.paths.data_disk)
            step.detail = f"disk {await or_gone(machine, attach(plan, machine))}"
        return machine

    async def settle(self) -> None:
        """Wait until the template, if one is written, can be used. It is flushed to this machine's disk beside the rest
        of the start."""
        if self._finishing is None:
            return
        try:
            await self._finishing
        except OSError as e:
            self.no_template = str(e)

    async def _load(self, machine: Machine) -> None:
        """Let the guest come as far as it can without its disk."""
        await or_gone(machine, machine.guest.reach("modules", PROGRESS_LIMIT_S))
        await or_gone(machine, give_keys(self._plan.keys, machine))
        await or_gone(machine, engine_is_loaded(machine.guest, PROGRESS_LIMIT_S))

    async def _write(self, template: Template, machine: Machine) -> None:
        try:
            await template.write(machine)
        except (VmError, OSError) as e:
            if machine.gone.is_set():
                raise
            self.no_template = str(e)
        else:
            self._finishing = asyncio.create_task(template.finish(), name="flush the template")
