"""`engine.images`: the image verbs, with what only the engine knows: which containers use an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

from vmagent.containers.model import JsonObject
from vmagent.engine.events import EventBus
from vmagent.engine.registry import Registry
from vmagent.images.imagestore import ImageStore
from vmagent.images.removal import ImageUser

Filters = Mapping[str, Sequence[str]]


class Images:
    """Thin glue on the image store."""

    def __init__(self, registry: Registry, bus: EventBus, store: ImageStore) -> None:
        self._registry, self._bus, self._store = registry, bus, store

    def pull(self, from_image: str, *, tag: str, platform: str, auth: JsonObject | None) -> AsyncIterator[JsonObject]:
        return self._store.pull(from_image, tag, platform, auth)

    def push(self, ref: str, *, tag: str, auth: JsonObject | None) -> AsyncIterator[JsonObject]:
        return self._store.push(ref, tag, auth)

    def load(self, chunks: AsyncIterator[bytes], *, quiet: bool) -> AsyncIterator[JsonObject]:
        return self._store.load(chunks, quiet)

    def import_(
        self, chunks: AsyncIterator[bytes], *, repo: str, tag: str, changes: Sequence[str], message: str, platform: str
    ) -> AsyncIterator[JsonObject]:
        return self._store.import_(chunks, repo, tag, changes, message, platform or None)

    def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        return self._store.save(refs)

    async def list(self, *, all: bool, filters: Filters) -> list[JsonObject]:
        """ImageList. There are no intermediate images that `all` would add."""
        del all
        users = Counter(live.record.image_id for live in self._registry)
        return await self._store.list(filters, users=users)

    async def inspect(self, ref: str) -> JsonObject:
        return await self._store.inspect(ref)

    async def history(self, ref: str) -> Sequence[JsonObject]:
        return await self._store.history(ref)

    async def tag(self, ref: str, *, repo: str, tag: str) -> None:
        await self._store.tag(ref, repo, tag)

    async def remove(self, ref: str, *, force: bool, noprune: bool) -> Sequence[JsonObject]:
        return await self._store.remove(ref, force=force, noprune=noprune, users=self._users)

    def _users(self, image_id: str) -> Sequence[ImageUser]:
        return [ImageUser(record.id, record.state.running) for record in self._registry.users_of_image(image_id)]

    async def prune(self, filters: Filters) -> JsonObject:
        used = {live.record.image_id for live in self._registry}
        answer = await self._store.prune(filters, in_use=used)
        self._bus.publish("image", "prune", "", {"reclaimed": str(answer["SpaceReclaimed"])})
        return answer
