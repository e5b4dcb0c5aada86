"""The engine's side of a pull: which layers are missing, which worker fetches which, and docker's progress lines.

Engine API facts, "Progress streams": Pulling from, per layer Pulling fs layer / Waiting / Downloading / Verifying
Checksum / Download complete / Extracting / Pull complete or Already exists, then Digest and Status, Status last.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from vmagent.errors import EngineError
from vmagent.images import downloads
from vmagent.images.layer import hex_of
from vmagent.images.records import ImageRecord, Pointer, Target
from vmagent.images.reference import Reference
from vmagent.images.store import Store

Progress = dict[str, Any]
_MAX_WAITING = 1000  # progress lines queued for a slow client; further ones are dropped, other lines never


class Pull:
    """One pull of one reference."""

    def __init__(self, store: Store, reference: Reference, platform: str, auth: Mapping[str, Any] | None) -> None:
        self._store = store
        self._reference = reference
        self._platform = platform
        self._auth = dict(auth or {})
        self._lines: asyncio.Queue[Progress | None] = asyncio.Queue()

    def _job(self, op: str, folder: Path) -> dict[str, Any]:
        reference = self._reference
        return {
            "op": op,
            "ingest": str(folder),
            "kind": str(self._store.kind),
            "domain": reference.domain,
            "path": reference.path,
            "tag": reference.tag,
            "digest": reference.digest,
            "hosts": self._store.hosts.to_json(),
            "auth": self._auth,
        }

    async def run(self) -> AsyncGenerator[Progress, None]:
        """Progress lines. Raises EngineError before the first one for what the registry refuses."""
        reference = self._reference
        async with self._store.ingest() as folder:
            found = await self._store.pool.run({**self._job("resolve", folder), "platform": self._platform})
            yield {"status": f"Pulling from {reference.path}", "id": reference.digest or reference.tag}
            working = asyncio.create_task(self._fetch(folder, found), name=f"pull {reference.familiar}")
            working.add_done_callback(lambda _: self._lines.put_nowait(None))
            try:
                while (line := await self._lines.get()) is not None:
                    yield line
                is_newer = await working
            finally:
                working.cancel()
                await asyncio.wait([working])
        yield {"status": f"Digest: {found['digest']}"}
        what = "Downloaded newer image" if is_newer else "Image is up to date"
        yield {"status": f"Status: {what} for {reference.familiar}"}
        self._store.emit("pull", reference.familiar, reference.familiar_name)

    async def _fetch(self, folder: Path, found: Mapping[str, Any]) -> bool:
        """Bring the missing layers and publish the image; whether the reference now points to another image."""
        store, reference = self._store, self._reference
        missing: list[Mapping[str, Any]] = []
        for layer in found["layers"]:
            if layer["diff_id"] in store.layers:
                self._say(layer, "Already exists")
            elif layer["diff_id"] not in {other["diff_id"] for other in missing}:
                self._say(layer, "Pulling fs layer", {}, size=layer["size"])
                missing.append(layer)
        for layer in missing[store.pool.size :]:
            self._say(layer, "Waiting", {})
        # Open before the first layer is written: syncfs reports the errors from here on.
        fd = await asyncio.to_thread(os.open, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                async with asyncio.TaskGroup() as group:
                    for layer in missing:
                        group.create_task(self._layer(folder, layer, found["source"]), name=layer["digest"])
            except BaseExceptionGroup as failures:
                first = failures.exceptions[0]
                if isinstance(first, EngineError):
                    raise first from None
                raise
            await store.pool.run(self._job("flush", folder), [fd])
        finally:
            os.close(fd)
        pointed = Reference(reference.domain, reference.path, digest=found["digest"])
        keys = (reference.key, pointed.key)
        before = store.references.get(reference.key), store.images.get(found["id"])
        record = ImageRecord(
            id=found["id"], layers=tuple(layer["diff_id"] for layer in found["layers"]), manifest=found["manifest"]
        )
        await store.publish(folder, [record], dict.fromkeys(keys, Target(record.id, found["index"])))
        await asyncio.to_thread(downloads.forget, store.root.downloads, [layer["digest"] for layer in missing])
        return _is_newer(*before, found)

    async def _layer(self, folder: Path, layer: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        def on_event(event: Mapping[str, Any]) -> None:
            detail = {"current": event["current"], "total": event["total"]}
            if event["state"] != "downloaded":
                if self._lines.qsize() < _MAX_WAITING:
                    self._say(layer, "Downloading", detail)
                return
            self._say(layer, "Verifying Checksum", {})
            self._say(layer, "Download complete", {})
            self._say(layer, "Extracting", {**detail, "current": 0})

        kept = str(self._store.root.downloads)
        job = {**self._job("layer", folder), "source": source, "downloads": kept, **layer}
        await self._store.pool.run(job, (), on_event)
        self._say(layer, "Extracting", {"current": layer["size"], "total": layer["size"]})
        self._say(layer, "Pull complete", {})

    def _say(self, layer: Mapping[str, Any], status: str, detail: Mapping[str, int] | None = None, **more: int) -> None:
        line = {"status": status, "progressDetail": detail or {}, "id": hex_of(layer["digest"])[:12]}
        self._lines.put_nowait({**line, **more})


def _is_newer(pointer: Pointer | None, image: ImageRecord | None, found: Mapping[str, Any]) -> bool:
    """Whether a pull has changed what its reference means, or brought a platform of it. The first two: before it."""
    if pointer is None or image is None or image.hidden:
        return True
    was, now = (pointer.index, found["index"]) if pointer.index else (pointer.id, found["id"])
    return bool(was != now)


async def pull(
    store: Store, reference: Reference, platform: str, auth: Mapping[str, Any] | None, *, all_tags: bool
) -> AsyncGenerator[Progress, None]:
    """Pull one reference, or with `all_tags` every tag of its repository. Raises EngineError."""
    references = [reference]
    if all_tags:
        listing = Pull(store, reference, platform, auth)
        listed = await store.pool.run(listing._job("tags", store.root.ingest))
        references = [reference.tagged(tag) for tag in listed["tags"]]
    for one in references:
        async with contextlib.aclosing(Pull(store, one, platform, auth).run()) as lines:
            async for line in lines:
                yield line
