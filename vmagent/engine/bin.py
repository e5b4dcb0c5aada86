"""The bin: what was deleted so that it can be brought back, for a day. docs/decisions/0095

Whoever deletes something opens an entry (`taking`) and moves the content in.
`vmagent.engine.restoring` brings content back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace

from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.model import now_ns, rfc3339
from vmagent.engine.background import Background
from vmagent.engine.binstore import BinStore, Entry, Kind
from vmagent.engine.events import EventBus
from vmagent.engine.tidying import Tidying
from vmagent.errors import Conflict, EngineError, NotFound
from vmagent.images.holds import Hold
from vmagent.images.removal import Affected
from vmagent.images.store import Store
from vmagent.paths import DataRoot
from vmagent.tasks import to_its_end

KEPT_S = 24 * 3600
LOOK_S = 60.0  # how often it is looked for what is over


class Bin:
    """All entries of an open engine. Used on the loop only; the disk is accessed in disk threads."""

    def __init__(
        self, data_root: DataRoot, background: Background, tidying: Tidying, bus: EventBus, images: Store
    ) -> None:
        self.store = BinStore(data_root.bin, data_root.trash)
        self._background, self._tidying, self._bus, self._images = background, tidying, bus, images
        self._entries: dict[str, Entry] = {}
        self._begun: dict[str, Entry] = {}  # by subject: an earlier engine was killed before their content was moved
        self._holds: dict[str, list[Hold]] = {}  # by entry: of the images of containers, and of images
        self._sizes: dict[str, int] = {}
        self._counting = asyncio.Lock()  # one disk thread at most counts, and nothing is counted twice
        self._changing: set[str] = set()  # entries that are being brought back or deleted

    # --- opening

    async def open(self) -> None:
        """Load the entries. Raises OSError."""
        whole, begun = await self._background.on_disk(self.store.load)
        self._begun = {entry.subject: entry for entry in begun}
        for entry in whole:
            if entry.kind == "image" and not self._is_gone(entry):
                self._begun[entry.id] = entry  # another entry may be of the same image
            else:
                self._add(entry)

    async def after_open(self) -> None:
        """Drop entries without content, once it is known which deletions go on (`was_begun`), and what is over."""
        for entry in self._begun.values():
            await self._put_away(entry)
        self._begun.clear()
        self._background.spawn(self._watch(), "bin")

    def was_begun(self, subject: str) -> bool:
        """Whether an earlier engine was about to move this into the bin."""
        return subject in self._begun

    def close(self) -> None:
        """Undo `open`."""
        self._entries.clear()
        self._holds.clear()

    async def _watch(self) -> None:
        while True:
            limit_ns = now_ns() - KEPT_S * 1_000_000_000
            for entry in [entry for entry in self._entries.values() if entry.at_ns <= limit_ns]:
                with suppress(EngineError):  # it is being brought back
                    await self._delete(entry)
            await asyncio.sleep(LOOK_S)

    # --- for those who delete

    @asynccontextmanager
    async def taking(
        self,
        kind: Kind,
        subject: str,
        name: str,
        *,
        image: str = "",
        image_id: str = "",
        is_anonymous: bool = False,
        affected: Affected | None = None,
    ) -> AsyncIterator[Entry]:
        """An entry, on disk already, for the block to move content into; of an image, `affected`, which the block
        removes. What is gone at the end can be brought back; if nothing is, the entry is dropped. Raises OSError."""
        if (left := self._begun.pop(subject, None)) is not None:
            await self._put_away(left)
        entry = Entry(
            id=secrets.token_hex(6), kind=kind, subject=subject, name=name, at_ns=now_ns(), image=image,
            image_id=image_id, is_anonymous=is_anonymous,
        )  # fmt: skip
        if affected is not None:
            names = {key: (target.image_id, target.index) for key, target in affected.names.items()}
            entry = replace(entry, names=names, images=affected.images, blobs=affected.blobs)
        await self._background.on_disk(self.store.begin, entry)
        self._hold(entry)
        try:
            yield entry
        finally:
            # Also for a cancelled request: what was moved in must not be lost sight of.
            await asyncio.shield(self._background.spawn(self._settle(entry), f"bin entry {entry.id}"))

    async def _settle(self, entry: Entry) -> None:
        is_gone = self._is_gone if entry.kind == "image" else None
        if is_gone(entry) if is_gone else await self._background.on_disk(self.store.has_content, entry):
            self._add(entry)
            self._publish("add", entry)
        else:
            self._let_go(entry)
            await self._put_away(entry)

    def _is_gone(self, entry: Entry) -> bool:
        """Whether an image's deletion has begun: its names go first, all at once."""
        if not entry.names:
            return entry.subject not in {record.id for record in self._images.shown()}
        present = self._images.references
        return any(key not in present or present[key].id != image for key, (image, _) in entry.names.items())

    def _add(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        self._hold(entry)

    def _hold(self, entry: Entry) -> None:
        """Keep the images that it needs."""
        if entry.id in self._holds:
            return
        holds = self._holds[entry.id] = []
        for image_id in filter(None, (entry.image_id, *entry.images)):
            with suppress(EngineError):  # the image is gone; the restore will say so
                holds.append(self._images.hold(image_id))
        if entry.blobs:
            holds.append(self._images.hold_blobs(entry.blobs))

    def _let_go(self, entry: Entry) -> None:
        for hold in self._holds.pop(entry.id, ()):
            hold.release()

    # --- the verbs

    def entries(self, kind: Kind | None = None) -> list[Entry]:
        """The newest first."""
        found = [entry for entry in self._entries.values() if kind in (None, entry.kind)]
        return sorted(found, key=lambda entry: entry.at_ns, reverse=True)

    def find(self, ref: str) -> Entry:
        """By its id, or the newest of that name, volume, or id of a container or image (4 digits of it
        at least). Raises NotFound."""
        if (entry := self._entries.get(ref)) is not None:
            return entry
        for entry in self.entries():
            if ref in (entry.name, entry.subject):
                return entry
            if entry.kind != "volume" and len(ref) >= 4 and entry.subject.removeprefix("sha256:").startswith(ref):
                return entry
        raise NotFound(f"nothing deleted is known as {ref}: it was never there, was brought back, or is gone for good")

    async def shown(self) -> list[JsonObject]:
        """GET /cove/v1/bin."""
        found = []
        for entry in self.entries():
            size = await self._size(entry)
            volumes = await self._background.on_disk(self.store.volumes_in, entry)
            if entry.id not in self._entries:
                continue  # it was brought back or deleted meanwhile
            found.append(
                {
                    "id": entry.id,
                    "kind": entry.kind,
                    "name": entry.name,
                    "subject": entry.subject,
                    "image": entry.image,
                    "volumes": [*volumes] if entry.kind == "container" else [],
                    "size_bytes": size,
                    "deleted": rfc3339(entry.at_ns),
                    "expires": rfc3339(entry.at_ns + KEPT_S * 1_000_000_000),
                }
            )
        return found

    async def delete(self, entry: Entry) -> int:
        """Delete it for good; returns the bytes on disk that become free. Raises Conflict, EngineError."""
        others = [other for other in self._entries.values() if other is not entry]
        size = self._image_size(entry, others) if entry.kind == "image" else await self._size(entry)
        await self._delete(entry)
        return size

    async def _delete(self, entry: Entry) -> None:
        """Raises Conflict, EngineError."""

        async def delete() -> None:
            await self._put_away(entry)
            self._forget(entry, "delete")

        with self.changing(entry):
            try:
                await to_its_end(delete(), f"delete {entry.name} from the bin")
            except OSError as e:
                raise EngineError(f"{entry.name} was not deleted from the bin: {e.strerror}") from e

    async def empty(self, chosen: Callable[[Entry], bool] = lambda _: True) -> tuple[list[str], int]:
        """Delete all that are `chosen` for good; returns their ids and bytes. What is being brought back stays."""
        gone, reclaimed = [], 0
        for entry in self.entries():
            if chosen(entry):
                with suppress(EngineError):
                    reclaimed += await self.delete(entry)
                    gone.append(entry.id)
        return gone, reclaimed

    # --- for the restore

    @contextmanager
    def changing(self, entry: Entry) -> Iterator[None]:
        """Keep others from the entry for the block. Raises Conflict if another has it, NotFound if it is gone."""
        if entry.id in self._changing:
            raise Conflict(f"{entry.name} is being brought back or deleted already")
        if entry.id not in self._entries:
            raise NotFound(f"{entry.name} is not in the bin any more")
        self._changing.add(entry.id)
        try:
            yield
        finally:
            self._changing.discard(entry.id)

    async def brought_back(self, entry: Entry) -> None:
        """Its content is where it was before: the entry is over. What cannot be removed now is by the next engine."""
        self._forget(entry, "restore")
        with suppress(OSError):
            await self._put_away(entry)

    def _forget(self, entry: Entry, action: str) -> None:
        """It is in the bin no more, by `action`."""
        self._entries.pop(entry.id, None)
        self._sizes.pop(entry.id, None)
        self._let_go(entry)
        self._publish(action, entry)

    # --- internals

    def _image_size(self, entry: Entry, others: Iterable[Entry]) -> int:
        """Bytes of the layers that are there for this entry, and not for `others`, an image, or a container."""
        mine: Counter[str] = Counter()  # the bin's holds, by image
        for each in self._entries.values():
            mine.update(filter(None, (each.image_id, *each.images)))
        theirs = {image_id for other in others for image_id in (other.image_id, *other.images)}
        kept: set[str] = set()
        for record in self._images.images.values():
            if not record.hidden or self._images.holders(record.id) > mine[record.id] or record.id in theirs:
                kept.update(record.layers)
        held = [self._images.images[image_id] for image_id in entry.images if image_id in self._images.images]
        own = {diff_id for record in held for diff_id in record.layers} - kept
        return sum(self._images.layers[diff_id].size for diff_id in own if diff_id in self._images.layers)

    async def _size(self, entry: Entry) -> int:
        if entry.kind == "image":  # with newer entries it shares what these count
            return self._image_size(entry, [other for other in self._entries.values() if other.at_ns > entry.at_ns])
        async with self._counting:
            if (size := self._sizes.get(entry.id)) is None:
                size = await self._background.on_disk(self.store.size_bytes, entry)
                if entry.id in self._entries:
                    self._sizes[entry.id] = size
        return size

    async def _put_away(self, entry: Entry) -> None:
        self._tidying.remove_later(await self._background.on_disk(self.store.put_away, entry))

    def _publish(self, action: str, entry: Entry) -> None:
        self._bus.publish("bin", action, entry.id, {"kind": entry.kind, "name": entry.name, "subject": entry.subject})
