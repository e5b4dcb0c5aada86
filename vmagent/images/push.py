"""The engine's side of a push: layers over several workers, then the manifest. Docker's progress lines in its order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmagent.errors import Conflict
from vmagent.images.indexes import Entry, ImageIndex
from vmagent.images.platforms import Platform
from vmagent.images.records import Target
from vmagent.images.reference import Reference
from vmagent.images.selection import selected
from vmagent.images.sending import Progress, Sender
from vmagent.images.store import Store

_MAX_WAITING = 1000


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one push sends: an image, or an index with everything that it lists."""

    image_ids: list[str]
    manifest: str | None  # of the only image, as it was pulled
    index: str = ""
    parts: list[str] = field(default_factory=list)  # manifests of the index, as they are kept
    instead: dict[str, Any] | None = None  # the index that can't be sent, where one image of it is


def _plan(store: Store, reference: Reference, target: Target, platform: Platform | None) -> _Plan:
    """Raises NotFound, Conflict in docker's words."""
    if platform is not None:
        one = selected(store, reference.familiar, target, platform)
        return _Plan([one.image_id], one.manifest.digest if one.manifest else None)
    if not target.index:
        return _Plan([target.image_id], store.images[target.image_id].manifest)
    index = store.indexes.known[target.index]
    present = store.indexes.present(target.index)
    parts = [entry.digest for entry in index.entries if store.indexes.is_here(index, entry)]
    if store.indexes.is_whole(target.index) and store.are_exact(parts):
        return _Plan([image_id for _, image_id in present], None, target.index, parts)
    host = store.indexes.chosen(target.index, Platform.host())
    if len(present) > 1 and host is None:
        raise Conflict("multiple matching manifests found but no specific platform requested")
    entry, image_id = host or present[0]
    return _Plan([image_id], entry.digest, instead=_instead(index, entry))


def _instead(index: ImageIndex, entry: Entry) -> dict[str, Any]:
    """What tells docker's client why the index was not sent: moby's api/types/auxprogress."""
    return {
        "manifestPushedInsteadOfIndex": True,
        "originalIndex": index.descriptor(),
        "selectedManifest": dict(entry.raw),
    }


class Push:
    """One push of one tag."""

    def __init__(
        self,
        store: Store,
        reference: Reference,
        target: Target,
        platform: Platform | None,
        auth: Mapping[str, Any] | None,
    ) -> None:
        """Raises NotFound, Conflict: the platform is not here, or it can't be told which one to send."""
        self._store = store
        self._reference = reference
        self._plan = _plan(store, reference, target, platform)
        self._lines: asyncio.Queue[Progress | None] = asyncio.Queue()
        self._sender = Sender(store, reference, auth, self._say)

    async def run(self) -> AsyncGenerator[Progress, None]:
        """Progress lines. Raises EngineError."""
        reference, plan = self._reference, self._plan
        layers = list(dict.fromkeys(layer for one in plan.image_ids for layer in self._store.images[one].layers))
        with contextlib.ExitStack() as holds:
            for image_id in plan.image_ids:
                holds.callback(self._store.hold(image_id).release)
            holds.callback(self._store.hold_blobs(self._store.indexes.parts(plan.index, plan.parts)).release)
            async with self._store.ingest() as folder:
                working = asyncio.create_task(self._send(folder, layers), name=f"push {reference.familiar}")
                working.add_done_callback(lambda _: self._lines.put_nowait(None))
                try:
                    while (line := await self._lines.get()) is not None:
                        yield line
                    done = await working
                finally:
                    working.cancel()
                    await asyncio.wait([working])
        tag, digest, size = reference.tag, done["digest"], done["size"]
        async with self._store.change:
            pushed = Reference(reference.domain, reference.path, digest=digest)
            record = self._store.images.get(plan.image_ids[0])
            if record is not None and not record.hidden:  # a removed one goes now, and a name would keep it
                await self._store.point({pushed.key: Target(plan.image_ids[0], plan.index)})
        yield {"status": f"{tag}: digest: {digest} size: {size}"}
        if plan.instead is not None:
            yield {"progressDetail": {}, "aux": plan.instead}
        yield {"progressDetail": {}, "aux": {"Tag": tag, "Digest": digest, "Size": size}}
        self._store.emit("push", reference.familiar, reference.familiar_name)

    async def _send(self, folder: Path, layers: list[str]) -> dict[str, Any]:
        blobs = await self._sender.send(folder, layers)
        if self._plan.index:
            job = self._sender.job("push_index", folder)
            return await self._store.pool.run({**job, "index": self._plan.index, "manifests": self._plan.parts})
        [image_id] = self._plan.image_ids
        job = {
            **self._sender.job("push_manifest", folder),
            "id": image_id,
            "manifest": self._plan.manifest,
            "blobs": [blobs[diff_id] for diff_id in self._store.images[image_id].layers],
        }
        return await self._store.pool.run(job)

    def _say(self, line: Progress) -> None:
        if line["status"] != "Pushing" or self._lines.qsize() < _MAX_WAITING:
            self._lines.put_nowait(line)
