"""Whether a running VM still replies, asked on two channels: the guest's control port, and QEMU's monitor.

No reply is no end: a paused QEMU, a sleeping or busy host go on later. So a missing reply is reported, nothing more.
"""

from __future__ import annotations

import asyncio
from typing import Any

from desktop.vm.errors import VmError
from desktop.vm.machine import Machine

_MONITOR_LIMIT_S = 0.3  # beside the guest's limit; QEMU itself replies within some milliseconds
_FOR_EVER_S = 1e6  # the probes have limits of their own


class Health:
    """The probes of one machine. A request without a reply stays under way: QEMU would get it again and again else."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._guest: asyncio.Task[Any] | None = None
        self._monitor: asyncio.Task[Any] | None = None

    async def probe(self, limit_s: float) -> str | None:
        """Why the VM does not answer; None: its guest has replied within `limit_s`."""
        guest = self._guest = self._guest or asyncio.create_task(self._ask_guest(), name="ping the guest")
        if self._monitor is not None and self._monitor.done():
            self._monitor = None  # its reply is an old one
        monitor = self._monitor = self._monitor or asyncio.create_task(self._ask_monitor(), name="ask QEMU")
        await asyncio.wait({guest}, timeout=limit_s)
        if not guest.done() or not guest.result():
            await asyncio.wait({monitor}, timeout=_MONITOR_LIMIT_S)
        if guest.done():
            self._guest = None
            if guest.result():
                return None
        if not monitor.done():
            return f"neither its guest nor QEMU (process {self._machine.pid}) replies"
        status = monitor.result()
        if status in ("", "running"):
            return "QEMU runs, but its guest does not reply"
        return f"QEMU has stopped its processor ({status})"

    async def close(self) -> None:
        tasks = [task for task in (self._guest, self._monitor) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_guest(self) -> bool:
        try:
            await self._machine.guest.request("ping", limit_s=_FOR_EVER_S)
        except VmError:
            return False
        return True

    async def _ask_monitor(self) -> str:
        """QEMU's state of the machine (QMP query-status)."""
        try:
            return str((await self._machine.qmp.execute("query-status", limit_s=_FOR_EVER_S))["status"])
        except VmError:
            return ""
