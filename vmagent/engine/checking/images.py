"""The image store: blobs and layers have the content that names them, records have what they name, nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

from vmagent.engine.checking.finding import Finding, Found, Progress
from vmagent.helpers.pool import WorkerPool
from vmagent.images import records, repairs
from vmagent.images.faults import WORKER, engine_error
from vmagent.images.layer import Layer, hex_of
from vmagent.images.records import ImageRecord, References
from vmagent.images.store import Store
from vmagent.images.verifying import MISSING, NO_RECORD

PART = "images"
_NICE = 10
_PULL_AGAIN = "remove the image and pull it again"


class ImagesCheck:
    """Used on the event loop. While it runs, nothing is collected from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def findings(self) -> Found:
        """Raises OSError, EngineError."""
        store = self._store
        async with store.ingest() as folder:  # a job: what it relies on stays
            layers = dict(store.layers)
            bad_blobs: dict[str, str] = {}
            async with aclosing(self._verified(folder, layers)) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        yield event
                    elif "blob" in event:
                        bad_blobs[f"sha256:{event['blob']}"] = event["fault"]
                    elif event["layer"] in store.layers:
                        yield self._layer(layers[event["layer"]], event, folder)
            for finding in self._blobs(bad_blobs):
                yield finding
            async with store.change:
                blobs = store.roots.reachable().blobs  # on the loop: the roots of others change there
                found = await asyncio.to_thread(self._strays, blobs)
                found += await asyncio.to_thread(self._records)
            for finding in found:
                yield finding

    async def _verified(
        self, folder: Path, layers: dict[str, Layer]
    ) -> AsyncGenerator[dict[str, Any] | Progress, None]:
        """The worker's events that tell of a fault, and its progress."""
        blobs = {hex_of(layer.blob.digest) for layer in layers.values() if layer.blob is not None}
        blobs |= {hex_of(digest) for digest in self._store.roots.reachable().blobs}
        for record in self._store.images.values():
            blobs |= {hex_of(digest) for digest in (record.id, record.manifest) if digest}
        job = {
            "op": "verify",
            "data_root": str(self._store.root.path),
            "ingest": str(folder),
            "blobs": sorted(blobs),
            "layers": [layer.to_json() for layer in layers.values()],
        }
        events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        pool = WorkerPool(WORKER, engine_error, 1, nice=_NICE)
        working = asyncio.create_task(pool.run(job, on_event=events.put_nowait), name="verify images")
        working.add_done_callback(lambda _: events.put_nowait(None))
        done, total = 0, len(blobs) + len(layers)
        try:
            while (event := await events.get()) is not None:
                done += 1
                yield Progress(PART, done, total)
                if event["fault"]:
                    yield event
            await working
        finally:
            working.cancel()
            await asyncio.wait([working])
            await pool.close()

    # --- layers

    def _layer(self, layer: Layer, event: dict[str, Any], folder: Path) -> Finding:
        name = f"layer {hex_of(layer.diff_id)[:12]}"
        if event["fault"] == NO_RECORD:
            remedy, mend = "its record is written anew", partial(repairs.write_layer, self._store, layer)
            return Finding(PART, name, "its record is missing or damaged", remedy, mend)
        fault = "its files are missing" if event["fault"] == MISSING else "its files are not what they were"
        if not event["is_rebuilt"]:
            remedy = "build the image again" if layer.blob is None else _PULL_AGAIN
            return Finding(PART, name, fault, remedy)
        rebuilt = folder / "layers" / hex_of(layer.diff_id)
        mend = partial(repairs.replace_layer, self._store, layer, rebuilt)
        return Finding(PART, name, fault, "it is unpacked again", mend)

    # --- blobs

    def _blobs(self, bad: dict[str, str]) -> Iterable[Finding]:
        """What hangs on blobs that are missing or damaged, as far as it is still there."""
        store = self._store
        listed = {entry.digest for index in store.indexes.known.values() for entry in index.entries}
        for layer in list(store.layers.values()):
            if layer.blob is not None and layer.blob.digest in bad:
                fault = f"the blob that it is pushed and saved from is {bad[layer.blob.digest]}"
                yield Finding(PART, f"layer {hex_of(layer.diff_id)[:12]}", fault, _PULL_AGAIN)
        for record in list(store.images.values()):
            if record.id in bad:
                fault = f"its configuration is {bad[record.id]} on the disk"
                yield Finding(PART, f"image {self._name(record.id)}", fault, _PULL_AGAIN)
            if record.manifest in bad and record.manifest not in listed:
                yield Finding(
                    PART,
                    f"image {self._name(record.id)}",
                    f"the manifest that it was pulled with is {bad[record.manifest]}",
                    "it is forgotten: a push makes another one",
                    partial(repairs.write_image, store, record.id, forget_manifest=True),
                )

        for digest, index in list(store.indexes.known.items()):
            about = [
                entry.digest
                for entry in index.entries
                if entry.digest in bad and entry.digest in store.indexes.manifests
            ]
            for blob in [*([digest] if digest in bad else ()), *about]:
                names = ", ".join(key for key, pointer in store.references.items() if pointer.index == digest)
                fault = f"the blob {hex_of(blob)[:12]} of its index is {bad[blob]}"
                yield Finding(PART, f"image {names or hex_of(digest)[:12]}", fault, _PULL_AGAIN)

    def _name(self, image_id: str) -> str:
        names = [key for key, _ in self._store.references_of(image_id)]
        return ", ".join(names) or hex_of(image_id)[:12]

    # --- what belongs to nothing

    def _strays(self, reachable: Collection[str]) -> list[Finding]:
        """Files that no record names; the store's lock is held. Blocks."""
        store, root = self._store, self._store.root
        known = self._known(reachable)
        found = [
            self._stray("blob", path, "no image and no layer names it")
            for path in root.blobs.iterdir()
            if path.name not in known
        ]
        unread = self._unread_layers()
        for path in root.layers.iterdir():
            if f"sha256:{path.name}" in store.layers:
                continue
            if f"sha256:{path.name}" in unread:
                fault = (
                    f"the engine could not read its record when it started; {unread[f'sha256:{path.name}']} needs it"
                )
                found.append(Finding(PART, f"layer {path.name[:12]}", fault, _PULL_AGAIN))
            else:
                found.append(self._stray("layer", path, "its record can't be read, and no image names it"))
        incomplete = list(root.ingest.iterdir())
        jobs = store.jobs  # after the listing: a job that has ended since has removed its folder
        found += [
            self._stray("incomplete content", path, "no job is writing it")
            for path in incomplete
            if path.name not in jobs and path.exists()
        ]
        for folder in (root.images, root.layers, root.blobs):
            found += [
                self._stray("temporary file", path, "it was left by a crash")
                for path in folder.iterdir()
                if path.name.startswith(".") and path.name.endswith(".tmp")
            ]
        return found

    def _unread_layers(self) -> dict[str, str]:
        """By layer, an image on the disk that names it."""
        on_disk, _ = records.read_images(self._store.root)
        return {diff_id: f"image {hex_of(record.id)[:12]}" for record in on_disk for diff_id in record.layers}

    def _stray(self, kind: str, path: Path, fault: str) -> Finding:
        name = path.name if kind == "temporary file" else path.name[:12]
        return Finding(PART, f"{kind} {name}", fault, "it is removed", partial(self._put_away, path))

    async def _put_away(self, path: Path) -> None:
        """Remove what nothing names, unless a job has taken it since it was found."""
        store = self._store
        async with store.change:
            if path.parent == store.root.blobs and path.name in self._known(store.roots.reachable().blobs):
                return
            if path.parent == store.root.layers and f"sha256:{path.name}" in store.layers:
                return
            if path.parent == store.root.ingest and path.name in store.jobs:
                return
            await store.put_away([path])

    def _known(self, reachable: Collection[str]) -> set[str]:
        """The names of blobs that must stay."""
        layers = list(self._store.layers.values())
        return {hex_of(digest) for digest in (*reachable, *(layer.blob.digest for layer in layers if layer.blob))}

    # --- records

    def _records(self) -> list[Finding]:
        """Images and names on the disk beside those that the engine knows; the store's lock is held. Blocks."""
        store, root = self._store, self._store.root
        found: list[Finding] = []
        on_disk, unreadable = records.read_images(root)
        for problem in unreadable:
            path = Path(problem.partition(": ")[0])
            image = store.images.get(f"sha256:{path.stem}")
            found.append(self._record(path, image))
        there = {record.id for record in on_disk}
        for record in on_disk:
            if record.id not in store.images and records.image_path(root, record.id).exists():
                fault = (
                    "the engine could not use it when it started: a layer or its configuration is missing or damaged"
                )
                found.append(Finding(PART, f"image {hex_of(record.id)[:12]}", fault, "pull it again"))
        for record in list(store.images.values()):
            path = records.image_path(root, record.id)
            if record.id not in there and not path.exists() and record.id in store.images:
                found.append(self._record(path, record))
        return found + self._names(there)

    def _names(self, there: Collection[str]) -> list[Finding]:
        """The names on the disk; `there`: the images that have a record there."""
        store, root = self._store, self._store.root
        try:
            named: References | None = records.read_references(root)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            named = None
        # Names of images that the engine could not use stay: a pull makes the image whole.
        kept = {key: pointer for key, pointer in (named or {}).items() if pointer.id in there}
        unusable = {key: kept[key] for key in kept.keys() - store.references.keys()}
        right = {**unusable, **store.references}
        if named == right:
            return []
        stale = sorted((named or {}).keys() - right.keys())
        words = f"{', '.join(stale)} name no image" if stale else "their file is not what the engine knows"
        return [
            Finding(
                PART,
                "names of images",
                words,
                "they are written anew",
                partial(repairs.write_references, store, unusable),
            )
        ]

    def _record(self, path: Path, record: ImageRecord | None) -> Finding:
        subject = f"image {path.stem[:12]}" if record is None else f"image {self._name(record.id)}"
        fault = "its record is missing or damaged"
        if record is None:
            return Finding(PART, subject, fault, "pull it again")
        return Finding(PART, subject, fault, "it is written anew", partial(repairs.write_image, self._store, record.id))
