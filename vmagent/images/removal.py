"""`rmi` and prune: first the names, then the image, then its unused layers; in docker's order and words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vmagent.errors import Conflict
from vmagent.images import downloads, views
from vmagent.images.filters import PRUNE_KEYS, Filters, Wanted
from vmagent.images.layer import hex_of
from vmagent.images.reference import Reference
from vmagent.images.store import Store


@dataclass(frozen=True, slots=True)
class ImageUser:
    """A container made of an image."""

    image_id: str
    container_id: str
    is_running: bool


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
    """Untag by name, delete with the last name; by id, untag all and delete. Untagged come before Deleted.

    Raises NotFound, Conflict (in use, or named in several repositories).
    """
    image_id, key = store.find(ref)
    using = [user for user in users() if user.image_id == image_id]
    names = [name for name, _ in store.references_of(image_id)]
    if key is None:
        if not _is_one_name(names) and not force:
            raise Conflict(
                f"conflict: unable to delete {_short(image_id)} (must be forced) - "
                "image is referenced in multiple repositories"
            )
        _refuse_if_used(image_id, using, force=force)
        return await _untag(store, image_id, names) + await _delete(store, image_id)
    going = _with_digests(key, names)
    if going != names and set(going) != set(names):
        return await _untag(store, image_id, going)
    if using and not force:
        raise Conflict(
            f'conflict: unable to remove repository reference "{ref}" (must force) - '
            f"container {_short(using[0].container_id)} is using its referenced image {_short(image_id)}"
        )
    untagged = await _untag(store, image_id, going)
    if any(user.is_running for user in using):
        return untagged  # the image stays, without a name, while the container runs
    return untagged + await _delete(store, image_id)


def _is_one_name(names: Sequence[str]) -> bool:
    """Whether there is at most one tag, with digests of its repository only."""
    parsed = [Reference.parse(name) for name in names]
    tags = [one for one in parsed if not one.digest]
    return len(tags) <= 1 and len({one.name for one in parsed}) <= 1


def _with_digests(key: str, names: Sequence[str]) -> list[str]:
    """The names that go with `key`: a repository's digests go with its last tag."""
    gone = Reference.parse(key)
    own = [Reference.parse(name) for name in names if Reference.parse(name).name == gone.name]
    tags = [one for one in own if not one.digest and one.key != key]
    if gone.digest is None and not tags:
        return [key] + [one.key for one in own if one.digest]
    return [key]


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
    for record in store.shown():
        references = store.references_of(record.id)
        if record.id in in_use or store.holders(record.id):
            continue
        if (wanted.dangling is None or wanted.dangling) and references:
            continue
        if not wanted.takes(store.configs[record.id], references):
            continue
        deleted += await _untag(store, record.id, [name for name, _ in references])
        deleted += await _delete(store, record.id)
    freed = await asyncio.to_thread(downloads.sweep, store.root.downloads)
    return {"ImagesDeleted": deleted or None, "SpaceReclaimed": max(0, before - store.disk_usage()) + freed}
