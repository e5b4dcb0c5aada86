"""The engine's side of a push: layers over several workers, then the manifest. Docker's progress lines in its order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from vmagent.images.reference import Reference
from vmagent.images.sending import Progress, Sender
from vmagent.images.store import Store

_MAX_WAITING = 1000


class Push:
    """One push of one tag."""

    def __init__(self, store: Store, reference: Reference, image_id: str, auth: Mapping[str, Any] | None) -> None:
        self._store = store
        self._reference = reference
        self._record = store.images[image_id]
        self._lines: asyncio.Queue[Progress | None] = asyncio.Queue()
        self._sender = Sender(store, reference, auth, self._say)

    async def run(self) -> AsyncGenerator[Progress, None]:
        """Progress lines. Raises EngineError."""
        reference, layers = self._reference, list(dict.fromkeys(self._record.layers))
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

    async def _send(self, folder: Path, layers: list[str]) -> dict[str, Any]:
        blobs = await self._sender.send(folder, layers)
        job = {
            **self._sender.job("push_manifest", folder),
            "id": self._record.id,
            "manifest": self._record.manifest,
            "blobs": [blobs[diff_id] for diff_id in self._record.layers],
        }
        return await self._store.pool.run(job)

    def _say(self, line: Progress) -> None:
        if line["status"] != "Pushing" or self._lines.qsize() < _MAX_WAITING:
            self._lines.put_nowait(line)
