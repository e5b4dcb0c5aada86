"""The engine's side of `docker load` and `docker save`: what an archive's images become, and what goes into one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmagent.errors import BadRequest
from vmagent.helpers.pool import WorkerPool, run_with_input, run_with_output
from vmagent.images.layer import hex_of
from vmagent.images.platforms import Platform
from vmagent.images.records import ImageRecord, Target
from vmagent.images.reference import Reference
from vmagent.images.selection import selected
from vmagent.images.store import Store

MAX_WAITING = 1000  # progress lines queued for a slow client; further ones are dropped

Progress = dict[str, Any]
Item = dict[str, Any]  # of saving.save


async def load(
    store: Store, chunks: AsyncIterator[bytes], *, quiet: bool, platform: Platform | None
) -> AsyncGenerator[Progress, None]:
    """Take an archive's images. Raises EngineError."""
    events: asyncio.Queue[Progress | None] = asyncio.Queue()

    def on_event(event: dict[str, Any]) -> None:
        if not quiet and events.qsize() < MAX_WAITING:
            detail = {"current": event["current"], "total": event["total"]}
            events.put_nowait({"status": "Loading layer", "progressDetail": detail, "id": hex_of(event["layer"])[:12]})

    async with store.ingest() as folder:
        job = {
            "op": "load",
            "ingest": str(folder),
            "data_root": str(store.root.path),
            "kind": str(store.kind),
            "platform": str(platform) if platform is not None else "",
        }
        work = asyncio.create_task(run_with_input(store.pool, job, chunks, on_event), name="load an image")
        work.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            done = await work
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        units = _units(done["images"])
        made = [
            ImageRecord(id=image["id"], layers=tuple(image["layers"]), manifest=image["manifest"] or None)
            for image in done["images"]
        ]
        names: dict[str, Target] = {}
        said: list[str] = []
        for unit in units:
            said += _said(store, unit, names)
            names.update(dict.fromkeys(unit.references, Target(unit.image_ids[0], unit.index)))
        await store.publish(folder, made, names)
    for unit in units:
        for name in [Reference.parse(key).familiar for key in unit.references] or unit.image_ids:
            store.emit("load", unit.image_ids[0], name)
    for text in said:
        yield {"stream": text}


@dataclass(frozen=True, slots=True)
class _Unit:
    """What one entry of an archive has brought: an image, or the images of an index."""

    image_ids: list[str]
    references: list[str]
    index: str


def _units(images: Sequence[Mapping[str, Any]]) -> list[_Unit]:
    units: list[_Unit] = []
    for image in images:
        known = units[-1] if units else None
        # An archive lists an index once for each of its names.
        if known and image["index"] and (known.index, known.references) == (image["index"], image["references"]):
            known.image_ids.append(image["id"])
        else:
            units.append(_Unit([image["id"]], image["references"], image["index"]))
    return units


def _said(store: Store, unit: _Unit, names: Mapping[str, Target]) -> Iterator[str]:
    """Docker's lines; `names` are those that the archive has had before."""
    for key in unit.references:
        familiar = Reference.parse(key).familiar
        pointer = store.references.get(key)
        old = names.get(key) or (Target(pointer.id, pointer.index) if pointer else None)
        if old is not None and (old.index != unit.index or not (unit.index or old.image_id in unit.image_ids)):
            yield (
                f"The image {familiar} already exists, renaming the old one with ID {old.image_id} to empty string\n"
            )
        yield f"Loaded image: {familiar}\n"
    if not unit.references:
        for image_id in unit.image_ids:
            yield f"Loaded image ID: {image_id}\n"


def items_of(store: Store, refs: Sequence[str], platforms: Sequence[Platform]) -> list[Item]:
    """What `docker save` of these references includes. Raises NotFound."""
    names: dict[Target, list[str]] = {}
    called: dict[Target, str] = {}
    for ref in refs:
        for target, key in _meant(store, ref):
            listed = names.setdefault(target, [])
            called.setdefault(target, ref)
            if key is not None and key not in listed:
                listed.append(key)
    return [_item(store, called[target], target, keys, platforms) for target, keys in names.items()]


class Archive:
    """An archive that can be written: all that it includes is held."""

    def __init__(self, pool: WorkerPool, job: dict[str, Any]) -> None:
        self._pool, self._job = pool, job

    async def write(self, fd: int, *, chunked: bool) -> bool:
        """Have a worker write it to `fd`, with `chunked` as the chunks of a reply's body but the last one.

        False: the reader has gone. Raises EngineError; what was written is incomplete then.
        """
        done = await self._pool.run({**self._job, "chunked": chunked}, [fd])
        return bool(done["is_whole"])

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Its bytes. Raises EngineError behind them, if they are incomplete."""
        job = {**self._job, "chunked": False}
        async with contextlib.aclosing(run_with_output(self._pool, job)) as chunks:
            async for chunk in chunks:
                yield chunk


@contextlib.asynccontextmanager
async def archive(store: Store, items: Sequence[Item]) -> AsyncIterator[Archive]:
    """A context manager that provides the archive of these items. Raises NotFound."""
    with contextlib.ExitStack() as stack:
        for item in items:
            for image in item["images"]:
                stack.callback(store.hold(image["id"]).release)
            stack.callback(store.hold_blobs(store.indexes.parts(item["index"], item["manifests"])).release)
        layers = {layer for item in items for image in item["images"] for layer in image["layers"]}
        async with store.uses.using(layers):
            yield Archive(store.pool, {"op": "save", "data_root": str(store.root.path), "items": [*items]})


def plain_item(store: Store, image_ids: Sequence[str], names: Sequence[str], *, is_list: bool = False) -> Item:
    """Images under these names (keys of references), with `is_list` as the platforms of a new index."""
    images = [{"id": image_id, "layers": store.image(image_id).layers} for image_id in image_ids]
    return {"names": [*names], "images": images, "index": "", "manifests": [], "is_list": is_list}


def _item(store: Store, ref: str, target: Target, names: Sequence[str], platforms: Sequence[Platform]) -> Item:
    chosen = [selected(store, ref, target, platform) for platform in platforms]
    if len(chosen) == 1 or not target.index:
        image_id = chosen[0].image_id if chosen else target.image_id
        return plain_item(store, [image_id], names)
    wanted = {one.image_id for one in chosen}
    present = [one for one in store.indexes.present(target.index) if not chosen or one[1] in wanted]
    present.sort(key=lambda one: one[1] != target.image_id)  # the image that the name means is first
    if not store.are_exact(entry.digest for entry, _ in present):
        return plain_item(store, [image_id for _, image_id in present], names, is_list=True)
    index = store.indexes.known[target.index]
    kept = [entry.digest for entry, _ in present]
    for entry, _ in present:
        kept += [about.digest for about in index.attestations(entry.digest) if store.indexes.is_here(index, about)]
    images = [
        {"id": image_id, "layers": store.images[image_id].layers, "manifest": entry.digest}
        for entry, image_id in present
    ]
    return {"names": [*names], "images": images, "index": target.index, "manifests": kept}


def _meant(store: Store, ref: str) -> Sequence[tuple[Target, str | None]]:
    """What a `save` of `ref` includes, each with the key of its name."""
    with contextlib.suppress(BadRequest):
        reference = Reference.parse(ref)
        if not reference.tag and not reference.digest:
            own = [
                (Target(pointer.id, pointer.index), key)
                for key, pointer in store.references.items()
                if Reference.parse(key).name == reference.name and Reference.parse(key).tag
            ]
            if own:
                return own
    _, key = store.find(ref)
    return [(store.target(ref), key if key and Reference.parse(key).tag else None)]
