"""A container's files: docker cp, diff, export, commit, sizes, and the first content of volumes.

The reading and writing is done in a helper process (`vmagent.containers.fileworker`), one per job.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Live
from vmagent.containers.model import Container, MountKind, MountPoint, Status, now_ns, rfc3339
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.filejobs import FILE_WORKER, FileJobs
from vmagent.engine.hostfolders import HostFolders
from vmagent.engine.launching import Launcher
from vmagent.engine.options import PathStat
from vmagent.engine.registry import Registry
from vmagent.engine.userns import UserNamespaces
from vmagent.errors import Conflict, NotFound
from vmagent.helpers.pool import Spare
from vmagent.images.changes import apply_changes
from vmagent.images.imagestore import ImageStore
from vmagent.images.store import Store
from vmagent.linux.trees import files_below
from vmagent.paths import ExecRoot
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.messages import NotHeld

SNAPSHOT = "vmagent.engine.snapshotting"  # runs in a helper process
SPARE_AFTER_S = 0.02  # the reply goes out before a process is started
SPARE_S = 600.0  # between two saves of somebody who edits
CHANGED, ADDED, DELETED = 0, 1, 2


async def _unless_removed(live: Live, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` on a container's files; if the container is removed meanwhile, cancel it and raise Conflict."""
    working = asyncio.create_task(work, name=f"files of {live.id[:12]}")
    removal = asyncio.create_task(live.removal(), name=f"removal of {live.id[:12]}")
    try:
        await asyncio.wait((working, removal), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Conflict(f"container {live.id} is marked for removal")
        working.result()
    finally:
        for task in (working, removal):
            task.cancel()
        await asyncio.wait((working, removal))


class Files:
    """The file verbs."""

    def __init__(
        self,
        registry: Registry,
        events: ContainerEvents,
        background: Background,
        supervisor: SupervisorClient,
        users: UserNamespaces,
        launcher: Launcher,
        host_folders: HostFolders,
        store: Store,
        images: ImageStore,
        exec_root: ExecRoot,
    ) -> None:
        self._registry, self._events, self._background, self._supervisor = registry, events, background, supervisor
        self._users, self._launcher, self._exec_root = users, launcher, exec_root
        self._host_folders = host_folders
        self._store, self._images = store, images
        self._spare = Spare(FILE_WORKER, SPARE_S)

    async def close(self) -> None:
        """End what waits for jobs."""
        await self._spare.close()

    @asynccontextmanager
    async def _root(self, record: Container, *, writable: bool = False) -> AsyncIterator[JsonObject]:
        """The part of a job that tells where the container's files are, until the exit. Raises OSError, NotFound."""
        users = self._users.of(record)
        remapped = {"users": {"uid_map": users.uids, "gid_map": users.gids}} if users is not None else {}
        if record.state.running:
            yield {"pid": record.state.pid, "id": record.id, **remapped}
            return
        folder = self._registry.folder(record.id)
        volumes = [mount for mount in record.mounts if mount.kind is MountKind.VOLUME]
        there = await self._background.on_disk(_existing, volumes)
        there |= await self._host_folders.places(mount for mount in record.mounts if mount.kind is MountKind.BIND)
        seen = [
            {
                "source": there[mount.destination],
                "subpath": mount.subpath,
                "destination": mount.destination,
                "is_own": self._launcher.owns(mount),
                # What is written below a file system that is not mounted would be hidden at the next start.
                "writable": mount.writable and self._launcher.is_there(mount),
            }
            for mount in record.mounts
            if mount.destination in there
        ]
        async with self._launcher.lowers(record) as lowers:
            yield {
                **remapped,
                "target": str(self._exec_root.rootfs),
                "lowers": lowers,
                "upper": str(folder / "upper"),
                "work": str(folder / "work"),
                "writable": writable,
                "is_read_only": record.host_config["ReadonlyRootfs"],
                "mounts": seen,
            }

    def _jobs(self, record: Container, *, writable: bool = False) -> FileJobs:
        return FileJobs(f"container {record.id}", partial(self._root, record, writable=writable), self._spare)

    async def folder(self, ref: str, path: str, most: int) -> bytes:
        """See FileJobs.listing."""
        return await self._jobs(self._registry.find(ref).record).listing(path, most)

    # --- docker cp

    async def stat(self, ref: str, path: str) -> PathStat:
        """Raises NotFound."""
        return await self._jobs(self._registry.find(ref).record).stat(path)

    async def get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """See FileJobs.get. Raises NotFound."""
        record = self._registry.find(ref).record
        crosses = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", *(mount.destination for mount in record.mounts)]
        return await self._jobs(record).get(path, crosses)

    async def put(
        self,
        ref: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool,
        copy_uid_gid: bool,
        more: bool,
    ) -> None:
        """Unpack a tar into a folder of the container. `more`: the client will send others, for which a worker is kept
        ready. Raises NotFound, BadRequest."""
        live = self._registry.find(ref)
        async with AsyncExitStack() as stack:
            if not live.record.state.running:
                await stack.enter_async_context(live.overlay)  # never mount an overlay twice: a start waits
            if live.record.state.running:
                await stack.aclose()  # it was being started
            owner = _numeric_owner(live.record.config["User"]) if copy_uid_gid else None
            jobs = self._jobs(live.record, writable=True)
            putting = jobs.put(path, chunks, no_overwrite_dir_non_dir=no_overwrite_dir_non_dir, owner=owner)
            await (putting if live.record.state.running else _unless_removed(live, putting))
        if more:
            asyncio.get_running_loop().call_later(SPARE_AFTER_S, self._spare.prepare)

    def export(self, ref: str) -> AsyncIterator[bytes]:
        """The tar of the whole file system."""
        live = self._registry.find(ref)
        self._events.publish(live.record, "export")
        return self._jobs(live.record).export()

    async def image_has(self, record: Container, path: str) -> bool:
        """Whether the image of `record` may have something at `path`."""
        async with self._launcher.lowers(record) as lowers:
            return await self._background.on_disk(_exists_in, lowers, path)

    async def copy_up(self, record: Container, path: str, target: Path, *, is_own: bool) -> None:
        """Copy the image's content at `path` into the empty folder `target`, for a volume.

        `is_own`: the folder is the engine's, and its files keep the ids from inside the container. Else it is a folder
        of the host, and the files get the host's ids of the container's users.
        """
        folder = self._exec_root.path / "image-root"
        folder.mkdir(mode=0o700, exist_ok=True)
        users = None if is_own else self._users.of(record)
        ids = {"uid_map": users.uids, "gid_map": users.gids} if users is not None else {}

        @asynccontextmanager
        async def image_root() -> AsyncIterator[JsonObject]:
            async with self._launcher.lowers(record) as lowers:
                yield {
                    "target": str(folder),
                    "lowers": lowers[1:],
                    "upper": lowers[0],
                    "work": "",
                    "writable": False,
                    "mounts": [],
                }

        await FileJobs(f"container {record.id}", image_root).copy_up(path, str(target), ids)

    # --- diff, sizes, commit

    async def changes(self, ref: str) -> Sequence[JsonObject]:
        """ContainerChanges: the paths that differ from the image."""
        record = self._registry.find(ref).record
        upper = self._registry.folder(record.id) / "upper"
        async with self._launcher.lowers(record) as lowers:
            return await self._background.on_disk(_changes, str(upper), lowers)

    async def sizes(self, record: Container) -> tuple[int, int]:
        """(bytes of the container's own layer, total bytes with the image's layers)."""
        (found,) = await self.sizes_of([record])
        return found

    async def sizes_of(self, records: Sequence[Container]) -> list[tuple[int, int]]:
        """As `sizes`, of many at once: one turn of a disk thread, and each image once."""
        uppers = [str(self._registry.folder(record.id) / "upper") for record in records]
        own = await self._background.on_disk(_tree_sizes, uppers)
        images: dict[str, int] = {}
        for image_id in {record.image_id for record in records}:
            try:
                images[image_id] = int((await self._images.inspect(image_id))["Size"])
            except NotFound:
                images[image_id] = 0
        return [(size, size + images[record.image_id]) for size, record in zip(own, records, strict=True)]

    async def commit(
        self,
        ref: str,
        config: JsonObject,
        *,
        repo: str,
        tag: str,
        comment: str,
        author: str,
        pause: bool,
        changes: Sequence[str],
    ) -> str:
        """ImageCommit: the new image's id."""
        live = self._registry.find(ref)
        pauses = pause and live.record.state.status is Status.RUNNING
        if pauses:
            await self._supervisor.pause(live.id)
        try:
            image_id = await self._commit(
                live.record, config, repo=repo, tag=tag, comment=comment, author=author, changes=changes
            )
        finally:
            if pauses and live.record.state.status is Status.RUNNING:  # not if the user has paused it meanwhile
                with suppress(NotHeld):
                    await self._supervisor.resume(live.id)
        self._events.publish(live.record, "commit", comment=comment, imageID=image_id, imageRef=repo)
        return image_id

    async def _commit(
        self,
        record: Container,
        config: JsonObject,
        *,
        repo: str,
        tag: str,
        comment: str,
        author: str,
        changes: Sequence[str],
    ) -> str:
        """Make an image of the container's image plus its own layer. Returns the id."""
        image = self._store.image(record.image_id)
        whole = deepcopy(dict(image.config))
        whole.pop("rootfs", None)
        inner = {key: record.config[key] for key in _COMMITTED if record.config.get(key)}
        inner.update({key: value for key, value in config.items() if value and key in _COMMITTED})
        now = rfc3339(now_ns())
        command = " ".join(record.argv)
        whole.update({"config": apply_changes(inner, changes), "created": now, "author": author})
        whole["history"] = [
            *(whole.get("history") or ()),
            {"created": now, "created_by": command, "author": author, "comment": comment},
        ]
        snapshot = {"module": SNAPSHOT, "upper": str(self._registry.folder(record.id) / "upper")}
        return await self._images.commit(snapshot, parent=image.id, config=whole, repo=repo, tag=tag)


# The fields of a container's config that go into the image's config, in docker's order.
_COMMITTED = (
    "User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "Volumes", "ExposedPorts", "StopSignal", "Healthcheck",
    "Shell", "OnBuild",
)  # fmt: skip


def _numeric_owner(user: str) -> tuple[int, int] | None:
    """(uid, gid) of docker's user string if it is numeric; None: keep the owners in the tar."""
    uid, _, gid = user.partition(":")
    if uid.isdigit():
        return int(uid), int(gid) if gid.isdigit() else 0
    return None


def _tree_sizes(paths: Sequence[str]) -> list[int]:
    """Of each folder, the bytes of all that is no folder, each file once."""
    return [sum(info.st_size for info in files_below(path)) for path in paths]


def _existing(volumes: Sequence[MountPoint]) -> dict[str, str]:
    """By destination, the folders of volumes that exist."""
    return {mount.destination: mount.source for mount in volumes if os.path.lexists(mount.source)}


def _exists_in(lowers: Sequence[str], path: str) -> bool:
    """Whether the image may have something at `path`. A link in the path counts: only the worker can resolve it."""
    for lower in lowers:
        place = lower
        for part in path.strip("/").split("/"):
            place = f"{place}/{part}"
            if os.path.islink(place):
                return True
            if not os.path.lexists(place):
                break
        else:
            return True
    return False


def _changes(upper: str, lowers: Sequence[str]) -> list[JsonObject]:
    """The changes in an overlay's upper folder, by the kernel's overlayfs.rst, "whiteouts and opaque directories"."""
    found: list[JsonObject] = []

    def walk(folder: str, shown: str, below: list[str]) -> None:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = f"{shown}/{entry.name}"
            info = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                found.append({"Path": path, "Kind": DELETED})
                continue
            under, is_there = _lowers_of(below, entry.name)
            found.append({"Path": path, "Kind": CHANGED if is_there else ADDED})
            if entry.is_dir(follow_symlinks=False):
                is_opaque = _is_opaque(entry.path)
                walk(entry.path, path, [] if is_opaque else under)

    walk(upper, "", list(lowers))
    return found


def _lowers_of(folders: Sequence[str], name: str) -> tuple[list[str], bool]:
    """(the visible lower folders called `name`, whether any visible lower entry has that name)."""
    under: list[str] = []
    for folder in folders:
        path = f"{folder}/{name}"
        try:
            info = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
            return under, bool(under)
        if not stat.S_ISDIR(info.st_mode):
            return under, True
        under.append(path)
        if _is_opaque(path):
            break
    return under, bool(under)


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
