"""What the kernel has of the engine's: mounts, cgroups, the network. All of it must belong to something."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from vmagent.containers.live import Live
from vmagent.engine.background import Background
from vmagent.engine.checking.finding import Finding, Found
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.registry import Registry
from vmagent.images.store import Store
from vmagent.linux import mounts
from vmagent.networks.audit import Fault
from vmagent.paths import ExecRoot
from vmagent.runtime.cgroups import tree as cgroup_tree
from vmagent.supervisor.client import SupervisorClient

# Several engines of one machine share the parent cgroup. So an empty cgroup of a container that is not known here
# counts only when it is older than any start takes.
_STRANGER_AGE_S = 300.0
_BUSY_S = 3.0  # longer than the supervisor goes on trying to remove a cgroup that the kernel calls busy
_ID = re.compile(r"[0-9a-f]{64}")


class _Cgroup(NamedTuple):
    container_id: str
    path: str
    is_empty: bool
    age_s: float


class MachineCheck:
    """Used on the event loop."""

    def __init__(
        self,
        exec_root: ExecRoot,
        registry: Registry,
        background: Background,
        store: Store,
        endpoints: Endpoints,
        supervisor: SupervisorClient,
    ) -> None:
        self._exec_root, self._registry, self._background = exec_root, registry, background
        self._store, self._endpoints, self._supervisor = store, endpoints, supervisor

    async def mounts(self) -> Found:
        """Raises OSError."""
        for point in await self._background.on_disk(_mount_points, self._exec_root.path):
            if self._is_stray(point):
                remedy, mend = "it is unmounted", partial(self._unmount, point)
                yield Finding("mounts", str(point), "it belongs to no container and no layer", remedy, mend)

    def _is_stray(self, point: Path) -> bool:
        """Only where the engine itself mounts: a user may have a disk below a root. Volumes that nobody uses are
        unmounted at the engine's start, and subpaths after the moment of a start."""
        if point.parent == self._exec_root.path / "layers":
            return f"sha256:{point.name}" not in self._store.layers
        if point.name == "shm" and point.parent.parent == self._exec_root.containers:
            return point.parent.name not in self._registry
        return point == self._exec_root.rootfs

    async def _unmount(self, point: Path) -> None:
        await self._background.on_disk(mounts.umount, str(point), mounts.MNT_DETACH)

    async def cgroups(self) -> Found:
        """Raises OSError, SupervisorError."""
        parents = {"/cove", *(os.path.dirname(live.record.cgroup_path) for live in self._registry)}
        known: list[tuple[Live, str]] = []
        for found in await self._background.on_disk(_cgroups, parents):
            if not found.is_empty:
                continue
            if (live := self._registry.get(found.container_id)) is not None:
                known.append((live, found.path))
            elif found.age_s > _STRANGER_AGE_S:
                yield _left_over(found.path, partial(self._remove_cgroup, found.path))
        for live, path in await self._left_over_of(known):
            yield _left_over(path, partial(self._remove_cgroup_of, live, path))

    async def _left_over_of(self, known: Sequence[tuple[Live, str]]) -> list[tuple[Live, str]]:
        """Those of the containers' empty cgroups that stay although the container does not run."""
        left: list[tuple[Live, str]] = []
        for live, path in known:
            async with live.lock:  # a start or an end holds it
                if not live.record.state.running and not live.is_removing:
                    left.append((live, path))
        if left:
            await self._supervisor.list()  # it tells of an exit before it removes the cgroup, and replies after that
        for pause_s in (0.0, _BUSY_S):  # it tries again where the kernel is not done with the processes
            if not left:
                break
            await asyncio.sleep(pause_s)  # once for all of them
            left = [(live, path) for live, path in left if await self._is_left_over(live, path)]
        return left

    async def _is_left_over(self, live: Live, path: str) -> bool:
        is_empty = await self._background.on_disk(_is_empty, path)
        return is_empty and not (live.record.state.running or live.is_removing or live.is_removed)

    async def _remove_cgroup_of(self, live: Live, path: str) -> None:
        async with live.lock:
            if live.record.state.running:
                return  # it has been started since
            await self._remove_cgroup(path)

    async def _remove_cgroup(self, path: str) -> None:
        await self._background.on_disk(cgroup_tree().at(path).remove)

    async def network(self) -> Found:
        """Raises OSError."""
        for fault in await self._endpoints.faults():
            mend = partial(self._mend, fault) if fault.mend else None
            yield Finding("network", fault.subject, fault.fault, fault.remedy, mend)

    async def _mend(self, fault: Fault) -> None:
        assert fault.mend is not None
        await self._endpoints.call(fault.mend)


def _mount_points(root: Path) -> list[Path]:
    """The mount points below `root`, deepest first: proc_pid_mountinfo(5)."""
    top, found = os.path.realpath(root), []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4])
        if point.startswith(f"{top}/"):
            found.append(root / point[len(top) + 1 :])
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def _left_over(path: str, mend: Callable[[], Awaitable[None]]) -> Finding:
    return Finding("cgroups", path, "it has no process, and its container does not run", "it is removed", mend)


def _is_empty(path: str) -> bool:
    """Whether the cgroup is there, and no process in it. Raises OSError."""
    cgroup = cgroup_tree().at(path)
    return cgroup.exists() and not cgroup.pids()


def _cgroups(parents: Iterable[str]) -> list[_Cgroup]:
    """The cgroups with a container's name below `parents`. Raises OSError."""
    tree, now = cgroup_tree(), time.time()
    ages: dict[str, float] = {}
    for parent in parents:
        for top in tree.mount_points:
            with suppress(FileNotFoundError), os.scandir(top + parent) as entries:
                for entry in entries:
                    if _ID.fullmatch(entry.name):
                        with suppress(FileNotFoundError):  # it has been removed meanwhile
                            ages.setdefault(f"{parent}/{entry.name}", now - entry.stat().st_ctime)
    return [_Cgroup(path.rpartition("/")[2], path, not tree.at(path).pids(), age) for path, age in ages.items()]
