"""The engine's side of sending layers to a registry: spread over several workers, with docker's progress lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmagent.errors import EngineError
from vmagent.images.layer import hex_of
from vmagent.images.reference import Reference
from vmagent.images.store import Store

Progress = dict[str, Any]
Say = Callable[[Progress], None]


class Sender:
    """What one push does at its repository."""

    def __init__(self, store: Store, reference: Reference, auth: Mapping[str, Any] | None, say: Say) -> None:
        """`say` gets the progress lines; those with sizes come often."""
        self._store, self._reference, self._say = store, reference, say
        self._auth = dict(auth or {})

    def job(self, op: str, folder: Path) -> dict[str, Any]:
        """A job of the image workers for this repository."""
        return {
            "op": op,
            "ingest": str(folder),
            "kind": str(self._store.kind),
            "data_root": str(self._store.root.path),
            "domain": self._reference.domain,
            "path": self._reference.path,
            "tag": self._reference.tag,
            "hosts": self._store.hosts.to_json(),
            "auth": self._auth,
        }

    async def send(self, folder: Path, layers: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Have the layers at the registry; their blobs by diff_id. Raises EngineError."""
        for diff_id in layers:
            self._line(diff_id, "Preparing")
        for diff_id in layers[self._store.pool.size :]:
            self._line(diff_id, "Waiting")
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
        return blobs

    async def _layer(self, folder: Path, diff_id: str) -> dict[str, Any]:
        def on_event(event: Mapping[str, Any]) -> None:
            self._line(diff_id, "Pushing", {"current": event["current"], "total": event["total"]})

        job = {**self.job("push_layer", folder), "diff_id": diff_id, "sources": self._sources(diff_id)}
        done = await self._store.pool.run(job, (), on_event)
        said = {"exists": "Layer already exists", "pushed": "Pushed"}
        self._line(diff_id, said.get(done["outcome"], f"Mounted from {done['outcome']}"))
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

    def _line(self, diff_id: str, status: str, detail: Mapping[str, int] | None = None) -> None:
        self._say({"status": status, "progressDetail": detail or {}, "id": hex_of(diff_id)[:12]})
