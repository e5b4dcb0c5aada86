"""What a client says about build caches, `--cache-from` and `--cache-to`, by BuildKit's types: registry, local, inline.

A local cache is an OCI layout in a folder of the client, read and written through its session.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from vmagent.builder import cachedocument, remotecache
from vmagent.builder.cache import CacheRecord
from vmagent.builder.cachedocument import CachedStep
from vmagent.builder.request import CacheSource, InvalidBuild, RegistryCache
from vmagent.builder.result import BuildResult
from vmagent.buildkit import messages as pb
from vmagent.buildkit.attachments import SessionCredentials
from vmagent.buildkit.content import SessionContent
from vmagent.buildkit.exportreport import ExportReport
from vmagent.buildkit.filesync import OnDisk
from vmagent.buildkit.frontend import is_true
from vmagent.buildkit.jobs import Job
from vmagent.buildkit.sessions import Session
from vmagent.errors import EngineError
from vmagent.images.faults import ImageFault
from vmagent.images.layer import Blob
from vmagent.images.manifests import CACHE_CONFIG_TYPE, artifact_manifest, document, objects
from vmagent.images.reference import Reference

INLINE_ARGUMENT = "build-arg:BUILDKIT_INLINE_CACHE"
_MAX_SMALL = 32 << 20  # bytes of a manifest or config
_MANIFEST_KEY = "cache.manifest"  # of the reply; the client then writes the layout's index.json


class Cache(Protocol):
    """What the builder does for caches that travel."""

    async def push_cache(
        self,
        target: RegistryCache,
        records: Sequence[CacheRecord],
        auth: Mapping[str, Any],
        say: Callable[[dict[str, Any]], None],
    ) -> tuple[str, int]:
        """Digest and size of the manifest. Raises EngineError."""

    async def packed_layers(self, layers: Sequence[str]) -> dict[str, tuple[Blob, Path]]:
        """Raises EngineError."""

    async def take_layer(self, step: CachedStep, folder: Path, chunks: AsyncIterator[bytes]) -> None:
        """Raises EngineError."""


def wants_inline(request: pb.SolveRequest, options: Mapping[str, str]) -> bool:
    """Whether the image shall hold the cache of its steps."""
    return any(one.Type == "inline" for one in request.Cache.Exports) or is_true(options.get(INLINE_ARGUMENT, ""))


def check_exports(exports: Iterable[pb.CacheOptionsEntry]) -> None:
    """Raises InvalidBuild before anything is built."""
    for one in exports:
        if one.Type not in ("inline", "registry", "local"):
            raise InvalidBuild(f"unknown cache exporter: {one.Type!r}")
        if one.Type == "registry" and not one.Attrs.get("ref"):
            raise InvalidBuild("registry cache exporter requires ref")
        if one.Type == "local" and not one.Attrs.get("dest"):
            raise InvalidBuild("local cache exporter requires dest")
        if (mode := one.Attrs.get("mode") or "min") not in ("min", "max"):
            raise InvalidBuild(f"invalid cache mode {mode!r}")
        if (kind := one.Attrs.get("compression") or "gzip") not in ("gzip", "uncompressed", "estargz", "zstd"):
            raise InvalidBuild(f"unsupported layer compression type: {kind!r}")


class SessionCaches:
    """The caches of clients."""

    def __init__(self, cache: Cache, on_disk: OnDisk) -> None:
        self._cache, self._on_disk = cache, on_disk

    def sources(
        self, session: Session, options: Mapping[str, str], entries: Iterable[pb.CacheOptionsEntry]
    ) -> tuple[RegistryCache | CacheSource, ...]:
        """The caches that a client wants to import, of its options and of the request. Raises InvalidBuild."""
        try:
            listed = json.loads(options.get("cache-imports", "") or "[]")
            wanted = [(str(one["Type"]), dict(one.get("Attrs") or {})) for one in listed]
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise InvalidBuild(f"failed to unmarshal cache-imports: {e}") from e
        wanted += [(entry.Type, dict(entry.Attrs)) for entry in entries]
        if references := options.get("cache-from", ""):
            wanted += [("registry", {"ref": one}) for one in references.split(",") if one]
        made: dict[tuple[str, str], RegistryCache | CacheSource] = {}
        for kind, attributes in wanted:
            place = attributes.get("ref") or attributes.get("src") or ""
            made.setdefault((kind, place), self._source(session, kind, attributes))
        return tuple(made.values())

    def _source(self, session: Session, kind: str, attributes: Mapping[str, str]) -> RegistryCache | CacheSource:
        if kind == "registry" and attributes.get("ref"):
            return RegistryCache(attributes["ref"])
        if kind == "local" and attributes.get("src"):
            content = SessionContent(session, f"local:{attributes['src']}", self._on_disk)
            return _LocalSource(self._cache, content, attributes["src"], attributes.get("digest", ""))
        return _UnknownSource(kind)

    async def export(self, job: Job, result: BuildResult) -> Mapping[str, str]:
        """Write the caches that the request names; what the client is told of them. Raises EngineError."""
        reply: dict[str, str] = {}
        layers = [layer for image in result.images for layer in image.layers]
        for target in job.request.Cache.Exports:
            everything = target.Attrs.get("mode") == "max"
            records = remotecache.chosen(result.records, layers, everything=everything)
            try:
                if target.Type == "registry":
                    reply[_MANIFEST_KEY] = await self._to_registry(job, target, records)
                elif target.Type == "local":
                    reply[_MANIFEST_KEY] = await self._to_client(job, target, records)
            except EngineError:
                if not is_true(target.Attrs.get("ignore-error", "")):
                    raise  # else the failed vertex is what the client sees
        return reply

    async def _to_registry(self, job: Job, target: pb.CacheOptionsEntry, records: Sequence[CacheRecord]) -> str:
        reference = target.Attrs["ref"]
        report = ExportReport(job.status, "exporting cache to registry")
        with report:
            credentials = SessionCredentials(job.session)
            auth = await credentials.get(Reference.parse(reference).domain)

            def say(line: Mapping[str, Any]) -> None:
                report.push_line(line["id"], line)

            with report.step(f"writing cache to {reference}"):
                digest, size = await self._cache.push_cache(RegistryCache(reference), records, auth, say)
        return _descriptor(digest, size)

    async def _to_client(self, job: Job, target: pb.CacheOptionsEntry, records: Sequence[CacheRecord]) -> str:
        content = SessionContent(job.session, f"local:{target.Attrs['dest']}", self._on_disk)
        report = ExportReport(job.status, "exporting cache to client directory")
        with report:
            layers = list(dict.fromkeys(record.layer for record in records))
            with report.step("preparing build cache for export"):
                found = await self._cache.packed_layers(layers)
            for blob, path in found.values():
                with report.step(f"writing layer {blob.digest}"):
                    await content.write_file(blob.digest, path)
            blobs = {diff_id: blob for diff_id, (blob, _) in found.items()}
            config = cachedocument.document(records, blobs)
            manifest = artifact_manifest(config, CACHE_CONFIG_TYPE, list(blobs.values()))
            digest = ""
            for what, data in (("config", config), ("cache manifest", manifest)):
                digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
                with report.step(f"writing {what} {digest}"):
                    await content.write(digest, data)
        return _descriptor(digest, len(manifest))


def _descriptor(digest: str, size: int) -> str:
    return json.dumps({"mediaType": remotecache.MANIFEST_TYPE, "digest": digest, "size": size})


class _LocalSource:
    """A cache in a folder of the client."""

    def __init__(self, cache: Cache, content: SessionContent, folder: str, digest: str) -> None:
        self.title = f"local:{folder}"
        self._cache, self._content, self._digest = cache, content, digest

    async def steps(self) -> Sequence[CachedStep]:
        """See CacheSource."""
        if not self._digest:
            raise EngineError("local cache importer requires digest")
        try:
            manifest = document(await self._content.read_small(self._digest, _MAX_SMALL), "the cache's manifest")
            listed = objects(manifest, "manifests") or [manifest.get("config") or {}]
        except ImageFault as e:
            raise EngineError(str(e)) from e
        for one in listed:
            if one.get("mediaType") == CACHE_CONFIG_TYPE:
                config = await self._content.read_small(str(one.get("digest")), _MAX_SMALL)
                return cachedocument.steps(config.decode("utf-8", "replace"))
        raise EngineError("the manifest names no build cache")

    async def fetch(self, step: CachedStep, folder: Path) -> None:
        """See CacheSource."""
        await self._cache.take_layer(step, folder, self._content.read(step.blob))


class _UnknownSource:
    """One of a type that this engine does not read: shown as failed, like any cache that cannot be read."""

    def __init__(self, kind: str) -> None:
        self.title = kind
        self._kind = kind

    async def steps(self) -> Sequence[CachedStep]:
        """See CacheSource."""
        raise EngineError(f"unknown cache importer: {self._kind!r}, or one without its place")

    async def fetch(self, step: CachedStep, folder: Path) -> None:
        """See CacheSource; not called, as there are no steps."""
        raise EngineError(f"unknown cache importer: {self._kind!r}")
