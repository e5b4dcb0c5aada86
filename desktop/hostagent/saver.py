"""The resource saver: saves a VM whose engine has been idle for a while, so that it uses no processor and no memory.

The engine knows what is under way in it, the agent when a client used it last and who holds the VM awake beside it (a
shell in it). All of that must agree. Waking is the work of whoever needs the VM.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from desktop.vm.errors import VmError
from desktop.vm.lifecycle import VirtualMachine
from desktop.vm.state import Status

_LOOKS = 5  # in the time that the VM must have been idle for; a container's end is noticed this much too late at most
_SHORTEST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0  # a changed setting is noticed after this


class ResourceSaver:
    """A service of the agent. Call `used` with each use of the VM."""

    def __init__(self, vm: VirtualMachine, save_after_s: Callable[[], float | None]) -> None:
        """`save_after_s` reads the setting: None means never. Its VmError means never, too."""
        self._vm = vm
        self._save_after_s = save_after_s
        self._last_use = time.monotonic()
        self._holders = 0
        self._task: asyncio.Task[None] | None = None
        self._rest: asyncio.Task[bool] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="resource saver")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._rest is not None:  # a save that is under way is finished
            await asyncio.gather(self._rest, return_exceptions=True)

    def used(self) -> None:
        """Somebody has used the VM just now."""
        self._last_use = time.monotonic()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The VM is in use for the time of the context."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            self.used()

    async def _watch(self) -> None:
        while True:
            after_s: float | None = None
            with suppress(VmError):
                after_s = await asyncio.to_thread(self._save_after_s)
            pause_s = _LONGEST_PAUSE_S
            if after_s is not None:
                idle_s = time.monotonic() - self._last_use
                pause_s = min(max(after_s / _LOOKS, after_s - idle_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
                if self._vm.state.status is Status.RUNNING and not self._holders and idle_s >= after_s:
                    self._rest = asyncio.create_task(self._vm.rest(after_s), name="save the idle VM")
                    await asyncio.shield(self._rest)
            await asyncio.sleep(pause_s)
