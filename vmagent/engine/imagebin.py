"""Images in the bin: removing them so that they can be brought back, and pruning. docs/decisions/0095"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmagent.engine.bin import Bin
from vmagent.engine.binstore import Entry
from vmagent.errors import Conflict, NameTaken
from vmagent.images import removal
from vmagent.images.filters import PRUNE_KEYS, Filters, Wanted
from vmagent.images.imagestore import ImageStore, Shapes
from vmagent.images.records import Target
from vmagent.images.reference import Reference
from vmagent.images.store import Store
from vmagent.tasks import to_its_end


class ImageBin:
    """Used on the loop only."""

    def __init__(self, bin: Bin, images: ImageStore, store: Store) -> None:
        self._bin, self._images, self._store = bin, images, store

    async def remove(self, ref: str, *, force: bool) -> Shapes:
        """As ImageStore.remove, into the bin. Raises NotFound, Conflict, OSError."""
        done: Shapes = []

        async def remove() -> None:
            affected = removal.affected(self._store, ref)
            names = [Reference.parse(key).familiar for key in affected.names]
            name = names[0] if names else affected.image_id.removeprefix("sha256:")[:12]
            async with self._bin.taking("image", affected.image_id, name, affected=affected):
                done.extend(await self._images.remove(ref, force=force))

        await to_its_end(remove(), f"put {ref} into the bin")  # what has begun is told by the entry
        return done

    async def prune(self, filters: Filters) -> dict[str, Any]:
        """As ImageStore.prune; without filters, the bin's images without names go too, and with `dangling=false` all.

        Raises Conflict, BadRequest.
        """
        wanted = Wanted.parse(filters, PRUNE_KEYS, self._store.created_of)
        freed, gone = 0, set[str]()
        if not set(filters) - {"dangling"}:
            is_all = wanted.dangling is False
            before, present = self._store.disk_usage(), set(self._store.images)
            await self._bin.empty(lambda entry: entry.kind == "image" and (is_all or not entry.names))
            await self._store.settle()
            freed, gone = max(0, before - self._store.disk_usage()), present - set(self._store.images)
        told = await self._images.prune(filters)
        deleted = [{"Deleted": image_id} for image_id in sorted(gone)] + (told["ImagesDeleted"] or [])
        return {"ImagesDeleted": deleted or None, "SpaceReclaimed": told["SpaceReclaimed"] + freed}


async def bring_back(store: Store, entry: Entry, name: str) -> str:
    """Give an entry's images their names again, or the one `name`; returns its name. The entry's holds keep what is
    needed meanwhile. Raises BadRequest, Conflict if a name means another image now, OSError."""
    targets: Mapping[str, Target] = {key: Target(image, index) for key, (image, index) in entry.names.items()}
    if name:
        index = next((target.index for target in targets.values()), "")
        targets = {Reference.parse(name).with_default_tag().key: Target(entry.subject, index)}
    if entry.subject not in store.images:
        raise Conflict(f"image {entry.name} was not brought back: its layers are gone")
    for key, target in targets.items():
        present = store.references.get(key)
        if present is not None and present.id != target.image_id:
            raise NameTaken(
                f"image {entry.name} was not brought back: there is an image {Reference.parse(key).familiar} now; "
                "delete or rename that one, or choose another name"
            )
    await store.bring_back(entry.images, targets)
    for key, target in targets.items():
        store.emit("tag", target.image_id, Reference.parse(key).familiar)
    if not targets:
        store.emit("load", entry.subject, entry.subject)
    return name or entry.name
