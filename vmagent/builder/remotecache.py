"""Caches of other engines and earlier times: imported into a build, and exported to registries.

A build asks the imported caches for a step that its own cache lacks. The step's layer is fetched then, and the step
becomes a record of the own cache.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmagent.builder import cachedocument
from vmagent.builder.cache import REGULAR, CacheRecord, key_of
from vmagent.builder.cachedocument import CachedStep
from vmagent.builder.progress import Progress, Vertex
from vmagent.builder.reporting import Report
from vmagent.builder.request import CacheSource, Credentials, RegistryCache
from vmagent.errors import EngineError, NotFound
from vmagent.images import config as image_config
from vmagent.images.layer import Blob, hex_of
from vmagent.images.manifests import CACHE_CONFIG_TYPE
from vmagent.images.platforms import Platform
from vmagent.images.reference import Reference, registry_of
from vmagent.images.sending import Sender
from vmagent.images.store import Store

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class RegistrySource:
    """A cache at a registry, or an image that holds one: of the store if it is there, else at its registry."""

    def __init__(self, store: Store, source: RegistryCache, credentials: Credentials | None) -> None:
        self.title = source.reference
        self._store, self._credentials = store, credentials
        self._reference = Reference.parse(source.reference).with_default_tag()
        self._auth: Mapping[str, Any] = {}
        self._source: Mapping[str, Any] = {}

    async def steps(self) -> Sequence[CachedStep]:
        """See CacheSource."""
        if found := await self._local():
            return found
        if self._credentials is not None:
            self._auth = await self._credentials.get(registry_of(self._reference.domain))
        job = {**self._job("artifact"), "platform": str(Platform.host())}
        artifact = await self._store.pool.run(job)
        self._source = artifact["source"]
        if artifact["config_type"] == CACHE_CONFIG_TYPE:
            return cachedocument.steps(artifact["config"])
        blobs = [(blob["digest"], blob["size"]) for blob in artifact["layers"]]
        return cachedocument.inline_steps(artifact["config"], blobs)

    async def _local(self) -> Sequence[CachedStep]:
        """Of an image of the store, whose layers are there."""
        try:
            image = self._store.resolve(self._reference.familiar)
        except NotFound:
            return ()
        return cachedocument.inline_steps(
            image_config.dump(dict(image.config)).decode(), [(diff_id, 0) for diff_id in image.layers]
        )

    async def fetch(self, step: CachedStep, folder: Path) -> None:
        """See CacheSource."""
        more = {"digest": step.blob, "size": step.blob_size, "diff_id": step.layer, "is_alone": True}
        await self._store.pool.run(
            {**self._job("layer"), **more, "ingest": str(folder), "source": self._source},
            (),
            lambda _: None,
        )

    def _job(self, op: str) -> dict[str, Any]:
        reference = self._reference
        return {
            "op": op,
            "kind": str(self._store.kind),
            "domain": reference.domain,
            "path": reference.path,
            "tag": reference.tag,
            "digest": reference.digest,
            "hosts": self._store.hosts.to_json(),
            "auth": dict(self._auth),
        }


class Imports:
    """The imported caches of one build."""

    def __init__(self, store: Store, sources: Sequence[CacheSource], progress: Progress) -> None:
        """They are read at the same time, from now on."""
        self._store, self._progress = store, progress
        self._loading = [
            (source, asyncio.create_task(self._load(source), name=f"import {source.title}")) for source in sources
        ]

    @property
    def is_empty(self) -> bool:
        """Whether the build imports no cache."""
        return not self._loading

    async def _load(self, source: CacheSource) -> Mapping[str, CachedStep]:
        """The source's steps by key. A source that cannot be read is shown and has none, as in BuildKit."""
        report = self._report(source)
        report.start()
        try:
            found = {step.key: step for step in await source.steps()}
        except (EngineError, ValueError) as e:
            report.complete(error=str(e))
            return {}
        except asyncio.CancelledError:
            report.complete(error="context canceled")
            raise
        report.complete()
        return found

    def _report(self, source: CacheSource) -> Report:
        vertex = Vertex(
            digest=f"sha256:{key_of('import', source.title)}", name=f"importing cache manifest from {source.title}"
        )
        return Report(self._progress, vertex)

    async def find(self, key: str, new_folder: Callable[[], Path]) -> CacheRecord | None:
        """The record of a step that an imported cache has, its layer now in the store; None if there is none.

        A layer that cannot be fetched is shown, and the step counts as missing.
        """
        for source, loading in self._loading:
            step = (await asyncio.shield(loading)).get(key)
            if step is None:
                continue
            if step.layer not in self._store.layers:
                folder = new_folder()
                try:
                    await source.fetch(step, folder)
                except EngineError as e:
                    text = f"the layer of {step.description!r} cannot be fetched: {e}\n"
                    self._report(source).output(2, text.encode(), time.time_ns())
                    continue
                await self._store.adopt_layers(folder, [step.layer])
            return CacheRecord(
                key=key,
                kind=REGULAR,
                layer=step.layer,
                size=self._store.layers[step.layer].size,
                description=step.description,
                created_ns=step.created_ns,
                used_ns=time.time_ns(),
            )
        return None

    async def close(self) -> None:
        """Cancel what is still being read."""
        tasks = [task for _, task in self._loading]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def chosen(records: Sequence[CacheRecord], layers: Sequence[str], *, everything: bool) -> list[CacheRecord]:
    """What an export holds of the steps of a build: those of the images' `layers`, or every one (mode `max`)."""
    wanted = set(layers)
    return [record for record in records if everything or record.layer in wanted]


async def push(
    store: Store,
    target: RegistryCache,
    records: Sequence[CacheRecord],
    auth: Mapping[str, Any],
    say: Callable[[dict[str, Any]], None],
) -> tuple[str, int]:
    """Put a cache with these steps at a registry; digest and size of its manifest. Raises EngineError."""
    reference = Reference.parse(target.reference).with_default_tag()
    sender = Sender(store, reference, auth, say)
    async with store.ingest() as folder:
        layers = list(dict.fromkeys(record.layer for record in records))
        sent = await sender.send(folder, layers)
        blobs = {diff_id: Blob.from_json(sent[diff_id]) for diff_id in layers}
        config = cachedocument.document(records, blobs).decode()
        more = {"config": config, "config_type": CACHE_CONFIG_TYPE, "blobs": [sent[one] for one in layers]}
        done = await store.pool.run({**sender.job("push_artifact", folder), **more})
    return done["digest"], done["size"]


async def packed(store: Store, layers: Sequence[str]) -> dict[str, Blob]:
    """The blobs of layers, made where the store has none; they are files of the store. Raises EngineError."""
    made = {}
    async with store.ingest() as folder:
        await asyncio.to_thread(folder.mkdir, 0o700, exist_ok=True)
        for diff_id in layers:
            job = {"op": "pack_layer", "ingest": str(folder), "data_root": str(store.root.path), "diff_id": diff_id}
            made[diff_id] = (await store.pool.run(job))["blob"]
        await store.adopt_blobs(folder, made)
    return {diff_id: Blob.from_json(blob) for diff_id, blob in made.items()}


def blob_path(store: Store, blob: Blob) -> Path:
    """Where the store has it."""
    return store.root.blobs / hex_of(blob.digest)
