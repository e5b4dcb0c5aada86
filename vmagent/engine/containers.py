"""`engine.containers`: the Engine API's verbs that show containers, change their records, or prune them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from vmagent.containers import configure, records, shapes
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.limits import check_resources, check_update
from vmagent.containers.live import Live
from vmagent.containers.model import Status
from vmagent.containers.names import checked_name
from vmagent.containers.resources import resources
from vmagent.engine import stats as statistics
from vmagent.engine.background import Background
from vmagent.engine.bin import Bin
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.files import Files
from vmagent.engine.health import health_json, health_status
from vmagent.engine.launching import Launcher
from vmagent.engine.lifecycle import Lifecycle
from vmagent.engine.links import Links
from vmagent.engine.logs import log_files
from vmagent.engine.processes import process_table
from vmagent.engine.registry import Registry
from vmagent.engine.selecting import check, implies_all, passes
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.images.store import Store
from vmagent.paths import ExecRoot
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.logfile import latest_payload
from vmagent.supervisor.logwriter import STDOUT, payload_name
from vmagent.supervisor.messages import NotHeld, SupervisorError, SupervisorUnavailable

Filters = Mapping[str, Sequence[str]]
Warnings = list[str]

UPDATABLE = (
    "BlkioWeight", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus",
    "CpusetMems", "Memory", "MemoryReservation", "MemorySwap", "NanoCpus", "PidsLimit",
)  # fmt: skip


class Containers:
    """The verbs. All raise vmagent.errors. Those that change a status are in `lifecycle`, those on files in `files`."""

    def __init__(
        self,
        registry: Registry,
        events: ContainerEvents,
        background: Background,
        supervisor: SupervisorClient,
        images: Store,
        endpoints: Endpoints,
        lifecycle: Lifecycle,
        files: Files,
        launcher: Launcher,
        exec_root: ExecRoot,
        links: Links,
        bin: Bin,
    ) -> None:
        self._bin = bin
        self._registry, self._events, self._background = registry, events, background
        self._supervisor, self._images, self._endpoints = supervisor, images, endpoints
        self._lifecycle, self._files, self._launcher, self._exec_root = lifecycle, files, launcher, exec_root
        self._links = links
        self._pruning = asyncio.Lock()

    # --- reads

    async def list(self, *, all: bool, limit: int, size: bool, filters: Filters) -> list[JsonObject]:
        """ContainerList: newest first."""
        check(filters)
        shows_all = all or limit > 0 or implies_all(filters)
        found = []
        for live in sorted(self._registry, key=lambda live: live.record.created_ns, reverse=True):
            state = live.record.state
            if not (shows_all or state.running or state.status is Status.RESTARTING):
                continue
            if not self._passes(live, filters):
                continue
            found.append(live)
            if limit > 0 and len(found) == limit:
                break
        link_names = self._links.names()
        sizes: Sequence[tuple[int, int] | None] = [None] * len(found)
        if size:
            sizes = await self._files.sizes_of([live.record for live in found])
        return [
            self._list_json(live, link_names.get(live.record.id, ()), sizes=own)
            for live, own in zip(found, sizes, strict=True)
        ]

    def _passes(self, live: Live, filters: Filters) -> bool:
        return passes(
            live,
            filters,
            find=self._registry.find,
            is_descendant=self._is_descendant,
            network_id=self._endpoints.network_id,
        )

    def _is_descendant(self, image_id: str, ref: str) -> bool:
        """Whether image `image_id` is the image `ref` or was built on it, that is, begins with all layers of `ref`."""
        try:
            wanted = self._images.resolve(ref)
            own = self._images.image(image_id)
        except EngineError:
            return False
        return own.id == wanted.id or own.layers[: len(wanted.layers)] == wanted.layers

    def _list_json(self, live: Live, link_names: Sequence[str], *, sizes: tuple[int, int] | None) -> JsonObject:
        record = live.record
        return shapes.list_json(
            record,
            image=self._shown_image(record.image_ref, record.image_id),
            health_status=health_status(live),
            link_names=link_names,
            networks=self._endpoints.shapes.endpoints_json(record),
            ports=self._endpoints.shapes.ports_list(record),
            sizes=sizes,
        )

    def _shown_image(self, ref: str, image_id: str) -> str:
        """`ref`, the image name of the create request, while it still names the container's image; else `image_id`."""
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
        if log_files(record) is None:
            paths["log"] = str(folder / payload_name(STDOUT))
        else:
            paths["log"] = str(await self._background.on_disk(latest_payload, folder))
        graph = {
            "Name": "overlay2",
            "Data": {
                "LowerDir": ":".join(self._launcher.lower_paths(record)),
                "MergedDir": str(self._exec_root.rootfs),
                "UpperDir": str(folder / "upper"),
                "WorkDir": str(folder / "work"),
            },
        }
        return shapes.inspect_json(
            record,
            health=health_json(live),
            links=self._links.shown(record),
            network_settings=self._endpoints.shapes.settings_json(record),
            exec_ids=live.exec_ids,
            paths=paths,
            graph=graph,
            sizes=await self._files.sizes(record) if size else None,
        )

    async def top(self, ref: str, ps_args: str) -> JsonObject:
        """ContainerTop: the host's `ps`, limited to the container's processes. Raises Conflict if it does not run."""
        live = self._running(ref)
        return await process_table(await self._pids(live), ps_args)

    def _running(self, ref: str) -> Live:
        live = self._registry.find(ref)
        if not live.record.state.running:
            raise Conflict(f"container {live.id} is not running")
        return live

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
        endpoints = self._endpoints.controller.sandbox(record.id)
        ends = endpoints.endpoints if endpoints else ()
        interfaces = {end.interface: end.host_interface for end in ends if end.host_interface}
        return statistics.sample(record, sample, interfaces)

    async def timeline(self, ref: str) -> JsonObject:
        """How long each step of the last start took, in milliseconds (`live.Timeline`)."""
        return self._registry.find(ref).timeline()._asdict()

    # --- changes to the record

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
        """ContainerUpdate: change limits and restart policy; a running container gets new limits at once.

        Returns the warnings. Raises BadRequest, Conflict, NotFound.
        """
        live = self._registry.find(ref)
        async with live.lock:
            record = live.record
            changed = {**record.host_config, **{k: body[k] for k in UPDATABLE if body.get(k) not in (None, 0, "")}}
            if changed["MemorySwap"] and changed["Memory"] and 0 < changed["MemorySwap"] < changed["Memory"]:
                raise Conflict(
                    "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the "
                    "same time"
                )
            check_update(record.host_config, body)
            check_resources(changed)
            policy = body.get("RestartPolicy")
            if policy and policy.get("Name"):
                policy = dict(policy)
                configure.check_restart_policy(policy)
                if policy["Name"] != "no" and record.auto_remove:
                    raise BadRequest("Restart policy cannot be updated because AutoRemove is enabled for the container")
                changed["RestartPolicy"] = policy
            if record.state.running:
                await self._limit(record.id, resources(changed))
            record.host_config = changed
            await self._background.on_disk(records.save_config, self._registry.folder(record.id), record)
        self._events.publish(live.record, "update")
        return []

    async def _limit(self, container_id: str, wanted: JsonObject) -> None:
        """Give a running container other limits. Raises BadRequest for a value that the kernel refuses."""
        try:
            await self._supervisor.update(container_id, wanted)
        except NotHeld:  # it has ended meanwhile
            return
        except SupervisorUnavailable:
            raise
        except SupervisorError as e:
            raise BadRequest(f"Cannot update container {container_id}: {e}") from e

    async def prune(self, filters: Filters) -> JsonObject:
        """ContainerPrune: remove all containers that are not running and pass `filters`; without filters, also those
        in the bin, whose bytes count as reclaimed. Raises Conflict."""
        check(filters)
        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        async with self._pruning:
            deleted, reclaimed = [], 0
            for live in self._registry:
                state = live.record.state
                if state.running or state.status is Status.RESTARTING:
                    continue
                if not self._passes(live, filters):
                    continue
                size, _ = await self._files.sizes(live.record)
                with suppress(Conflict, NotFound):  # started or removed meanwhile
                    await self._lifecycle.remove(live.id, force=False, volumes=False)
                    deleted.append(live.id)
                    reclaimed += size
            if not filters:
                _, size = await self._bin.empty(lambda entry: entry.kind == "container")
                reclaimed += size
            self._events.pruned(reclaimed)
            return {"ContainersDeleted": deleted or None, "SpaceReclaimed": reclaimed}
