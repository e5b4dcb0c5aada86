"""What the kernel has of the engine's: mounts, cgroups, the network. All of it must belong to something."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from vmagent.engine.background import Background
from vmagent.engine.checking.finding import Finding, Found
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.registry import Registry
from vmagent.images.store import Store
from vmagent.linux import mounts
from vmagent.networks.audit import Fault
from vmagent.paths import DataRoot, ExecRoot
from vmagent.runtime.cgroups import tree as cgroup_tree
from vmagent.volumes.store import DATA

# Several engines of one machine share the parent cgroup. So an empty cgroup of a container that is not known here
# counts only when it is older than any start takes.
_STRANGER_AGE_S = 300.0
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
        data_root: DataRoot,
        exec_root: ExecRoot,
        registry: Registry,
        background: Background,
        store: Store,
        endpoints: Endpoints,
    ) -> None:
        self._data_root, self._exec_root, self._registry = data_root, exec_root, registry
        self._background, self._store, self._endpoints = background, store, endpoints

    async def mounts(self) -> Found:
        """Raises OSError."""
        for point in await self._background.on_disk(_mount_points, (self._data_root.path, self._exec_root.path)):
            if not self._is_ours(point):
                remedy, mend = "it is unmounted", partial(self._unmount, point)
                yield Finding("mounts", str(point), "it belongs to no container, layer or volume", remedy, mend)

    def _is_ours(self, point: Path) -> bool:
        if point in (self._data_root.path, self._exec_root.path):
            return True
        if point.parent == self._exec_root.path / "layers":
            return f"sha256:{point.name}" in self._store.layers
        if point.name == "shm" and point.parent.parent == self._exec_root.containers:
            return point.parent.name in self._registry
        if point.name == DATA and point.parent.parent == self._data_root.volumes:
            return True  # the engine unmounts those that nobody uses when it starts
        return point.parent == self._exec_root.subpaths  # for a moment of a start

    async def _unmount(self, point: Path) -> None:
        await self._background.on_disk(mounts.umount, str(point), mounts.MNT_DETACH)

    async def cgroups(self) -> Found:
        """Raises OSError."""
        parents = {"/cove", *(os.path.dirname(live.record.cgroup_path) for live in self._registry)}
        for found in await self._background.on_disk(_cgroups, parents):
            live = self._registry.get(found.container_id)
            if live is None:
                is_left = found.is_empty and found.age_s > _STRANGER_AGE_S
            else:
                is_left = found.is_empty and not live.record.state.running and not live.is_removing
                # A start or an end may be under way: its lock is held then.
                async with live.lock:
                    is_left = is_left and not live.record.state.running
            if is_left:
                mend = partial(self._remove_cgroup, found.path)
                fault = "it has no process, and its container does not run"
                yield Finding("cgroups", found.path, fault, "it is removed", mend)

    async def _remove_cgroup(self, path: str) -> None:
        await self._background.on_disk(cgroup_tree().at(path).remove)

    async def network(self) -> Found:
        """Raises OSError."""
        for fault in await self._endpoints.call(self._endpoints.controller.faults):
            mend = partial(self._mend, fault) if fault.mend else None
            yield Finding("network", fault.subject, fault.fault, fault.remedy, mend)

    async def _mend(self, fault: Fault) -> None:
        assert fault.mend is not None
        await self._endpoints.call(fault.mend)


def _mount_points(roots: Iterable[Path]) -> list[Path]:
    """The mount points at and below `roots`, deepest first: proc_pid_mountinfo(5)."""
    tops = [os.path.realpath(root) for root in roots]
    named = dict(zip(tops, roots, strict=True))
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4])
        for top in tops:
            if point == top or point.startswith(f"{top}/"):
                found.append(named[top] / point[len(top) :].lstrip("/"))
                break
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


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
