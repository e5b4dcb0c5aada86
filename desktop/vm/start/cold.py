"""The cold start: Linux boots."""

from __future__ import annotations

from desktop.vm.machine import Machine
from desktop.vm.start.plan import Plan
from desktop.vm.start.ways import PROGRESS_LIMIT_S, attach, launch, or_gone


class Cold:
    """Always possible."""

    name = "cold"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def start(self) -> Machine:
        plan = self._plan
        with plan.steps.step("qemu") as step:
            machine = await launch(plan)
            await machine.add_disk(plan.paths.data_disk)
            await machine.resume()
            step.detail = f"{plan.hardware.cpus} CPUs, {plan.hardware.memory_mb} MB"
        with plan.steps.step("kernel"):
            await or_gone(machine, machine.guest.marks.wait("init", PROGRESS_LIMIT_S))
        with plan.steps.step("system") as step:
            await or_gone(machine, machine.guest.marks.wait("network", PROGRESS_LIMIT_S))
            step.detail = f"disk {await or_gone(machine, attach(plan, machine))}"
        return machine
