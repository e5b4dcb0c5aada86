"""The Engine API's volume verbs, and what containers ask of volumes."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vmagent.containers.model import MountPoint
from vmagent.engine.background import Background
from vmagent.engine.bin import Bin
from vmagent.engine.binstore import Entry
from vmagent.engine.events import EventBus
from vmagent.engine.filtervalues import flag, searches
from vmagent.engine.labels import has_labels
from vmagent.engine.mountedvolumes import MountedVolumes
from vmagent.engine.registry import Registry
from vmagent.engine.tidying import Tidying
from vmagent.errors import BadRequest, Conflict, EngineError, NameTaken, NotFound
from vmagent.paths import DataRoot
from vmagent.tasks import to_its_end
from vmagent.volumes import filling
from vmagent.volumes.devices import check_options
from vmagent.volumes.model import ANONYMOUS_LABEL, Volume, check_name
from vmagent.volumes.store import DATA, VolumeStore

Json = dict[str, Any]
Filters = Mapping[str, Sequence[str]]
P = TypeVar("P", Path, str)

FILES_LIMIT_S = 30.0  # how long a removal or a rename waits for those that read or write the volume's files


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
        self,
        data_root: DataRoot,
        registry: Registry,
        bus: EventBus,
        background: Background,
        tidying: Tidying,
        bin: Bin,
    ) -> None:
        self._bin = bin
        self._registry, self._bus, self._background, self._tidying = registry, bus, background, tidying
        self._store = VolumeStore(data_root.volumes, data_root.trash)
        self._volumes: dict[str, Volume] = {}
        self._claims: Counter[str] = Counter()
        self._mounted = MountedVolumes(background)
        self._filling: dict[str, asyncio.Lock] = {}  # held while a volume gets its first content
        self._changing = asyncio.Lock()  # creation and removal on disk don't overlap
        self._is_pruning = False
        self._open_files: dict[str, set[str]] = {}  # by volume: who reads or writes its files (`opened`)
        self._closed = asyncio.Event()  # replaced whenever one of them has ended

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
            user, on_disk = f"filling {secrets.token_hex(8)}", self._background.on_disk
            await self._mounted.use(volume, user)
            try:
                begun = await on_disk(filling.begin, volume)
                if begun is None:
                    return
                try:
                    await copy(begun.staging)
                except BaseException:
                    await to_its_end(on_disk(begun.end), f"end the filling of {name}")
                    raise
                await to_its_end(on_disk(filling.finish, begun), f"finish the filling of {name}")
            except OSError as e:
                raise EngineError(f"failed to populate volume {name}: {e.strerror or e}") from e
            finally:
                await self._mounted.end(volume, user)

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

    async def remove_anonymous(self, container_id: str, names: Iterable[str], entry: Entry | None = None) -> None:
        """At the removal of `container_id`: remove those anonymous volumes of `names` that no other container uses;
        into the bin's `entry`, if there is one."""
        for name in names:
            volume = self._volumes.get(name)
            if volume is not None and volume.is_anonymous:
                await self._files_closed(name)
                with suppress(Conflict):
                    await self._discard(name, leaving=container_id, entry=entry)

    def is_known(self, name: str) -> bool:
        """Whether there is a volume of that name."""
        return name in self._volumes

    async def bring_back(self, source: Path, name: str) -> None:
        """Make a folder from the bin volume `name`. Raises BadRequest, Conflict if the name is taken, EngineError."""
        check_name(name)
        async with self._changing:
            self._refuse_if_taken(name)
            try:
                await to_its_end(self._keep(self._store.move_in, source, name), f"restore {name}")
            except OSError as e:
                raise EngineError(f"restore {name}: {e.strerror or e}") from e
        self._bus.publish("volume", "create", name, {"driver": "local"})

    # --- for those who read and write the files

    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[Volume]:
        """The volume, whose `source` shows its content until the exit; until then it cannot be removed or renamed: both
        wait for it, at most FILES_LIMIT_S, since most reads are short.

        Raises NotFound, EngineError.
        """
        volume = self._find(name)
        user = f"files {secrets.token_hex(8)}"
        self._claims[name] += 1
        self._open_files.setdefault(name, set()).add(user)
        try:
            await self._mounted.use(volume, user)
            try:
                yield volume
            finally:
                await self._mounted.end(volume, user)
        finally:
            self.release(name)
            self._open_files[name].discard(user)
            if not self._open_files[name]:
                del self._open_files[name]
            closed, self._closed = self._closed, asyncio.Event()
            closed.set()

    async def _files_closed(self, name: str) -> None:
        """Wait until nobody reads or writes the files of a volume (`opened`), at most FILES_LIMIT_S."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FILES_LIMIT_S):
                while name in self._open_files:
                    await self._closed.wait()

    async def copy(self, volume: Volume, name: str, fill: Callable[[Path], Awaitable[None]]) -> None:
        """Make volume `name` with the labels and options of `volume`; `fill(folder)` writes its content into `folder`.
        All of it is there or nothing, even after a kill.

        Raises BadRequest, Conflict if the name is taken, and what `fill` raises.
        """
        check_name(name)
        self._refuse_if_taken(name)
        labels = {key: value for key, value in volume.labels.items() if key != ANONYMOUS_LABEL}
        try:
            folder = await self._background.on_disk(self._store.begin, name, labels, volume.options)
            try:
                await fill(folder / DATA)
                async with self._changing:
                    self._refuse_if_taken(name)
                    await to_its_end(self._keep(self._store.finish, folder, name), f"keep the copy {name}")
            except BaseException:
                await to_its_end(self._background.on_disk(self._store.drop, folder), f"drop the copy for {name}")
                raise
        except OSError as e:
            raise EngineError(f"create {name}: {e.strerror or e}") from e
        self._bus.publish("volume", "create", name, {"driver": volume.driver})

    async def _keep(self, make: Callable[[P, str], Volume], source: P, name: str) -> None:
        """Have `make(source, name)` make volume `name`. Raises what it raises."""
        self._volumes[name] = await self._background.on_disk(make, source, name)

    async def rename(self, name: str, new: str) -> None:
        """Give a volume that no container has another name. Clients see that the old one goes and the new one comes.

        Raises NotFound, BadRequest, Conflict.
        """
        self._find(name)
        check_name(new)
        await self._files_closed(name)
        async with self._changing:
            volume = self._find(name)
            self._refuse_if_used(name, leaving="", verb="rename")
            self._refuse_if_taken(new)
            del self._volumes[name]  # from here on no container can claim it
            self._filling.pop(name, None)
            try:
                await to_its_end(self._keep(self._store.rename, name, new), f"rename {name}")
            except OSError as e:
                raise EngineError(f"rename {name}: {e.strerror or e}") from e
            finally:
                if new not in self._volumes:
                    self._volumes[name] = volume
        self._bus.publish("volume", "destroy", name, {"driver": volume.driver})
        self._bus.publish("volume", "create", new, {"driver": volume.driver})

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

    async def remove(self, name: str, *, force: bool, restorable: bool = False) -> None:
        """`restorable`: into the bin. Raises NotFound unless `force`, Conflict if a container uses it."""
        await self._files_closed(name)
        if (volume := self._volumes.get(name)) is not None and restorable:
            self._refuse_if_used(name, leaving="")
            await to_its_end(self._put_into_bin(volume), f"put {name} into the bin")
        elif volume is not None:
            await self._discard(name)
        elif not force:
            raise NotFound(f"get {name}: no such volume")

    async def _put_into_bin(self, volume: Volume) -> None:
        name = volume.name
        try:
            async with self._bin.taking("volume", name, name, is_anonymous=volume.is_anonymous) as entry:
                await self._discard(name, entry=entry)
        except OSError as e:
            raise EngineError(f"remove {name}: {e.strerror or e}") from e

    async def prune(self, filters: Filters, *, anonymous_only: bool) -> Json:
        """Remove volumes that no container uses; without filters, also such volumes in the bin. Raises Conflict while
        another prune runs."""
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
            if not filters:
                _, size = await self._bin.empty(
                    lambda entry: entry.kind == "volume" and (entry.is_anonymous or not anonymous_only)
                )
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

    def _refuse_if_used(self, name: str, leaving: str, verb: str = "remove") -> None:
        if users := [user for user in self._users(name) if user != leaving]:
            raise Conflict(f"{verb} {name}: volume is in use - [{', '.join(users)}]")
        if name in self._claims:
            raise Conflict(
                f"{verb} {name}: volume is in use by a container that is being created, or its files are being copied"
            )

    def _refuse_if_taken(self, name: str) -> None:
        if name in self._volumes or name in self._claims:
            raise NameTaken(f"volume {name} exists already")

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

    async def _discard(self, name: str, *, leaving: str = "", entry: Entry | None = None) -> bool:
        """Remove a volume, with `entry` into the bin. Returns False if it was removed meanwhile by another request.

        Raises Conflict if a container other than `leaving` uses it.
        """
        async with self._changing:
            if (volume := self._volumes.get(name)) is None:
                return False
            self._refuse_if_used(name, leaving)
            del self._volumes[name]  # from here on no container can claim it
            self._filling.pop(name, None)
            try:
                if entry is not None:
                    target = self._bin.store.volume(entry, name)
                    await self._background.on_disk(self._store.move_out, name, target)
                else:
                    self._tidying.remove_later(await self._background.on_disk(self._store.remove, name))
            except OSError as e:
                self._volumes[name] = volume
                raise EngineError(f"remove {name}: {e.strerror or e}") from e
        self._bus.publish("volume", "destroy", name, {"driver": volume.driver})
        return True

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
