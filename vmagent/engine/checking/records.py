"""Containers, volumes and the build cache: records have what they name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from vmagent.builder.cache import CACHE_MOUNT, CONTEXT, Cache
from vmagent.containers import records
from vmagent.containers.model import ContainerId, MountKind
from vmagent.engine.background import Background
from vmagent.engine.checking.finding import Finding, Found
from vmagent.engine.lifecycle import Lifecycle
from vmagent.engine.registry import Registry
from vmagent.images.store import Store
from vmagent.paths import DataRoot
from vmagent.volumes.store import DATA, RECORD


class RecordsCheck:
    """Used on the event loop."""

    def __init__(
        self,
        data_root: DataRoot,
        registry: Registry,
        background: Background,
        store: Store,
        lifecycle: Lifecycle,
        cache: Cache,
    ) -> None:
        self._data_root, self._registry, self._background = data_root, registry, background
        self._store, self._lifecycle, self._cache = store, lifecycle, cache

    async def containers(self) -> Found:
        """Raises OSError."""
        volumes = set(await self._background.on_disk(os.listdir, self._data_root.volumes))
        for live in self._registry:
            subject = f"container {live.record.name}"
            if live.record.image_id not in self._store.images:
                yield Finding(
                    "containers", subject, f"its image {live.record.image_id} is not in the store", "pull it again"
                )
            elif live.record.id not in self._lifecycle.image_holds:
                mend = partial(self._hold, live.record.id, live.record.image_id)
                yield Finding("containers", subject, "it does not hold its image", "it holds it again", mend)
            for mount in live.record.mounts:
                if mount.kind is MountKind.VOLUME and mount.volume and mount.volume not in volumes:
                    fault, remedy = (
                        f"its volume {mount.volume} is missing",
                        "create the volume, or remove the container",
                    )
                    yield Finding("containers", subject, fault, remedy)
            folder = self._registry.folder(live.id)
            missing = await self._background.on_disk(_missing_in, folder)
            if missing and live.id in self._registry and not live.is_removing:
                fault = f"of its folder {' and '.join(missing)} is missing"
                mend = partial(self._make, folder, missing)
                yield Finding("containers", subject, fault, "it is made again, empty", mend)
        for name in await self._background.on_disk(_unreadable, self._data_root.containers):
            if name not in self._registry:
                fault = "its record can't be read, so the engine does not show it"
                yield Finding(
                    "containers", f"container {name[:12]}", fault, f"its files are in {self._registry.folder(name)}"
                )

    async def _hold(self, container_id: ContainerId, image_id: str) -> None:
        live = self._registry.get(container_id)
        if live is not None and container_id not in self._lifecycle.image_holds:
            self._lifecycle.image_holds[container_id] = self._store.hold(image_id)

    async def _make(self, folder: Path, names: Iterable[str]) -> None:
        await self._background.on_disk(_make_folders, folder, names)

    async def volumes(self) -> Found:
        """Raises OSError."""
        for name, fault in await self._background.on_disk(_volume_faults, self._data_root.volumes):
            path = self._data_root.volumes / name
            if fault == DATA:
                mend = partial(self._make_data, path / DATA)
                yield Finding("volumes", f"volume {name}", "its content is missing", "it gets an empty folder", mend)
            else:
                remedy = f"its content is in {path / DATA}: copy it from there"
                yield Finding("volumes", f"volume {name}", "its record is missing or can't be read", remedy)

    async def _make_data(self, path: Path) -> None:
        await self._background.on_disk(_make_folders, path.parent, [path.name])

    async def build_cache(self) -> Found:
        """Raises OSError."""
        for record in self._cache.records():
            mend = partial(self._drop, record.key)
            subject = f"record {record.key[:12]}"
            if record.layer and record.layer not in self._store.layers:
                fault = f"its layer {record.layer} is missing"
                yield Finding("build cache", subject, fault, "it is forgotten: the step runs again", mend)
            elif record.kind in (CACHE_MOUNT, CONTEXT) and not self._cache.is_used(record.key):
                is_mount = record.kind == CACHE_MOUNT
                path = self._cache.mount_folder(record.key) if is_mount else self._cache.context_folder(record.key)
                if not await self._background.on_disk(path.exists):
                    yield Finding("build cache", subject, "its folder is missing", "it is forgotten", mend)
        for path in await self._background.on_disk(
            _entries, (self._data_root.build_mounts, self._data_root.build_contexts)
        ):
            if self._cache.peek(path.name) is None and not self._cache.is_used(path.name):
                remove = partial(self._store.put_away, [path])
                yield Finding("build cache", f"folder {path.name[:12]}", "no record names it", "it is removed", remove)

    async def _drop(self, key: str) -> None:
        self._cache.drop(key)
        await self._cache.settle()


def _missing_in(folder: Path) -> list[str]:
    """The parts of a container's folder that are not there."""
    return [name for name in ("upper", "work", records.ETC) if not (folder / name).is_dir()]


def _make_folders(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).mkdir(mode=0o755, exist_ok=True)
        os.chmod(folder / name, 0o755)  # despite the umask: containers' users must have access


def _unreadable(containers: Path) -> list[str]:
    """Names of folders of containers with a whole record that can't be read."""
    found = []
    for folder in containers.iterdir():
        if records.is_whole(folder):
            try:
                records.load(folder)
            except records.UnreadableRecord:
                found.append(folder.name)
    return found


def _volume_faults(volumes: Path) -> list[tuple[str, str]]:
    """(name, which of its files is missing) of damaged volumes."""
    found = []
    for folder in volumes.iterdir():
        if folder.name.startswith("."):
            continue  # one that is being made
        if not (folder / RECORD).exists():
            found.append((folder.name, RECORD))
        elif not (folder / DATA).is_dir():
            found.append((folder.name, DATA))
    return found


def _entries(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()]
