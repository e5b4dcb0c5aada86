"""The engine's side of a push: layers over several workers, then the manifest. Docker's progress lines in its order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from vmagent.errors import EngineError
from vmagent.images.layer import hex_of
from vmagent.images.reference import Reference
from vmagent.images.store import Store

Progress = dict[str, Any]
_MAX_WAITING = 1000


class Push:
    """One push of one tag."""

    def __init__(self, store: Store, reference: Reference, image_id: str, auth: Mapping[str, Any] | None) -> None:
        self._store = store
        self._reference = reference
        self._record = store.images[image_id]
        self._auth = dict(auth or {})
        self._lines: asyncio.Queue[Progress | None] = asyncio.Queue()

    async def run(self) -> AsyncGenerator[Progress, None]:
        """Progress lines. Raises EngineError."""
        reference, layers = self._reference, list(dict.fromkeys(self._record.layers))
        for diff_id in layers:
            self._say(diff_id, "Preparing")
        for diff_id in layers[self._store.pool.size :]:
            self._say(diff_id, "Waiting")
        hold = self._store.hold(self._record.id)
        try:
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
        finally:
            hold.release()
        tag, digest, size = reference.tag, done["digest"], done["size"]
        async with self._store.change:
            pushed = Reference(reference.domain, reference.path, digest=digest)
            if self._record.id in self._store.images:
                await self._store.point({pushed.key: self._record.id})
        yield {"status": f"{tag}: digest: {digest} size: {size}"}
        yield {"progressDetail": {}, "aux": {"Tag": tag, "Digest": digest, "Size": size}}
        self._store.emit("push", reference.familiar, reference.familiar_name)

    def _job(self, op: str, folder: Path) -> dict[str, Any]:
        return {
            "op": op,
            "ingest": str(folder),
            "data_root": str(self._store.root.path),
            "domain": self._reference.domain,
            "path": self._reference.path,
            "tag": self._reference.tag,
            "insecure": self._store.insecure_registries,
            "auth": self._auth,
        }

    async def _send(self, folder: Path, layers: list[str]) -> dict[str, Any]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {diff_id: group.create_task(self._layer(folder, diff_id)) for diff_id in layers}
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]
            if isinstance(first, EngineError):
                raise first from None
            raise
        blobs = {diff_id: task.result()["blob"] for diff_id, task in tasks.items()}
        await self._store.adopt_blobs(folder, blobs)
        job = {
            **self._job("push_manifest", folder),
            "id": self._record.id,
            "manifest": self._record.manifest,
            "blobs": [blobs[diff_id] for diff_id in self._record.layers],
        }
        return await self._store.pool.run(job)

    async def _layer(self, folder: Path, diff_id: str) -> dict[str, Any]:
        def on_event(event: Mapping[str, Any]) -> None:
            if self._lines.qsize() < _MAX_WAITING:
                self._say(diff_id, "Pushing", {"current": event["current"], "total": event["total"]})

        job = {**self._job("push_layer", folder), "diff_id": diff_id, "sources": self._sources(diff_id)}
        done = await self._store.pool.run(job, (), on_event)
        said = {"exists": "Layer already exists", "pushed": "Pushed"}
        self._say(diff_id, said.get(done["outcome"], f"Mounted from {done['outcome']}"))
        return done

    def _sources(self, diff_id: str) -> list[str]:
        """Another repository at the same registry that this layer was pulled from or pushed to, if one is known."""
        for key, pointer in self._store.references.items():
            other = Reference.parse(key)
            if (
                other.digest
                and other.domain == self._reference.domain
                and other.path != self._reference.path
                and diff_id in self._store.images[pointer.id].layers
            ):
                return [other.path]
        return []

    def _say(self, diff_id: str, status: str, detail: Mapping[str, int] | None = None) -> None:
        self._lines.put_nowait({"status": status, "progressDetail": detail or {}, "id": hex_of(diff_id)[:12]})
