"""`rmi` and prune: first the names, then the image, then its unused layers; in docker's order and words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmagent.errors import Conflict
from vmagent.images import downloads, views
from vmagent.images.filters import PRUNE_KEYS, Filters, Wanted
from vmagent.images.layer import hex_of
from vmagent.images.platforms import Platform
from vmagent.images.records import Pointer, Target
from vmagent.images.reference import Reference
from vmagent.images.selection import selected
from vmagent.images.store import Store


@dataclass(frozen=True, slots=True)
class ImageUser:
    """A container made of an image."""

    image_id: str
    container_id: str
    is_running: bool


@dataclass(frozen=True, slots=True)
class Affected:
    """What a removal takes away: names with what they point to, and the images that may go with them. `blobs`: of the
    indexes that the names point to."""

    image_id: str
    names: Mapping[str, Target]
    images: Sequence[str]
    blobs: Sequence[str]


Users = Callable[[], Iterable[ImageUser]]
Deleted = list[dict[str, str]]


def _short(full: str) -> str:
    return hex_of(full)[:12]


def _refuse_if_used(image_id: str, users: Sequence[ImageUser], *, force: bool) -> None:
    for user in users:
        if user.is_running:
            raise Conflict(
                f"conflict: unable to delete {_short(image_id)} (cannot be forced) - "
                f"image is being used by running container {_short(user.container_id)}"
            )
    if users and not force:
        raise Conflict(
            f"conflict: unable to delete {_short(image_id)} (must be forced) - "
            f"image is being used by stopped container {_short(users[0].container_id)}"
        )


async def remove(store: Store, ref: str, *, force: bool, users: Users) -> Deleted:
    """Untag by name, delete with the last name; by id, untag all and delete. Untagged come before Deleted. With an
    image go the other platforms of its names.

    Raises NotFound, Conflict (in use, or named in several repositories).
    """
    image_id, key = store.find(ref)
    family = _family(store, image_id)
    using = [user for user in users() if user.image_id in family]
    references = store.references_of(image_id)
    names = [name for name, _ in references]
    if key is None:
        if not _is_one_name(names) and not force:
            raise Conflict(
                f"conflict: unable to delete {_short(image_id)} (must be forced) - "
                "image is referenced in multiple repositories"
            )
        _refuse_if_used(image_id, using, force=force)
        return await _untag(store, image_id, names) + await _delete_all(store, family)
    going = _with_digests(key, references)
    if going != names and set(going) != set(names):
        before = store.beneath()
        return await _untag(store, image_id, going) + await _delete_all(store, _loose(store, before, users))
    if using and not force:
        raise Conflict(
            f'conflict: unable to remove repository reference "{ref}" (must force) - '
            f"container {_short(using[0].container_id)} is using its referenced image {_short(image_id)}"
        )
    untagged = await _untag(store, image_id, going)
    running = {user.image_id for user in using if user.is_running}
    # An image stays, without a name, while a container of it runs.
    return untagged + await _delete_all(store, [one for one in family if one not in running])


def affected(store: Store, ref: str) -> Affected:
    """What `remove` of `ref` would take away, unless it refuses. Raises NotFound."""
    image_id, key = store.find(ref)
    references = store.references_of(image_id)
    going = [name for name, _ in references] if key is None else _with_digests(key, references)
    pointers = {name: store.references[name] for name in going}
    indexes = dict.fromkeys(pointer.index for pointer in pointers.values() if pointer.index)
    further = [other for digest in indexes for _, other in store.indexes.present(digest)]
    return Affected(
        image_id,
        {name: Target(pointer.id, pointer.index) for name, pointer in pointers.items()},
        list(dict.fromkeys((*_family(store, image_id), *further))),
        list(dict.fromkeys(blob for digest in indexes for blob in store.indexes.blobs_of(digest))),
    )


async def remove_platforms(
    store: Store, ref: str, platforms: Sequence[Platform], *, force: bool, users: Users
) -> Deleted:
    """Remove the images of these platforms; with the last one that is here, the whole. Raises NotFound, Conflict."""
    target = store.target(ref)
    going = {selected(store, ref, target, platform).image_id for platform in platforms}
    if going.issuperset({image_id for _, image_id in store.indexes.present(target.index)} or {target.image_id}):
        return await remove(store, ref, force=force, users=users)
    for image_id in going:
        _refuse_if_used(image_id, [user for user in users() if user.image_id == image_id], force=force)
        if store.is_needed(image_id):
            raise Conflict(
                f"conflict: unable to delete {_short(image_id)} (cannot be forced) - "
                "image is referenced in multiple repositories"
            )
    return await _delete_all(store, sorted(going))


def _family(store: Store, image_id: str) -> list[str]:
    """The image, and the images that are only further platforms of its names."""
    beneath = store.beneath()
    indexes = {pointer.index for _, pointer in store.references_of(image_id) if pointer.index}
    elsewhere = {other for digest in set(store.indexes.known) - indexes for _, other in store.indexes.present(digest)}
    found = [other for digest in sorted(indexes) for _, other in store.indexes.present(digest)]
    others = [other for other in found if other in beneath and other not in elsewhere and other != image_id]
    return [image_id, *dict.fromkeys(others)]


def _loose(store: Store, before: set[str], users: Users) -> list[str]:
    """Those of the images that were only further platforms of names, which now are of none and which none uses."""
    used = {user.image_id for user in users()}
    left = before - store.beneath() - used - {pointer.id for pointer in store.references.values()}
    return [one for one in sorted(left) if one in store.images]


def _is_one_name(names: Sequence[str]) -> bool:
    """Whether there is at most one tag, with digests of its repository only."""
    parsed = [Reference.parse(name) for name in names]
    tags = [one for one in parsed if not one.digest]
    return len(tags) <= 1 and len({one.name for one in parsed}) <= 1


def _with_digests(key: str, references: Sequence[tuple[str, Pointer]]) -> list[str]:
    """The names that go with `key`: a repository's digests go with its last tag, an index's with the last tag of it."""
    gone = Reference.parse(key)
    if gone.digest is not None:
        return [key]
    index = next(pointer.index for name, pointer in references if name == key)
    own = [
        (one, pointer.index)
        for one, pointer in ((Reference.parse(name), pointer) for name, pointer in references)
        if one.name == gone.name and one.key != key
    ]
    tags = [other for one, other in own if not one.digest]
    digests = [(one.key, other) for one, other in own if one.digest]
    if not tags:
        return [key, *(name for name, _ in digests)]
    return [key, *(name for name, other in digests if index and other == index and index not in tags)]


async def _untag(store: Store, image_id: str, names: Sequence[str]) -> Deleted:
    async with store.change:
        names = [name for name in names if name in store.references]
        await store.point({}, away=names)
    untagged: Deleted = []
    for name in names:
        familiar = Reference.parse(name).familiar
        untagged.append({"Untagged": familiar})
        store.emit("untag", image_id, familiar)
    return untagged


async def _delete_all(store: Store, image_ids: Iterable[str]) -> Deleted:
    deleted: Deleted = []
    for image_id in image_ids:
        deleted += await _delete(store, image_id)
    return deleted


async def _delete(store: Store, image_id: str) -> Deleted:
    record = store.images.get(image_id)
    gone = await store.forget(image_id)
    if record is None or gone is None:  # another removal was faster
        return []
    store.emit("delete", image_id, image_id)
    # Docker names a deleted layer by its chain id: the stack that ends with it.
    chain = list(zip(record.layers, views.chain_ids(record.layers), strict=True))
    return [{"Deleted": image_id}] + [{"Deleted": chain_id} for diff_id, chain_id in reversed(chain) if diff_id in gone]


async def prune(store: Store, filters: Filters, users: Users) -> dict[str, Any]:
    """Remove images without a name, or with `dangling=false` all that have no `users`."""
    in_use = {user.image_id for user in users()}
    wanted = Wanted.parse(filters, PRUNE_KEYS, store.created_of)
    deleted: Deleted = []
    before = store.disk_usage()
    beneath = store.beneath()
    for record in store.shown():
        references = store.references_of(record.id)
        if record.id in beneath or record.id not in store.images:  # another removal was faster
            continue
        if (wanted.dangling is None or wanted.dangling) and references:
            continue
        if not wanted.takes(store.configs[record.id], references):
            continue
        family = _family(store, record.id)
        if any(one in in_use or store.holders(one) for one in family):
            continue
        deleted += await _untag(store, record.id, [name for name, _ in references])
        deleted += await _delete_all(store, family)
    freed = await asyncio.to_thread(downloads.sweep, store.root.downloads)
    return {"ImagesDeleted": deleted or None, "SpaceReclaimed": max(0, before - store.disk_usage()) + freed}
