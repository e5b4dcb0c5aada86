"""The choice between the ways to start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from desktop.tunnel.transport import TunnelError
from desktop.vm.errors import DiskInUse, KernelPanic, VmError
from desktop.vm.machine import Machine
from desktop.vm.start.cold import Cold
from desktop.vm.start.plan import Plan
from desktop.vm.start.session import Session
from desktop.vm.start.template import Template
from desktop.vm.start.ways import SavedWay


@dataclass(frozen=True, slots=True)
class Started:
    """A machine, the way it was started, and what was dropped before, each with its reason, or done besides."""

    machine: Machine
    way: str
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """What belongs to each try. `connect` has the engine of a machine whose guest runs reached from outside, which
    proves that it works, and raises VmError, TunnelError or OSError; `why` tells why a machine has ended, None where it
    has not; `end` ends a machine that is of no use."""

    connect: Callable[[Machine], Awaitable[None]]
    why: Callable[[], Awaitable[VmError | None]]
    end: Callable[[], Awaitable[None]]


async def start(plan: Plan, ends: Ends) -> Started:
    """Resume the saved session, else start from the template, else boot. What does not fit or fails is dropped. A boot
    that ends with a panic is tried once more: a kernel that is emulated panics by chance now and then. Raises VmError,
    TunnelError, OSError if the VM does not boot, DiskInUse whatever the way."""
    dropped: list[str] = []
    ways: tuple[SavedWay, ...] = (Session(plan), Template(plan))
    for way in ways:
        if not await asyncio.to_thread(way.saved.exists):
            continue
        try:
            await asyncio.to_thread(way.saved.check, plan.fits)
            return await _reached(plan, way.start(), way.name, dropped, ends)
        except DiskInUse:
            raise
        except (VmError, TunnelError, OSError) as e:
            await ends.end()
            dropped.append(f"the {way.name} was dropped: {e}")
            await asyncio.to_thread(way.saved.drop)
    try:
        return await _booted(plan, dropped, ends)
    except (VmError, TunnelError, OSError):
        why = await ends.why()
        if not isinstance(why, KernelPanic):
            raise
        await ends.end()
        dropped.append(f"the first boot failed: {why}")
    return await _booted(plan, dropped, ends)


async def _booted(plan: Plan, dropped: list[str], ends: Ends) -> Started:
    cold = Cold(plan)
    try:
        started = await _reached(plan, cold.start(), cold.name, dropped, ends)
    finally:
        await cold.settle()
    late = [note for note in plan.notes if note not in started.dropped]
    if cold.no_template is not None:
        late.append(f"no template was written: {cold.no_template}")
    return replace(started, dropped=(*started.dropped, *late))


async def _reached(
    plan: Plan, start: Coroutine[Any, Any, Machine], way: str, dropped: list[str], ends: Ends
) -> Started:
    machine = await start
    await ends.connect(machine)
    return Started(machine, way, (*dropped, *plan.notes))
