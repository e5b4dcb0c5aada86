"""`engine.containers`: the Engine API's container verbs, each handed on to the part that does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from vmagent.containers import configure, records, shapes
from vmagent.containers.live import Condition, Live, Waiter
from vmagent.containers.model import JsonObject, Status
from vmagent.containers.names import checked_name
from vmagent.containers.resources import resources
from vmagent.engine import stats as statistics
from vmagent.engine import usage
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.creating import Creator
from vmagent.engine.files import Files
from vmagent.engine.health import health_json, health_status
from vmagent.engine.lifecycle import Lifecycle
from vmagent.engine.logs import AttachedSession, Logs, LogStream
from vmagent.engine.networking import Networking
from vmagent.engine.options import LogOptions, PathStat
from vmagent.engine.processes import process_table
from vmagent.engine.registry import Registry
from vmagent.engine.selecting import implies_all, passes
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound, NotImplementedHere
from vmagent.images.imagestore import ImageStore
from vmagent.paths import ExecRoot
from vmagent.supervisor.client import NotHeld, SupervisorClient
from vmagent.supervisor.logfile import latest_payload

Filters = Mapping[str, Sequence[str]]
Warnings = list[str]

UPDATABLE = (
    "BlkioWeight", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus",
    "CpusetMems", "Memory", "MemoryReservation", "MemorySwap", "NanoCpus", "PidsLimit",
)  # fmt: skip


async def _unless_removed(live: Live, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` on a container's files; a removal does not wait for it, but ends it. Raises Conflict then."""
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


class Containers:
    """The verbs. All raise vmagent.errors."""

    def __init__(
        self,
        registry: Registry,
        events: ContainerEvents,
        background: Background,
        supervisor: SupervisorClient,
        logs: Logs,
        images: ImageStore,
        networking: Networking,
        creator: Creator,
        lifecycle: Lifecycle,
        files: Files,
        exec_root: ExecRoot,
    ) -> None:
        self._registry, self._events, self._background = registry, events, background
        self._supervisor, self._logs, self._images, self._networking = supervisor, logs, images, networking
        self._creator, self._lifecycle, self._files, self._exec_root = creator, lifecycle, files, exec_root
        self._pruning = asyncio.Lock()

    # --- create, start, stop

    async def create(
        self, config: JsonObject, *, name: str, platform: str, api_version: tuple[int, int]
    ) -> tuple[str, list[str]]:
        """ContainerCreate: (id, warnings)."""
        began = asyncio.get_running_loop().time()
        live, warnings = await self._creator.create(config, name=name, platform=platform, api_version=api_version)
        live.note_create((asyncio.get_running_loop().time() - began) * 1000)
        return live.record.id, warnings

    async def start(self, ref: str) -> None:
        await self._lifecycle.start(self._registry.find(ref))

    async def stop(self, ref: str, *, timeout_s: int | None, signal: str | None) -> None:
        await self._lifecycle.stop(self._registry.find(ref), timeout_s=timeout_s, signal=signal)

    async def restart(self, ref: str, *, timeout_s: int | None, signal: str | None) -> None:
        await self._lifecycle.restart(self._registry.find(ref), timeout_s=timeout_s, signal=signal)

    async def kill(self, ref: str, *, signal: str) -> None:
        await self._lifecycle.kill(self._registry.find(ref), signal=signal)

    async def pause(self, ref: str) -> None:
        await self._lifecycle.pause(self._registry.find(ref))

    async def unpause(self, ref: str) -> None:
        await self._lifecycle.unpause(self._registry.find(ref))

    async def remove(self, ref: str, *, force: bool, volumes: bool) -> None:
        await self._lifecycle.remove(self._registry.find(ref), force=force, volumes=volumes)

    async def waiter(self, ref: str, condition: str) -> Waiter:
        """ContainerWait, registered when this returns."""
        return self._registry.find(ref).wait_for(Condition.parse(condition))

    # --- looking in

    async def list(self, *, all: bool, limit: int, size: bool, filters: Filters) -> list[JsonObject]:
        """ContainerList: newest first."""
        shows_all = all or limit > 0 or implies_all(filters)
        found = []
        for live in sorted(self._registry, key=lambda live: live.record.created_ns, reverse=True):
            state = live.record.state
            if not (shows_all or state.running or state.status is Status.RESTARTING):
                continue
            if not passes(live, filters, find=self._registry.find, is_descendant=self._is_descendant):
                continue
            found.append(live)
            if limit > 0 and len(found) == limit:
                break
        return [await self._list_json(live, size=size) for live in found]

    def _is_descendant(self, image_id: str, ref: str) -> bool:
        """Whether an image is `ref` or was built on it: has all its layers at the bottom."""
        try:
            wanted = self._images.resolve(ref)
            own = self._images.image(image_id)
        except EngineError:
            return False
        return own.id == wanted.id or own.layers[: len(wanted.layers)] == wanted.layers

    async def _list_json(self, live: Live, *, size: bool) -> JsonObject:
        record = live.record
        return shapes.list_json(
            record,
            image=self._shown_image(record.image_ref, record.image_id),
            health_status=health_status(live),
            networks=self._networking.endpoints_json(record),
            ports=self._networking.ports_list(record),
            sizes=await self._files.sizes(record) if size else None,
        )

    def _shown_image(self, ref: str, image_id: str) -> str:
        """The reference as given, while it still points to the container's image."""
        try:
            return ref if self._images.resolve(ref).id == image_id else image_id
        except EngineError:
            return image_id

    async def inspect(self, ref: str, *, size: bool = False) -> JsonObject:
        """ContainerInspect."""
        live = self._registry.find(ref)
        record = live.record
        folder = self._registry.folder(record.id)
        host_files = folder / records.ETC
        has_started = record.state.started_ns != 0
        paths = {name: str(host_files / name) if has_started else "" for name in ("hosts", "hostname", "resolv.conf")}
        paths["log"] = str(latest_payload(folder))
        graph = {
            "Name": "overlay2",
            "Data": {
                "LowerDir": ":".join(self._files.lowers(record)),
                "MergedDir": str(self._exec_root.rootfs),
                "UpperDir": str(folder / "upper"),
                "WorkDir": str(folder / "work"),
            },
        }
        return shapes.inspect_json(
            record,
            health=health_json(live),
            network_settings=self._networking.settings_json(record),
            exec_ids=live.exec_ids,
            paths=paths,
            graph=graph,
            sizes=await self._files.sizes(record) if size else None,
        )

    async def top(self, ref: str, ps_args: str) -> JsonObject:
        """ContainerTop: the host's `ps` of the container's processes."""
        live = self._running(ref)
        return await process_table(await self._pids(live), ps_args)

    async def _pids(self, live: Live) -> Sequence[int]:
        try:
            return await self._supervisor.pids(live.id)
        except NotHeld as e:
            raise Conflict(f"container {live.id} is not running") from e

    async def stats(self, ref: str) -> JsonObject:
        """One sample: ContainerStats without precpu."""
        live = self._registry.find(ref)
        record = live.record
        if not record.state.running:
            return statistics.empty(record)
        try:
            sample = await self._supervisor.stats(record.id)
        except NotHeld:
            return statistics.empty(record)
        endpoints = self._networking.stack.sandbox(record.id)
        interfaces = {e.interface: e.host_interface for e in endpoints.endpoints} if endpoints else {}
        return statistics.sample(record, sample, interfaces)

    def usage(self, *, interval_s: float) -> AsyncIterator[JsonObject]:
        """What all running containers use: a sample now, then one every `interval_s` seconds."""
        return usage.samples(self._registry, self._supervisor, interval_s)

    async def timeline(self, ref: str) -> JsonObject:
        """How long the last start took, step by step, in milliseconds."""
        return self._registry.find(ref).timeline()

    # --- streams

    async def attach(
        self, ref: str, *, logs: bool, stream: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> AttachedSession:
        """ContainerAttach. Raises Conflict where it is paused or restarting."""
        live = self._registry.find(ref)
        if live.record.state.status is Status.PAUSED:
            raise Conflict(f"container {live.id} is paused, unpause the container before attach")
        if live.record.state.status is Status.RESTARTING:
            raise Conflict(f"container {live.id} is restarting, wait until the container is running")
        streams = tuple(number for number, wanted in ((1, stdout), (2, stderr)) if wanted)
        session = AttachedSession(
            self._logs, self._events, self._supervisor, live, logs=logs, stream=stream, stdin=stdin, streams=streams
        )
        self._events.publish(live.record, "attach")
        return session

    async def logs(self, ref: str, options: LogOptions) -> LogStream:
        """ContainerLogs. Raises BadRequest, Conflict, NotImplementedHere (driver none)."""
        live = self._registry.find(ref)
        record = live.record
        if not (options.stdout or options.stderr):
            raise BadRequest("Bad parameters: you must choose at least one stream")
        if record.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict("can not get logs from container which is dead or marked for removal")
        if record.host_config["LogConfig"]["Type"] == "none":
            raise NotImplementedHere("configured logging driver does not support reading")
        return LogStream(self._logs, live, options)

    async def resize(self, ref: str, *, height: int, width: int) -> None:
        """ContainerResize. Raises Conflict where it does not run."""
        live = self._running(ref)
        try:
            await self._supervisor.resize(live.id, height, width)
        except NotHeld as e:
            raise Conflict(f"container {live.id} is not running") from e
        self._events.publish(live.record, "resize", height=str(height), width=str(width))

    def _running(self, ref: str) -> Live:
        live = self._registry.find(ref)
        if not live.record.state.running:
            raise Conflict(f"container {live.id} is not running")
        return live

    # --- changes of the record

    async def rename(self, ref: str, name: str) -> None:
        """ContainerRename. Raises BadRequest, Conflict."""
        live = self._registry.find(ref)
        new, old = checked_name(name), live.record.name
        if new == old:
            raise BadRequest("Renaming a container with the same name as its current name")
        async with live.lock:
            self._registry.names.reserve(new, live.record.id)
            live.record.name = new
            try:
                await self._background.on_disk(records.save_config, self._registry.folder(live.id), live.record)
            except OSError as e:
                live.record.name = old
                self._registry.names.release(new)
                raise EngineError(f"rename of {old}: {e.strerror}") from e
            self._registry.names.release(old)
        self._events.publish(live.record, "rename", oldName=f"/{old}")

    async def update(self, ref: str, body: JsonObject) -> Warnings:
        """ContainerUpdate: limits and the restart policy, at once where it runs."""
        live = self._registry.find(ref)
        async with live.lock:
            record = live.record
            changed = {**record.host_config, **{k: body[k] for k in UPDATABLE if body.get(k) not in (None, 0, "")}}
            if changed["MemorySwap"] and changed["Memory"] and 0 < changed["MemorySwap"] < changed["Memory"]:
                raise Conflict(
                    "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the "
                    "same time"
                )
            configure.check_resources(changed)
            policy = body.get("RestartPolicy")
            if policy and policy.get("Name"):
                policy = dict(policy)
                configure.check_restart_policy(policy)
                if policy["Name"] != "no" and record.auto_remove:
                    raise BadRequest("Restart policy cannot be updated because AutoRemove is enabled for the container")
                changed["RestartPolicy"] = policy
            if record.state.running:
                with suppress(NotHeld):
                    await self._supervisor.update(record.id, resources(changed))
            record.host_config = changed
            await self._background.on_disk(records.save_config, self._registry.folder(record.id), record)
        self._events.publish(live.record, "update")
        return []

    async def prune(self, filters: Filters) -> JsonObject:
        """ContainerPrune: all that do not run."""
        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        async with self._pruning:
            deleted, reclaimed = [], 0
            for live in self._registry:
                state = live.record.state
                if state.running or state.status is Status.RESTARTING:
                    continue
                if not passes(live, filters, find=self._registry.find, is_descendant=self._is_descendant):
                    continue
                size, _ = await self._files.sizes(live.record)
                with suppress(Conflict, NotFound):  # started or removed meanwhile
                    await self._lifecycle.remove(live, force=False, volumes=False)
                    deleted.append(live.id)
                    reclaimed += size
            self._events.pruned(reclaimed)
            return {"ContainersDeleted": deleted or None, "SpaceReclaimed": reclaimed}

    # --- files

    async def changes(self, ref: str) -> Sequence[JsonObject]:
        return await self._files.changes(self._registry.find(ref).record)

    async def archive_stat(self, ref: str, path: str) -> PathStat:
        return await self._files.stat(self._registry.find(ref).record, path)

    async def archive_get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        return await self._files.get(self._registry.find(ref).record, path)

    async def archive_put(
        self,
        ref: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool,
        copy_uid_gid: bool,
    ) -> None:
        live = self._registry.find(ref)
        async with AsyncExitStack() as stack:
            if not live.record.state.running:
                await stack.enter_async_context(live.overlay)  # never mounted twice: no start meanwhile
            if live.record.state.running:
                await stack.aclose()  # it was being started
            putting = self._files.put(
                live.record,
                path,
                chunks,
                no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
                copy_uid_gid=copy_uid_gid,
            )
            await (putting if live.record.state.running else _unless_removed(live, putting))

    def export(self, ref: str) -> AsyncIterator[bytes]:
        """The whole file system as a tar stream."""
        live = self._registry.find(ref)
        self._events.publish(live.record, "export")
        return self._files.export(live.record)

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
            image_id = await self._files.commit(
                live.record, config, repo=repo, tag=tag, comment=comment, author=author, changes=changes
            )
        finally:
            if pauses and live.record.state.status is Status.RUNNING:  # paused by hand meanwhile, it stays so
                with suppress(NotHeld):
                    await self._supervisor.resume(live.id)
        self._events.publish(live.record, "commit", comment=comment, imageID=image_id, imageRef=repo)
        return image_id
