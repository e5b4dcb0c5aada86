"""The Engine API's volume verbs, and what containers ask of volumes."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from vmagent.containers.model import MountPoint
from vmagent.engine.background import Background
from vmagent.engine.events import EventBus
from vmagent.engine.filtervalues import flag, searches
from vmagent.engine.labels import has_labels
from vmagent.engine.mountedvolumes import MountedVolumes
from vmagent.engine.registry import Registry
from vmagent.engine.tidying import Tidying
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.paths import DataRoot
from vmagent.volumes import filling
from vmagent.volumes.devices import check_options
from vmagent.volumes.model import ANONYMOUS_LABEL, Volume, check_name
from vmagent.volumes.store import VolumeStore

Json = dict[str, Any]
Filters = Mapping[str, Sequence[str]]
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class ClaimedVolume:
    """A volume for a container under creation. `release` it when the container is registered or has failed:
    until then the volume cannot be removed."""

    name: str
    path: Path  # to be mounted
    owner: Volumes

    def release(self) -> None:
        self.owner.release(self.name)


class Volumes:
    """All volumes of an open engine. Used on the loop only; the disk is accessed in disk threads."""

    def __init__(
        self, data_root: DataRoot, registry: Registry, bus: EventBus, background: Background, tidying: Tidying
    ) -> None:
        self._registry, self._bus, self._background, self._tidying = registry, bus, background, tidying
        self._store = VolumeStore(data_root.volumes, data_root.trash)
        self._volumes: dict[str, Volume] = {}
        self._claims: Counter[str] = Counter()
        self._mounted = MountedVolumes(background)
        self._filling: dict[str, asyncio.Lock] = {}  # held while a volume gets its first content
        self._changing = asyncio.Lock()  # creation and removal on disk don't overlap
        self._is_pruning = False

    async def open(self) -> None:
        """Load the records. Raises OSError."""
        self._volumes = {volume.name: volume for volume in await self._background.on_disk(self._store.load)}

    # --- for containers

    async def claim(
        self,
        name: str,
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> ClaimedVolume:
        """Claim the volume `name`, which is made if it is missing; "" makes an anonymous one.

        Raises BadRequest, Conflict.
        """
        labels = dict(labels or {})
        if not name:
            name = secrets.token_hex(32)
            labels[ANONYMOUS_LABEL] = ""
        self._claims[name] += 1
        try:
            volume = await self._ensure(name, driver or "local", labels, options or {})
            path = self.path_of(name)
        except BaseException:
            self.release(name)
            raise
        return ClaimedVolume(volume.name, path, self)

    def release(self, name: str) -> None:
        """End one claim."""
        self._claims[name] -= 1
        if self._claims[name] <= 0:
            del self._claims[name]

    async def fill(self, name: str, copy: Callable[[Path], Awaitable[None]]) -> None:
        """If volume `name` is empty, give it its first content: `copy(folder)` writes that content into `folder`.

        Callers for the same volume wait for each other; a waiting caller copies only if the volume is still empty. The
        volume gets all of the content or none, even after a failure or a kill. The caller must have a claim.

        Raises what `copy` raises, NotFound, EngineError.
        """
        async with self._filling.setdefault(name, asyncio.Lock()):
            volume = self._find(name)
            if volume.device is not None and volume.device.is_lost_at_the_end:
                return
            user = f"filling {secrets.token_hex(8)}"
            await self._mounted.use(volume, user)
            try:
                begun = await self._background.on_disk(filling.begin, volume)
                if begun is None:
                    return
                try:
                    await copy(begun.staging)
                except BaseException:
                    await self._uninterrupted(begun.end)
                    raise
                await self._uninterrupted(filling.finish, begun)
            except OSError as e:
                raise EngineError(f"failed to populate volume {name}: {e.strerror or e}") from e
            finally:
                await self._mounted.end(volume, user)

    async def _uninterrupted(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run `function` in a disk thread. If the caller is cancelled, wait for the function's end before raising."""
        work = asyncio.ensure_future(self._background.on_disk(function, *args, **kwargs))
        try:
            await asyncio.shield(work)
        finally:
            await asyncio.wait([work])

    async def settled(self, name: str) -> None:
        """Wait until volume `name` is not being filled."""
        if (lock := self._filling.get(name)) is not None and lock.locked():
            async with lock:
                pass

    async def mount(self, mount: MountPoint, container_id: str) -> Path:
        """The folder for a container's mount; its volume is in use until `unmount`. Raises NotFound, EngineError."""
        volume = self._find(mount.volume)
        await self._mounted.use(volume, container_id)
        attributes = {
            "container": container_id,
            "destination": mount.destination,
            "driver": volume.driver,
            "propagation": mount.propagation,
            "read/write": str(mount.writable).lower(),
        }
        self._bus.publish("volume", "mount", volume.name, attributes)
        return volume.source

    async def unmount(self, mount: MountPoint, container_id: str) -> None:
        """Undo `mount`. Raises OSError."""
        if (volume := self._volumes.get(mount.volume)) is not None:
            await self._mounted.end(volume, container_id)
            self._bus.publish("volume", "unmount", volume.name, {"container": container_id, "driver": volume.driver})

    async def take_over(self) -> None:
        """Unmount what an earlier engine has mounted for containers that do not run any more. Raises OSError."""
        users: dict[str, set[str]] = {}
        for live in self._registry:
            if live.record.state.running:
                for mount in live.record.mounts:
                    users.setdefault(mount.volume, set()).add(live.id)
        await self._mounted.take_over(self._volumes.values(), users)

    def path_of(self, name: str) -> Path:
        """The folder to mount for volume `name`. Raises NotFound."""
        return self._find(name).source

    def is_own(self, name: str) -> bool:
        """Whether the files of volume `name` lie in the data root, not in a folder of the host that it binds."""
        volume = self._volumes.get(name)
        return volume is not None and volume.is_own

    def is_there(self, name: str) -> bool:
        """Whether the folder of volume `name` shows its content: one with a file system of its own does while used."""
        volume = self._volumes.get(name)
        return volume is not None and self._mounted.is_there(volume)

    async def remove_anonymous(self, container_id: str, names: Iterable[str]) -> None:
        """At the removal of `container_id`: remove those anonymous volumes of `names` that no other container uses."""
        for name in names:
            volume = self._volumes.get(name)
            if volume is not None and volume.is_anonymous:
                with suppress(Conflict):
                    await self._discard(name, leaving=container_id)

    # --- the API's verbs

    async def create(self, body: Json) -> Json:
        """POST /volumes/create; an existing name returns that volume. Raises BadRequest, Conflict."""
        name = _text(body, "Name")
        labels = _strings(body, "Labels")
        if not name:
            name = secrets.token_hex(32)
            labels[ANONYMOUS_LABEL] = ""
        driver = _text(body, "Driver") or "local"
        volume = await self._ensure(name, driver, labels, _strings(body, "DriverOpts"))
        return volume.to_json()

    async def list(self, filters: Filters) -> Sequence[Json]:
        """GET /volumes. Raises BadRequest."""
        for value in filters.get("dangling", ()):
            flag("dangling", value)
        return [volume.to_json() for volume in self._volumes.values() if self._passes(volume, filters)]

    async def inspect(self, name: str) -> Json:
        """Raises NotFound."""
        return self._find(name).to_json()

    async def remove(self, name: str, *, force: bool) -> None:
        """Raises NotFound unless `force`, Conflict if a container uses it."""
        if name in self._volumes:
            await self._discard(name)
        elif not force:
            raise NotFound(f"get {name}: no such volume")

    async def prune(self, filters: Filters, *, anonymous_only: bool) -> Json:
        """Remove volumes that no container uses. Raises Conflict while another prune runs."""
        if self._is_pruning:
            raise Conflict("a prune operation is already running")
        self._is_pruning = True
        try:
            removed, reclaimed = [], 0
            for volume in list(self._volumes.values()):
                if (anonymous_only and not volume.is_anonymous) or not has_labels(volume.labels, filters):
                    continue
                if volume.name in self._claims or self._users(volume.name):
                    continue
                size = await self._background.on_disk(self._store.size_bytes, volume.name)
                try:
                    await self._discard(volume.name)
                except Conflict:
                    continue  # in use meanwhile
                removed.append(volume.name)
                reclaimed += size
        finally:
            self._is_pruning = False
        self._bus.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return {"VolumesDeleted": removed or None, "SpaceReclaimed": reclaimed}

    async def usage(self) -> Sequence[Json]:
        """Every volume with `UsageData`, for /system/df."""
        usage = []
        for volume in list(self._volumes.values()):
            size = await self._background.on_disk(self._store.size_bytes, volume.name)
            ref_count = len(self._users(volume.name))
            usage.append(volume.to_json() | {"UsageData": {"Size": size, "RefCount": ref_count}})
        return usage

    # --- internals

    def _find(self, name: str) -> Volume:
        try:
            return self._volumes[name]
        except KeyError:
            raise NotFound(f"get {name}: no such volume") from None

    def _users(self, name: str) -> Sequence[str]:
        """IDs of the containers that mount volume `name`, running or not."""
        return [live.record.id for live in self._registry if any(mount.volume == name for mount in live.record.mounts)]

    def _refuse_if_used(self, name: str, leaving: str) -> None:
        if users := [user for user in self._users(name) if user != leaving]:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        if name in self._claims:
            raise Conflict(f"remove {name}: volume is in use by a container that is being created")

    async def _ensure(self, name: str, driver: str, labels: Mapping[str, str], options: Mapping[str, str]) -> Volume:
        """The volume, made if it is missing. Raises BadRequest, EngineError."""
        if driver != "local":
            # dockerd replies 404 here. As the reply to a container's create, that would make the CLI pull the image.
            raise BadRequest(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        if (volume := self._volumes.get(name)) is not None:
            return volume
        check_name(name)
        check_options(name, options)
        async with self._changing:
            if (volume := self._volumes.get(name)) is not None:
                return volume
            try:
                volume = await self._background.on_disk(self._store.create, name, labels, options)
            except OSError as e:
                raise EngineError(f"create {name}: {e.strerror or e}") from e
            self._volumes[name] = volume
        self._bus.publish("volume", "create", name, {"driver": volume.driver})
        return volume

    async def _discard(self, name: str, *, leaving: str = "") -> None:
        """Remove a volume. Raises Conflict if a container other than `leaving` uses it."""
        async with self._changing:
            if (volume := self._volumes.get(name)) is None:
                return
            self._refuse_if_used(name, leaving)
            del self._volumes[name]  # from here on no container can claim it
            self._filling.pop(name, None)
            try:
                left = await self._background.on_disk(self._store.remove, name)
            except OSError as e:
                self._volumes[name] = volume
                raise EngineError(f"remove {name}: {e.strerror or e}") from e
        self._tidying.remove_later(left)
        self._bus.publish("volume", "destroy", name, {"driver": volume.driver})

    def _passes(self, volume: Volume, filters: Filters) -> bool:
        for key, values in filters.items():
            match key:
                case "name":
                    passed = any(searches(value, volume.name) for value in values)
                case "driver":
                    passed = volume.driver in values
                case "dangling":
                    unused = not self._users(volume.name)
                    passed = any(flag(key, value) == unused for value in values)
                case "label":
                    passed = has_labels(volume.labels, {"label": values})
                case _:
                    raise BadRequest(f"invalid filter '{key}'")
            if not passed:
                return False
        return True


def _text(body: Json, key: str) -> str:
    value = body.get(key) or ""
    if not isinstance(value, str):
        raise BadRequest(f"invalid JSON: {key} must be a string")
    return value


def _strings(body: Json, key: str) -> dict[str, str]:
    value = body.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise BadRequest(f"invalid JSON: {key} must map strings to strings")
    return dict(value)
