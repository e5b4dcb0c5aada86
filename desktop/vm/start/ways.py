"""The interface of a way to start, and the parts that the ways share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol, TypeVar

from desktop.paths import HostPaths
from desktop.tunnel.keys import KeyFiles
from desktop.vm.command import Disk, Files, vm_command
from desktop.vm.disk import mark_used
from desktop.vm.errors import VmError
from desktop.vm.machine import Machine, Record
from desktop.vm.marks import LOGS_HINT
from desktop.vm.start.plan import Plan
from desktop.vm.start.saved import SavedState

# From one sign of progress to the next. Emulated on an idle machine, all of a boot takes 3 to 15 s.
PROGRESS_LIMIT_S = 120.0
KEPT_CONSOLE_LOGS = 5

_T = TypeVar("_T")


class Way(Protocol):
    """One way to start the VM."""

    name: str

    async def start(self) -> Machine:
        """A machine whose guest runs, with its data disk mounted and sshd's keys in place. Raises VmError, OSError;
        QEMU may still run then, and `Plan.launched` has its machine."""
        ...


class SavedWay(Way, Protocol):
    """A way that begins at `saved`."""

    saved: SavedState


async def launch(
    plan: Plan,
    disk: Disk | None = None,
    *,
    incoming: bool = False,
    memory: Path | None = None,
) -> Machine:
    """Launch QEMU with its processor stopped, and write the record by which a later host agent finds it. For the
    arguments see `vm_command` and `Files`. Raises VmError, OSError."""
    paths = plan.paths
    qmp = plan.platform.channel_address(paths.run, "qmp")
    control = plan.platform.channel_address(paths.run, "control")
    tunnel = plan.platform.channel_address(paths.run, "tunnel")
    files = Files(plan.image, paths.console_log, paths.qemu_pid, qmp, control, tunnel, memory)
    await asyncio.to_thread(_keep_console_logs, paths)
    command = vm_command(plan.qemu.system, plan.hardware, files, disk, incoming=incoming)
    machine = await Machine.launch(plan.platform, command, paths.qemu_log, qmp, control, tunnel)
    machine.fits = plan.fits
    plan.launched(machine)
    await machine.forward()
    # Written before the guest runs: if this agent dies from here on, the next one finds QEMU.
    hardware = plan.hardware
    Record(
        machine.pid,
        *(qmp, control, tunnel),
        machine.ssh_port,
        plan.accelerator,
        *(hardware.memory_mb, hardware.cpus),
        plan.fits,
    ).save(paths.vm_record)
    return machine


def _keep_console_logs(paths: HostPaths) -> None:
    """Give the console's logs of earlier boots their next names; QEMU is about to write a new one."""
    logs = [paths.console_log, *map(paths.earlier_console_log, range(1, KEPT_CONSOLE_LOGS))]
    for older, log in reversed(list(zip(logs[1:], logs[:-1], strict=True))):
        if log.exists():
            log.replace(older)


async def attach(plan: Plan, machine: Machine, *, restored: bool = False) -> str:
    """Mount the data disk in the running guest. Meanwhile give sshd its keys, and a guest that was `restored` the time
    and randomness of its own: on a busy machine each reply may take a while. Returns what was done with the disk, in a
    word. Raises VmError, OSError."""
    beside = [asyncio.create_task(refresh(machine), name="refresh")] if restored else []
    beside.append(asyncio.create_task(give_keys(plan.keys, machine), name="keys"))
    try:
        did = await machine.guest.attach(PROGRESS_LIMIT_S, may_format=plan.disk_is_new)
        await asyncio.to_thread(mark_used, plan.paths.disk_mark)
        for task in beside:
            await task
        if did == "repaired":
            plan.notes.append("the file system of the VM's disk was damaged, and was repaired (see cove vm logs)")
        return did
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def give_keys(keys: KeyFiles, machine: Machine) -> None:
    """Start the guest's sshd with the keys of this home, unless it runs with them. Raises VmError, OSError."""
    contents = await asyncio.to_thread(lambda: (keys.host.read_bytes(), keys.client_public.read_bytes()))
    await machine.guest.keys(*contents)


async def refresh(machine: Machine) -> None:
    """Give a guest that was restored the time, and randomness of its own. Raises VmError."""
    await machine.guest.add_entropy()
    await machine.guest.set_clock()


async def or_gone(machine: Machine, work: Awaitable[_T]) -> _T:
    """The result of `work`; cancel it and raise VmError if QEMU ends first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(machine.gone.wait(), name="qemu gone")
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise VmError("the VM ended while it was starting", LOGS_HINT)
        return await task
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)
