"""Bringing back what is in the bin: containers with their anonymous volumes, volumes, images. docs/decisions/0095"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import structlog

from vmagent.containers import records
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Live
from vmagent.containers.model import Container, MountKind, Status
from vmagent.containers.names import checked_name
from vmagent.containers.records import UnreadableRecord
from vmagent.durable import move
from vmagent.engine.background import Background
from vmagent.engine.bin import Bin
from vmagent.engine.binstore import Entry
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.imagebin import bring_back
from vmagent.engine.lifecycle import Lifecycle
from vmagent.engine.registry import Registry
from vmagent.engine.volumes import Volumes
from vmagent.errors import Conflict, EngineError, NameTaken
from vmagent.images.store import Store
from vmagent.tasks import to_its_end

log = structlog.get_logger(__name__)


class Restorer:
    """The verb. It refuses with the reason, and leaves the entry as it is, where something that is needed is gone."""

    def __init__(
        self,
        registry: Registry,
        events: ContainerEvents,
        background: Background,
        bin: Bin,
        images: Store,
        endpoints: Endpoints,
        volumes: Volumes,
        lifecycle: Lifecycle,
    ) -> None:
        self._registry, self._events, self._background, self._bin = registry, events, background, bin
        self._images, self._endpoints, self._volumes, self._lifecycle = images, endpoints, volumes, lifecycle

    async def restore(self, ref: str, name: str = "") -> JsonObject:
        """POST /cove/v1/bin/{id}/restore: a stopped container, a volume, or an image; `name`: under that
        one instead of its own.

        Raises NotFound if nothing deleted is known so; Conflict if the name is taken, or what it needs is gone.
        """
        done: JsonObject = {}

        async def restore() -> None:
            done.update(await self._restore(self._bin.find(ref), name))

        await to_its_end(restore(), f"restore {ref}")  # also where the client has gone: nothing may be half back
        return done

    async def _restore(self, entry: Entry, name: str) -> JsonObject:
        with self._bin.changing(entry):
            try:
                if entry.kind == "container":
                    restored, subject = await self._container(entry, name), entry.subject
                elif entry.kind == "image":
                    restored, subject = await bring_back(self._images, entry, name), entry.subject
                else:
                    restored = subject = await self._volume(entry, name)
            except OSError as e:
                raise EngineError(f"{entry.name} was not brought back: {e.strerror or e}") from e
            await self._bin.brought_back(entry)
        return {"kind": entry.kind, "id": subject, "name": restored}

    async def _volume(self, entry: Entry, name: str) -> str:
        """Returns its name. Raises BadRequest, Conflict, EngineError."""
        name = name or entry.name
        if self._volumes.is_known(name):
            raise NameTaken(
                f"volume {entry.name} was not brought back: there is a volume {name} now; delete or rename that one, "
                "or choose another name"
            )
        await self._volumes.bring_back(self._bin.store.volume(entry, entry.subject), name)
        return name

    async def _container(self, entry: Entry, name: str) -> str:
        """Returns its name. Raises BadRequest, Conflict, EngineError, OSError."""
        source = self._bin.store.container(entry)
        try:
            record = await self._background.on_disk(records.load, source)
        except UnreadableRecord as e:
            raise EngineError(f"container {entry.name} was not brought back: its record is damaged: {e}") from e
        own = await self._background.on_disk(self._bin.store.volumes_in, entry)
        self._check(entry, record, own)
        wanted = checked_name(name) if name else entry.name  # an attempt that failed may have renamed the record
        try:
            self._registry.names.reserve(wanted, record.id)
        except Conflict as e:
            raise NameTaken(
                f"container {entry.name} was not brought back: there is a container {wanted} now; delete or rename "
                "that one, or choose another name"
            ) from e
        async with AsyncExitStack() as undo:
            undo.callback(self._registry.names.release, wanted)
            hold = self._images.hold(record.image_id)
            undo.callback(hold.release)
            undo.push_async_callback(self._endpoints.reserve, record, is_removed=True)
            await self._endpoints.reserve(record)
            for volume in own:
                await self._volumes.bring_back(self._bin.store.volume(entry, volume), volume)
                undo.push_async_callback(self._take_volume, entry, volume)
            _settle(record, wanted)
            await self._background.on_disk(_move_in, source, self._registry.folder(record.id), record)
            undo.pop_all()
        # The move cannot be undone, so nothing behind it may fail.
        self._registry.add(Live(record))
        self._lifecycle.image_holds[record.id] = hold
        self._events.publish(record, "create")
        return wanted

    async def _take_volume(self, entry: Entry, name: str) -> None:
        """Move a volume that was brought back into the entry again. If that fails it stays a volume, which the next
        attempt finds."""
        try:
            await self._volumes.remove_anonymous(entry.subject, [name], entry)
        except EngineError as e:
            log.warning("bin.volume_not_taken_back", entry=entry.id, volume=name, error=str(e))

    def _check(self, entry: Entry, record: Container, own: Sequence[str]) -> None:
        """Raises Conflict for what the container needs and is not there."""
        gone = []
        if record.image_id not in self._images.images:
            gone.append(f"its image {record.image_ref} ({record.image_id.removeprefix('sha256:')[:12]})")
        gone += [f"its network {name}" for name in record.endpoints if not self._endpoints.network_id(name)]
        for mode in (record.network_mode, record.host_config["IpcMode"], record.host_config["PidMode"]):
            kind, _, other = str(mode).partition(":")
            if kind == "container" and other not in self._registry:
                gone.append(f"the container {other[:12]} whose namespace it shares")
        gone += [
            f"its volume {mount.volume}"
            for mount in record.mounts
            if mount.kind is MountKind.VOLUME and not self._volumes.is_known(mount.volume) and mount.volume not in own
        ]
        if gone:
            what = ", and ".join(dict.fromkeys(gone))
            verb = "is" if len(set(gone)) == 1 else "are"
            raise Conflict(
                f"container {entry.name} was not brought back: {what} {verb} gone; make or restore that first"
            )


def _settle(record: Container, name: str) -> None:
    """Make it a stopped container of that name, which is not removed by itself."""
    record.name = name
    record.host_config = {**record.host_config, "AutoRemove": False}  # else its next end would remove it for good
    status = Status.CREATED if not record.state.run else Status.EXITED
    record.state = replace(record.state, status=status, pid=0)


def _move_in(source: Path, target: Path, record: Container) -> None:
    """Write the records where the folder is, then move it to its place: from then on it is the engine's container.

    Raises OSError.
    """
    records.save_config(source, record)
    records.save_state(source, record.state, durable=True)
    move(source, target)
