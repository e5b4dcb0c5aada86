"""The image store's state: which images there are, their names, their layers, and what keeps them.

State is in memory, read once at open; a change is on disk before it is visible. One lock serializes changes. Layers are
shared by diff_id. A layer or blob is deleted when no root reaches it (roots.py). Four roots are the store's own:
images, indexes, holds, and the jobs (pull, load, import, commit, push) that are running.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from vmagent.durable import fsync_dir, publish, sweep
from vmagent.errors import NotFound
from vmagent.helpers.pool import WorkerPool
from vmagent.images import config as image_config
from vmagent.images import downloads, erofs, lookup, reading, records
from vmagent.images.config import Config, timestamp, unix_seconds
from vmagent.images.faults import WORKER, engine_error
from vmagent.images.flush import flush_few
from vmagent.images.folders import LayerFolders
from vmagent.images.holds import Hold
from vmagent.images.hosts import RegistryHosts
from vmagent.images.indexes import Indexes, read_kept
from vmagent.images.layer import RECORD, UNFLUSHED, Blob, Kind, Layer, hex_of, top_first
from vmagent.images.platforms import Platform
from vmagent.images.records import ImageRecord, Pointer, References, Target
from vmagent.images.roots import Reachable, Roots
from vmagent.images.trash import Trash
from vmagent.images.uses import LayerUses
from vmagent.linux.trees import remove_whole_tree
from vmagent.paths import DataRoot, ExecRoot
from vmagent.tasks import to_its_end

log = structlog.get_logger()

OnEvent = Callable[[str, str, dict[str, str]], object]  # action, actor's id, attributes


@dataclass(frozen=True, slots=True)
class Image:
    """An image as a container needs it: `config` is the whole OCI config, `layers` diff_ids from the bottom up."""

    id: str
    config: Config
    layers: tuple[str, ...]

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The `config` inside the config: Cmd, Env, …"""
        inner: Mapping[str, Any] = self.config.get("config") or {}
        return inner


class Store:
    """The state and its changes, used on one event loop after `open`. The API's verbs are in imagestore.py."""

    def __init__(
        self,
        data_root: DataRoot,
        exec_root: ExecRoot,
        *,
        hosts: RegistryHosts | None = None,
        kind: Kind | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """`kind` None: tar where the kernel allows it and COVE_LAYERS is not "dir", else dir."""
        self.root = data_root
        self.hosts = hosts or RegistryHosts()
        self.pool: WorkerPool
        self.kind = kind or Kind.DIR
        self.is_new = False  # after open: nothing was ever named in this data root
        self._wanted_kind = kind
        self.folders = LayerFolders(data_root.layers, exec_root.path / "layers")
        self._trash = Trash(data_root.trash)
        self.uses = LayerUses()
        self.roots = Roots()  # others may add theirs
        self.roots.add("images", self._of_images)
        self.roots.add("holds", self._of_holds)
        self.roots.add("jobs", self._of_jobs)
        self._on_event = on_event
        self.images: dict[str, ImageRecord] = {}
        self.configs: dict[str, Config] = {}
        self.layers: dict[str, Layer] = {}
        self.references: References = {}
        self.indexes = Indexes(self.images, self.configs)
        self.roots.add("indexes", self.indexes.reachable)
        self._holds: Counter[str] = Counter()  # by image
        self._held_blobs: Counter[str] = Counter()
        self.change: asyncio.Lock
        self._unflushed: set[str] = set()  # the layers of running builds that may not be on the disk yet
        self._jobs: set[str] = set()  # the names of the ingest folders of those that are running
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life

    async def open(self) -> None:
        """Make the folders, sweep what a crash left, read the records. Raises OSError, ValueError (a newer schema).

        After a `close` it may be opened again, also where this failed.
        """
        for known in (self.images, self.configs, self.layers, self.references, self.indexes, self._unflushed):
            known.clear()
        for held in (self._holds, self._held_blobs):
            held.clear()
        self.pool = WorkerPool(WORKER, engine_error)
        self._trash.open()
        self.change = asyncio.Lock()
        await asyncio.to_thread(self._load)
        log.info("images.opened", images=len(self.images), layers=len(self.layers), kind=str(self.kind))
        self._empty_trash()

    async def close(self) -> None:
        """Wait for the background's removals, end the workers, take the layers' mounts away."""
        await self.settle()
        await self.pool.close()
        await self._trash.close()
        await asyncio.to_thread(self.folders.unmount_all)

    def _load(self) -> None:
        root = self.root
        own = (root.blobs.parent, root.blobs, root.layers, root.images, root.ingest, root.downloads, root.trash)
        for folder in (root.path, *own):
            folder.mkdir(mode=0o711 if folder == root.path else 0o700, parents=True, exist_ok=True)
        downloads.sweep(root.downloads, older_than_s=downloads.KEPT_S)
        self.is_new = not (root.images / records.REFERENCES).exists()
        self._trash.move(root.ingest.iterdir())
        self._trash.move(record.parent for record in root.layers.glob(f"*/{UNFLUSHED}"))  # their content may be missing
        sweep(root.images)
        if self._wanted_kind is None:
            asked = Kind(os.environ.get("COVE_LAYERS", Kind.TAR))
            self.kind = asked if asked is Kind.DIR or erofs.usable(root.ingest, root.erofs_trial) else Kind.DIR
        content = reading.read_content(root)
        self.layers.update(content.layers)
        self.images.update(content.images)
        self.configs.update(content.configs)
        self._load_names()

    def _load_names(self) -> None:
        pointers = records.read_references(self.root)
        kept = read_kept(
            self.root,
            {pointer.index for pointer in pointers.values() if pointer.index},
            {record.manifest for record in self.images.values() if record.manifest},
        )
        for problem in kept.problems:
            log.error("index.unreadable", error=problem)
        self.indexes.take(kept)
        for key, pointer in pointers.items():
            if pointer.index not in self.indexes.known:
                pointer = replace(pointer, index="")
            image_id = self.indexes.best(pointer.index) or pointer.id
            if image_id in self.images:
                self.references[key] = replace(pointer, id=image_id)
        self.indexes.keep_only({pointer.index for pointer in self.references.values()})

    async def collect(self) -> None:
        """Delete hidden images that nobody holds, and all layers and blobs that no root reaches.

        Call it once after `open`, when every container has its hold again.
        """
        for record in [record for record in self.images.values() if record.hidden]:
            if not self._holds[record.id]:
                await self.forget(record.id)
        async with self.change:
            await self._collect()
            kept = self.roots.reachable().blobs | self._layer_blobs()
            await asyncio.to_thread(self._trash_other_blobs, kept)
        self._empty_trash()

    # --- questions

    def resolve(self, ref: str, platform: Platform | None = None) -> Image:
        """The image that `ref` means: id, name, or unique prefix of an id. With `platform`, the image for that, if
        the name has several and this is one of them; else the caller sees by the config that it is not.

        Raises NotFound `No such image: …`, BadRequest for an invalid reference or an ambiguous prefix.
        """
        target = self.target(ref)
        found = self.indexes.chosen(target.index, platform) if platform else None
        return self._image(found[1] if found else target.image_id)

    def image(self, image_id: str) -> Image:
        """The image with this full id, hidden or not, as a container's record names it. Raises NotFound."""
        if image_id not in self.images:
            raise NotFound(f"No such image: {image_id}")
        return self._image(image_id)

    @contextlib.asynccontextmanager
    async def lowers(self, image: Image) -> AsyncIterator[list[str]]:
        """As `lower_paths`, with the layers of kind tar mounted, and none replaced until the exit. The caller holds the
        image. Raises OSError."""
        async with self.uses.using(image.layers):
            yield await self._mounted(image.layers)

    async def stack_lowers(self, diff_ids: Sequence[str]) -> list[str]:
        """As `lowers`, for a job that has an ingest folder and keeps these layers, bottom first: while it runs, no
        layer begins to be replaced. Raises OSError."""
        async with self.uses.using(diff_ids):  # a replacement that began before the job
            return await self._mounted(diff_ids)

    async def _mounted(self, diff_ids: Sequence[str]) -> list[str]:
        layers = [self.layers[diff_id] for diff_id in diff_ids]
        if not all(map(self.folders.is_ready, layers)):
            await asyncio.to_thread(self.folders.make_ready, layers)
        return self._stack_paths(diff_ids)

    def lower_paths(self, image: Image) -> list[str]:
        """Absolute paths of the layers' folders, top first and each once, as the lower folders of an overlay."""
        return self._stack_paths(image.layers)

    def _stack_paths(self, diff_ids: Sequence[str]) -> list[str]:
        return [self.folders.path(self.layers[diff_id]) for diff_id in top_first(diff_ids)]

    def hold(self, image_id: str) -> Hold:
        """Keep an image's layers for a container. Raises NotFound."""
        if image_id not in self.images:
            raise NotFound(f"No such image: {image_id}")
        self._holds[image_id] += 1
        return Hold(lambda: self._let_go(image_id))

    def hold_blobs(self, digests: Iterable[str]) -> Hold:
        """Keep small parts that a job reads, such as an index's, also when no name means them any more."""
        held = frozenset(digests)
        self._held_blobs.update(held)
        return Hold(lambda: self._let_go_blobs(held))

    def disk_usage(self) -> int:
        """Bytes in all layers together, each counted once: `LayersSize` of /system/df."""
        return sum(layer.size for layer in self.layers.values())

    # --- for the siblings of this module

    def emit(self, action: str, actor: str, name: str) -> None:
        """Publish an event about one image. Pull and push carry the reference as id, the others the image's id."""
        self.publish_event(action, actor, {"name": name})

    def publish_event(self, action: str, actor: str, attributes: dict[str, str]) -> None:
        """Publish an event of type image."""
        if self._on_event is not None:
            self._on_event(action, actor, attributes)

    @contextlib.asynccontextmanager
    async def ingest(self) -> AsyncIterator[Path]:
        """The path of a new ingest folder, for one job. On exit what is left in it is deleted; until then no layer is
        collected, as the job may rely on any."""
        folder = self.root.ingest / uuid.uuid4().hex
        self._jobs.add(folder.name)
        try:
            yield folder
        finally:
            await asyncio.shield(self._after_ingest(folder))

    async def _after_ingest(self, folder: Path) -> None:
        try:
            await asyncio.to_thread(remove_whole_tree, str(folder))
        finally:
            self._jobs.remove(folder.name)
        if not self._jobs:
            async with self.change:
                await self._collect()

    async def publish(self, folder: Path, made: Iterable[ImageRecord], references: Mapping[str, Target]) -> None:
        """Take a finished ingest folder into the store: layers, blobs, image records, then names, in that order.

        Raises EngineError, OSError; then no record names any of it.
        """
        await to_its_end(self._publish(folder, list(made), references), "publish images")

    async def _publish(self, folder: Path, made: list[ImageRecord], references: Mapping[str, Target]) -> None:
        async with self.change:
            layers = {diff_id for record in made for diff_id in record.layers}
            await self._clear_places(folder, layers)
            moved = await asyncio.to_thread(self._take_in, folder, layers)
            for diff_id in layers & self._unflushed:  # of a build that still runs, which has the same layer
                await self.flush_layer(diff_id)
            for record in made:
                old = self.images.get(record.id)
                if old is not None:
                    manifest, parent = record.manifest or old.manifest, record.parent or old.parent
                    record = replace(record, manifest=manifest, parent=parent)
                if old != record:
                    config = await asyncio.to_thread(self._write_record, record)
                    self.configs[record.id] = config
                    self.images[record.id] = record
            indexes = {target.index for target in references.values() if target.index}
            manifests = {record.manifest for record in made if record.manifest}
            self.indexes.take(await asyncio.to_thread(read_kept, self.root, indexes, manifests))
            await self.point(references)
            await self._free(moved)  # of a layer that was here, packed otherwise
        self._empty_trash()

    async def adopt_layers(self, folder: Path, diff_ids: Sequence[str], *, is_flushed: bool = True) -> None:
        """Take the layers of a finished ingest folder that no image has yet; the worker has flushed them.

        They stay as long as a root names them. Of layers that are not flushed, none may before `flush_layer`.
        Raises OSError.
        """
        await to_its_end(self._adopt_layers(folder, diff_ids, is_flushed=is_flushed), "adopt layers")

    async def _adopt_layers(self, folder: Path, diff_ids: Sequence[str], *, is_flushed: bool) -> None:
        async with self.change:
            await self._clear_places(folder, diff_ids)
            self._unflushed.update(await asyncio.to_thread(self._adopt, folder, diff_ids, is_flushed=is_flushed))

    async def flush_layer(self, diff_id: str) -> None:
        """Flush a layer with few entries that was adopted unflushed, unless it is. Raises OSError."""
        if diff_id not in self._unflushed:
            return
        await asyncio.to_thread(_flush_layer, self.root.layers / hex_of(diff_id))
        self._unflushed.discard(diff_id)

    def _adopt(self, folder: Path, diff_ids: Sequence[str], *, is_flushed: bool) -> list[str]:
        """Those of the layers that nobody has flushed. Others may have been there before, of whatever kind."""
        self._take_in(folder, diff_ids, is_flushed=is_flushed)
        if is_flushed:
            return []
        return [diff_id for diff_id in diff_ids if (self.root.layers / hex_of(diff_id) / UNFLUSHED).exists()]

    async def adopt_blobs(self, folder: Path, blobs: Mapping[str, dict[str, Any]]) -> None:
        """Keep the blobs that a push made for layers without one; the worker has flushed them. `blobs` by diff_id."""
        async with self.change:
            for diff_id, data in blobs.items():
                layer = self.layers.get(diff_id)
                if layer is not None and layer.blob is None:
                    with_blob = replace(layer, blob=Blob.from_json(data))
                    await asyncio.to_thread(self._adopt_blob, folder, with_blob)
                    self.layers[diff_id] = with_blob

    def _adopt_blob(self, folder: Path, layer: Layer) -> None:
        assert layer.blob is not None
        name = hex_of(layer.blob.digest)
        os.rename(folder / "blobs" / name, self.root.blobs / name)
        fsync_dir(self.root.blobs)
        publish(self.root.layers / hex_of(layer.diff_id) / RECORD, json.dumps(layer.to_json()).encode())

    async def _clear_places(self, folder: Path, diff_ids: Iterable[str]) -> None:
        """Of the layers that are new to the store and that the job has: put away what is in the place of one, and has
        no record that can be read.

        The caller holds the lock. Raises Conflict while a container runs on it, OSError.
        """
        new = [diff_id for diff_id in diff_ids if diff_id not in self.layers]
        for diff_id in await asyncio.to_thread(self._damaged, folder, new) if new else ():
            with self.uses.replacing(diff_id):
                await asyncio.to_thread(self.folders.unmount, diff_id)
                await asyncio.to_thread(self._trash.move, [self.root.layers / hex_of(diff_id)])

    def _damaged(self, folder: Path, diff_ids: Iterable[str]) -> list[str]:
        return [
            diff_id
            for diff_id in diff_ids
            if (folder / "layers" / hex_of(diff_id)).exists()
            and (place := self.root.layers / hex_of(diff_id)).exists()
            and Layer.find(place) is None
        ]

    def _take_in(self, folder: Path, diff_ids: Iterable[str], *, is_flushed: bool = True) -> list[str]:
        """As `_move_in`; then these layers are known."""
        blobs = self._move_in(folder, is_flushed=is_flushed)
        self._take_layers(diff_ids)
        return blobs

    def _move_in(self, folder: Path, *, is_flushed: bool = True) -> list[str]:
        """Rename a job's blobs and layers to their final names; existing ones stay. The worker has flushed them, or
        else the names are not flushed either.

        Returns the digests of the blobs.
        """
        blobs = [f"sha256:{item.name}" for item in (folder / "blobs").iterdir()]
        for source, target in ((folder / "blobs", self.root.blobs), (folder / "layers", self.root.layers)):
            moved = False
            for item in source.iterdir():
                if not (target / item.name).exists():
                    os.rename(item, target / item.name)
                    moved = True
            if moved and is_flushed:
                fsync_dir(target)
        return blobs

    def _write_record(self, record: ImageRecord) -> Config:
        config = image_config.parse((self.root.blobs / hex_of(record.id)).read_bytes())
        records.write_image(self.root, record)
        return config

    def _take_layers(self, diff_ids: Iterable[str]) -> None:
        for diff_id in diff_ids:
            if diff_id not in self.layers:
                self.layers[diff_id] = Layer.read(self.root.layers / hex_of(diff_id))

    @property
    def jobs(self) -> frozenset[str]:
        """The names of the ingest folders of the jobs that are running."""
        return frozenset(self._jobs)

    async def put_away(self, paths: Iterable[Path]) -> None:
        """Move files and folders that nothing names into the trash, which is emptied. Raises OSError."""
        await asyncio.to_thread(self._trash.move, list(paths))
        self._empty_trash()

    async def point(self, references: Mapping[str, Target], *, away: Iterable[str] = ()) -> None:
        """Change names: `references` point to their targets, the keys in `away` are removed. An index that no name
        points to any more goes; its images stay. The caller holds the lock."""
        now = timestamp()
        gone = set(away)
        changed = {key: pointer for key, pointer in self.references.items() if key not in gone}
        for key, target in references.items():
            index = target.index if target.index in self.indexes.known else ""  # it may have gone meanwhile
            changed[key] = Pointer(target.image_id, now, index)
        named = {pointer.index for pointer in changed.values() if pointer.index}
        best = {index: self.indexes.best(index) for index in named}
        for key, pointer in changed.items():  # the index may have got, or lost, the platform that suits best
            if best.get(pointer.index):
                changed[key] = replace(pointer, id=best[pointer.index])
        if changed != self.references:
            await asyncio.to_thread(records.write_references, self.root, changed)
            self.references = changed
        await self._free(self.indexes.keep_only(named))

    def shown(self) -> list[ImageRecord]:
        return [record for record in self.images.values() if not record.hidden]

    def references_of(self, image_id: str) -> list[tuple[str, Pointer]]:
        return [(key, pointer) for key, pointer in self.references.items() if pointer.id == image_id]

    def target(self, ref: str) -> Target:
        """What `ref` means as a whole; an id is that of an index's image where a name means it. Raises as `resolve`."""
        image_id, key = self.find(ref)
        if key is not None:
            return Target(image_id, self.references[key].index)
        named = [(pointer.at, pointer.index) for _, pointer in self.references_of(image_id) if pointer.index]
        return Target(image_id, max(named)[1] if named else "")

    def is_needed(self, image_id: str) -> bool:
        """Whether a name means this image, and has no other platform."""
        return any(
            pointer.id == image_id and all(one == image_id for _, one in self.indexes.present(pointer.index))
            for pointer in self.references.values()
        )

    def beneath(self) -> set[str]:
        """The images that are here only as further platforms of names."""
        return self.indexes.beneath(self.references.values())

    def created_of(self, ref: str) -> int:
        return unix_seconds(self.configs[self.find(ref)[0]].get("created"))

    def _image(self, image_id: str) -> Image:
        return Image(image_id, self.configs[image_id], self.images[image_id].layers)

    def find(self, ref: str) -> tuple[str, str | None]:
        """As lookup.find, in what is there now."""
        return lookup.find(ref, self.images, self.references, self.indexes)

    def lower_path(self, diff_id: str) -> Path:
        """Where a layer is seen while it is mounted."""
        return Path(self.folders.path(self.layers[diff_id]))

    # --- removal

    def _let_go(self, image_id: str) -> None:
        self._holds[image_id] -= 1
        if self._holds[image_id] <= 0:
            del self._holds[image_id]
            record = self.images.get(image_id)
            if record is not None and record.hidden:
                self._in_background(self.forget(image_id), f"forget {image_id}")

    def _let_go_blobs(self, digests: frozenset[str]) -> None:
        self._held_blobs -= Counter(digests)  # which leaves out those that nobody holds any more
        if digests:
            self._in_background(self._free_blobs(digests), "free what was held")

    async def _free_blobs(self, digests: frozenset[str]) -> None:
        async with self.change:
            await self._free(digests)
        self._empty_trash()

    def holders(self, image_id: str) -> int:
        """How many holds there are on an image."""
        return self._holds[image_id]

    async def forget(self, image_id: str) -> list[str] | None:
        """Delete an image's record, or hide it while it is held. Returns the layers deleted with it, bottom first;
        None if there is no such image any more, or if a name has come that would mean nothing without it.
        """
        async with self.change:
            record = self.images.get(image_id)
            if record is None or self.is_needed(image_id):
                return None
            if self._holds[image_id]:
                hidden = replace(record, hidden=True)
                await asyncio.to_thread(records.write_image, self.root, hidden)
                self.images[image_id] = hidden
                await self.point({})  # an index whose image is hidden means another one
                return []
            await asyncio.to_thread(records.delete_image, self.root, image_id)
            del self.images[image_id]
            del self.configs[image_id]
            gone = await self._collect()
            left = [image_id, *self.indexes.blobs_about(image_id)]
            await self._free([*left, record.manifest] if record.manifest else left)
            await self.point({})  # an index without this image means another one
        self._empty_trash()
        return [diff_id for diff_id in record.layers if diff_id in gone]

    async def bring_back(self, image_ids: Iterable[str], references: Mapping[str, Target]) -> None:
        """Show hidden images again, and let `references` point to their targets. The caller holds the images, and the
        blobs of their indexes. Raises OSError."""
        async with self.change:
            for image_id in image_ids:
                record = self.images.get(image_id)
                if record is not None and record.hidden:
                    shown = replace(record, hidden=False)
                    await asyncio.to_thread(records.write_image, self.root, shown)
                    self.images[image_id] = shown
            indexes = {target.index for target in references.values() if target.index}
            if indexes:
                self.indexes.take(await asyncio.to_thread(read_kept, self.root, indexes, ()))
            await self.point(references)

    async def settle(self) -> None:
        """Wait for the removals in the background."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    # --- garbage collection

    def _reached_by(self, found: Iterable[ImageRecord]) -> Reachable:
        found = list(found)
        return Reachable.of(
            (diff_id for record in found for diff_id in record.layers),
            (digest for record in found for digest in (record.id, record.manifest) if digest),
        )

    def _of_images(self) -> Reachable:
        return self._reached_by(self.shown())

    def _of_holds(self) -> Reachable:
        """Hidden images too: they exist for holds, which after `open` come back one by one."""
        held = self._reached_by(
            record for record in self.images.values() if record.hidden or self._holds.get(record.id)
        )
        return Reachable.of(held.layers, (*held.blobs, *self._held_blobs))

    def _of_jobs(self) -> Reachable:
        """A running job may rely on any layer."""
        return Reachable.of(self.layers if self._jobs else ())

    async def _collect(self) -> set[str]:
        """Move the layers that no root reaches into the trash, with their blobs; the lock is held. Returns them."""
        reachable = self.roots.reachable()
        gone = {diff_id: layer for diff_id, layer in self.layers.items() if diff_id not in reachable.layers}
        for diff_id in gone:
            del self.layers[diff_id]
        self._unflushed.difference_update(gone)  # of a build that was cancelled, or whose disk has failed
        if gone:
            kept = reachable.blobs | self._layer_blobs()
            blobs = {layer.blob.digest for layer in gone.values() if layer.blob}
            paths = [self.root.layers / hex_of(diff_id) for diff_id in gone]
            paths += [self._blob(digest) for digest in blobs - kept]
            await asyncio.to_thread(self._drop, list(gone), paths)
            self._empty_trash()
        return set(gone)

    async def _free(self, digests: Iterable[str]) -> None:
        """Move those of these blobs that no root reaches into the trash; the lock is held."""
        if not (candidates := set(digests)):
            return
        gone = candidates - self.roots.reachable().blobs - self._layer_blobs()
        self.indexes.let_go(gone)
        await asyncio.to_thread(self._trash.move, [self._blob(digest) for digest in gone])

    def _drop(self, diff_ids: Iterable[str], paths: Iterable[Path]) -> None:
        for diff_id in diff_ids:
            self.folders.unmount(diff_id)
        self._trash.move(paths)

    def _trash_other_blobs(self, kept: frozenset[str]) -> None:
        names = {hex_of(digest) for digest in kept}
        self._trash.move([path for path in self.root.blobs.iterdir() if path.name not in names])

    def blob_digests(self) -> frozenset[str]:
        """The blobs that are kept: of layers, and what the roots name."""
        return self._layer_blobs() | self.roots.reachable().blobs

    def are_exact(self, manifests: Iterable[str]) -> bool:
        """Whether manifests and all that they name are kept as they are, not only the same layers otherwise packed."""
        kept = self.blob_digests()
        found = ((digest, self.indexes.manifests.get(digest)) for digest in manifests)
        return all(known is not None and kept.issuperset((digest, *known.blobs())) for digest, known in found)

    def _layer_blobs(self) -> frozenset[str]:
        return frozenset(layer.blob.digest for layer in self.layers.values() if layer.blob)

    def _blob(self, digest: str) -> Path:
        return self.root.blobs / hex_of(digest)

    def _empty_trash(self) -> None:
        self._in_background(self._trash.empty(), "empty the trash")

    def _in_background(self, coroutine: Any, name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _flush_layer(folder: Path) -> None:
    flush_few(folder)
    fsync_dir(folder.parent)
