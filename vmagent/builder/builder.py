"""The builder: runs builds, keeps their cache, stores their images."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmagent.builder import cachedocument, remotecache
from vmagent.builder.bases import Bases
from vmagent.builder.cache import Cache, CacheRecord, PruneFilters
from vmagent.builder.cachedocument import CachedStep
from vmagent.builder.contexts import Contexts, SpooledContext, UploadTexts
from vmagent.builder.layering import Layering, Workspace
from vmagent.builder.progress import Progress
from vmagent.builder.remembering import Answer, Memory, Noting, Recent
from vmagent.builder.remotes import RemoteContext, Remotes
from vmagent.builder.request import BuildRequest, Received, RegistryCache, Secrets, SshAgents
from vmagent.builder.result import BuildResult, BuiltImage, Fetched
from vmagent.builder.running import Runner
from vmagent.dockerfile.parser import parse
from vmagent.dockerfile.tree import Dockerfile
from vmagent.errors import BadRequest
from vmagent.helpers.pool import run_with_input
from vmagent.images import config as image_config
from vmagent.images.faults import ImageFault
from vmagent.images.imagestore import ImageStore
from vmagent.images.layer import Blob, Expected
from vmagent.images.platforms import Platform
from vmagent.images.records import ImageRecord, Target
from vmagent.images.reference import Reference
from vmagent.images.roots import Reachable
from vmagent.images.store import Store
from vmagent.paths import DataRoot, ExecRoot

if TYPE_CHECKING:  # loaded with the first build: an engine that builds nothing is smaller without them
    from vmagent.builder.definition import DefinedStep
    from vmagent.builder.indexing import Attest, StoredIndex
    from vmagent.builder.packages import Contents
    from vmagent.dockerfile import lint


class Builder:
    """All builds of an engine. Used on the event loop."""

    def __init__(
        self,
        data_root: DataRoot,
        exec_root: ExecRoot,
        store: Store,
        images: ImageStore,
        runner: Runner,
        *,
        proxies: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`proxies`: the predefined proxy arguments of builds that give none."""
        self._data_root, self._folder = data_root, exec_root.path / "builds"
        self._store, self._images, self._runner, self._proxies = store, images, runner, proxies
        self.cache = Cache(data_root)
        self._layering = Layering(store, self.cache)
        self._memory = Memory(store, self.cache)
        self._uploads: UploadTexts = Recent()
        self._kept: dict[int, tuple[str, ...]] = {}
        self._numbers = 0
        store.roots.add("build cache", self.cache.reachable)
        store.roots.add("build results", self._of_results)

    def _of_results(self) -> Reachable:
        return Reachable.of(layer for layers in self._kept.values() for layer in layers)

    async def open(self) -> None:
        """Read the cache's records. Raises OSError."""
        self._layering.open()  # first: `close` is called also where this fails
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        self.cache.load()
        shutil.rmtree(self._folder, ignore_errors=True)  # secrets of builds that a killed engine has left
        self._folder.mkdir(mode=0o700)

    async def close(self) -> None:
        """Keep what is not on disk yet. No build may be running."""
        await self.cache.close()
        await self._layering.close()

    # --- builds

    @contextlib.asynccontextmanager
    async def spooled(
        self, chunks: AsyncIterator[bytes], received: Received, dockerfile: str
    ) -> AsyncIterator[SpooledContext]:
        """The context of an uploaded tar. Its files are removed at the exit. Raises BuildError, EngineError."""
        context = SpooledContext(self._layering, self._store.ingest, self._uploads)
        try:
            await context.spool(chunks, received, dockerfile)
            yield context
        finally:
            await asyncio.shield(context.close())

    @contextlib.asynccontextmanager
    async def remotes(self, secrets: Secrets | None, ssh: SshAgents | None) -> AsyncIterator[Remotes]:
        """What fetches contexts of the engine's own. Their files are removed at the exit."""
        async with self._store.ingest() as folder:
            await asyncio.to_thread(folder.mkdir, 0o700)
            yield Remotes(self._layering, folder, secrets, ssh)

    def remote_context(self, remotes: Remotes, source: str, subdir: str = "") -> RemoteContext:
        """The context that `source` names, in `subdir`. Raises DockerfileError."""
        return RemoteContext(remotes, self._layering, source, subdir)

    async def build(self, request: BuildRequest, progress: Progress) -> BuildResult:
        """Build the image of each platform. To cancel a build, cancel the task.

        Raises DockerfileError and InvalidBuild for a faulty request, BuildError for a step that fails, EngineError.
        """
        request = replace(request, proxies=self._proxies())
        contexts = Contexts(progress, request.context, request.dockerfile_name)
        try:
            if (known := await self._remembered(request, contexts, progress)) is not None:
                return known
            return await self._unknown(request, contexts, progress)
        finally:
            await contexts.close()

    async def _remembered(self, request: BuildRequest, contexts: Contexts, progress: Progress) -> BuildResult | None:
        """The result of an equal build, if all that it rests on is still there. Raises EngineError."""
        key = self._memory.key(request)
        uses_context = self._memory.uses_context(key)
        if uses_context is None or (uses_context and request.context is None):
            return None
        context = await contexts.digest() if uses_context else ""
        bases = Bases(self._store, self._images, request)
        if (uses_context and not context) or (found := self._memory.find(key, context, bases)) is None:
            return None
        answer, records = found
        self._numbers += 1
        self._keep_layers(self._numbers, answer.images, records)  # before any wait: from here on nothing can go
        release = partial(self._release, self._numbers)
        try:
            await contexts.close()
            answer.report(progress)
            await self.cache.settle()
        except BaseException:
            release()
            raise
        return BuildResult(answer.images, release, records, bases.materials(), definition=answer.definition)

    async def _unknown(self, request: BuildRequest, contexts: Contexts, progress: Progress) -> BuildResult:
        """The result of a build whose steps are gone through. Raises as `build`."""
        dockerfile = parse(request.dockerfile)
        try:
            platforms = [Platform.parse(text) for text in request.platforms] or [Platform.host()]
        except ImageFault as e:
            raise BadRequest(str(e)) from e
        self._numbers += 1
        number = self._numbers
        try:
            return await self._build(number, request, dockerfile, platforms, contexts, progress)
        except BaseException:
            self._release(number)  # the end failed, or the caller was cancelled there: no result holds the layers
            raise

    async def _build(
        self,
        number: int,
        request: BuildRequest,
        dockerfile: Dockerfile,
        platforms: list[Platform],
        contexts: Contexts,
        progress: Progress,
    ) -> BuildResult:
        """The image of each platform and the steps' records, whose layers are kept until `_release`."""
        from vmagent.builder.stages import Stages

        async with self._store.ingest() as folder:
            workspace = Workspace(self._layering, folder, self._imports(request, progress))
            noting = Noting(progress)
            bases = Bases(self._store, self._images, request)
            built: list[BuiltImage] = []
            fetched: dict[str, Fetched] = {}
            definition: list[DefinedStep] = []
            try:
                for platform in platforms:
                    stages = Stages(
                        request,
                        dockerfile,
                        platform,
                        layering=self._layering,
                        workspace=workspace,
                        contexts=contexts,
                        bases=bases,
                        runner=self._runner,
                        secrets_folder=self._folder / str(number),
                        progress=noting,
                        shows_platform=len(platforms) > 1,
                    )
                    state = await stages.run()
                    if request.labels:
                        labels = {**(state.inner.get("Labels") or {}), **request.labels}
                        state = state.with_config("", Labels=labels)
                    built.append(BuiltImage(str(platform), state.config, state.layers))
                    fetched.update((one.uri, one) for one in stages.fetched)
                    definition += stages.definition.steps()
                await workspace.flushed()
                records, materials = workspace.records(), bases.materials()
                if request.inline_cache:
                    built = [_with_inline_cache(image, records) for image in built]
                self._keep_layers(number, built, records)
                if not fetched:
                    answer = Answer(bases.used, records, tuple(built), tuple(definition), noting.reports)
                    await self._remember(request, contexts, answer)
            finally:
                await asyncio.shield(self._end(workspace, contexts, bases))
        release = partial(self._release, number)
        return BuildResult(tuple(built), release, records, materials, tuple(fetched.values()), tuple(definition))

    async def _remember(self, request: BuildRequest, contexts: Contexts, answer: Answer) -> None:
        context = await contexts.digest() if contexts.uses_main else ""
        if (key := self._memory.key(request)) and (context or not contexts.uses_main):
            self._memory.keep(key, context, answer)

    def _keep_layers(self, number: int, images: Sequence[BuiltImage], records: Sequence[CacheRecord]) -> None:
        """Keep what a result names, until `_release`."""
        layers = {layer for image in images for layer in image.layers}
        self._kept[number] = tuple(layers.union(record.layer for record in records))

    def _imports(self, request: BuildRequest, progress: Progress) -> remotecache.Imports:
        """The caches that the build imports. Raises BadRequest."""
        sources = [
            remotecache.RegistrySource(self._store, one, request.credentials) if isinstance(one, RegistryCache) else one
            for one in request.cache_from
        ]
        return remotecache.Imports(self._store, sources, progress)

    async def check(self, request: BuildRequest) -> lint.Checked:
        """The findings of the build checks; nothing is built. Raises DockerfileError for what is no Dockerfile,
        EngineError."""
        from vmagent.builder import inspecting

        bases = Bases(self._store, self._images, request)
        platform = Platform.parse(request.platforms[0]) if request.platforms else Platform.host()
        return await inspecting.checked(request, parse(request.dockerfile), platform, bases.describe)

    async def _end(self, workspace: Workspace, contexts: Contexts, bases: Bases) -> None:
        await contexts.close()
        await bases.release()
        await workspace.close()
        await self.cache.settle()
        if workspace.has_made:
            await self._limit()

    async def _limit(self) -> None:
        """Let the cache lose what is old or too much."""
        found = await asyncio.to_thread(os.statvfs, self._data_root.path)
        await self.cache.collect(found.f_frsize * found.f_blocks)

    def _release(self, number: int) -> None:
        self._kept.pop(number, None)

    async def store(self, image: BuiltImage, names: Sequence[str]) -> str:
        """Make `image` an image of the store with `names`; returns its id. Raises BadRequest, EngineError."""
        references = [Reference.parse(name).with_default_tag() for name in names]
        config = image_config.dump(dict(image.config))
        image_id = f"sha256:{hashlib.sha256(config).hexdigest()}"
        if not self._is_stored(image_id, references):
            async with self._store.ingest() as folder:
                await asyncio.to_thread(_put_config, folder, config, self._store)
                record = ImageRecord(id=image_id, layers=image.layers)
                await self._store.publish(
                    folder, [record], dict.fromkeys((one.key for one in references), Target(image_id))
                )
        for one in references:
            self._store.emit("tag", image_id, one.familiar)
        return image_id

    async def store_index(
        self, images: Sequence[BuiltImage], names: Sequence[str], attest: Attest | None = None
    ) -> StoredIndex:
        """Make images of several platforms, or with attestations, one index of the store. Raises BadRequest,
        EngineError."""
        from vmagent.builder.indexing import store_index

        return await store_index(self._store, images, names, attest)

    def _is_stored(self, image_id: str, references: Sequence[Reference]) -> bool:
        """Whether a build that found everything in the cache has nothing to write."""
        known = self._store.images.get(image_id)
        named = {key for key, pointer in self._store.references_of(image_id) if not pointer.index}
        return known is not None and not known.hidden and named.issuperset(one.key for one in references)

    async def archive(self, images: Sequence[BuiltImage], names: Sequence[str]) -> AsyncGenerator[bytes, None]:
        """The images as a tar, for `docker load` and OCI tools; they do not become images of the store.

        Raises EngineError.
        """
        from vmagent.builder import exporting

        before = set(self._store.images)
        ids = [await self.store(image, ()) for image in images]
        temporary = {image_id: image_id not in before for image_id in ids}
        chunks = exporting.archive(self._store, temporary, names)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def contents(self, image: BuiltImage) -> Contents:
        """The packages in the image, whose layers the caller keeps. Raises BuildError, OSError."""
        from vmagent.builder.packages import Contents

        async with self._store.ingest() as folder:
            job = {"op": "packages", "root": {"lowers": await self._store.stack_lowers(image.layers)}}
            return Contents.from_json(await self._layering.run(job | {"place": str(folder / "view")}))

    def files(self, images: Sequence[BuiltImage]) -> contextlib.AbstractAsyncContextManager[Path]:
        """A folder with the image's files; of several ones, with a folder each. Raises BuildError, OSError."""
        from vmagent.builder import exporting

        return exporting.files(self._store, self._layering.run, images)

    # --- the cache

    async def push_cache(
        self,
        target: RegistryCache,
        records: Sequence[CacheRecord],
        auth: Mapping[str, Any],
        say: Callable[[dict[str, Any]], None],
    ) -> tuple[str, int]:
        """Put the cache of these steps at a registry; digest and size of its manifest. `say` gets lines as of a push.

        The steps are of a result that is not released yet. Raises EngineError.
        """
        return await remotecache.push(self._store, target, records, auth, say)

    async def packed_layers(self, layers: Sequence[str]) -> dict[str, tuple[Blob, Path]]:
        """The blobs of layers, as registries carry them, and their files. The caller holds the layers.

        Raises EngineError.
        """
        blobs = await remotecache.packed(self._store, layers)
        return {diff_id: (blob, remotecache.blob_path(self._store, blob)) for diff_id, blob in blobs.items()}

    async def take_image_layers(
        self, layers: Sequence[tuple[Expected, str]], read: Callable[[str], AsyncIterator[bytes]]
    ) -> None:
        """Take the layers, blob and diff_id, that the store lacks, each from what `read` gives for its digest.

        To be called in a build, which keeps them. Raises EngineError.
        """
        for blob, diff_id in layers:
            if diff_id in self._store.layers:
                continue
            async with self._store.ingest() as folder:
                job = {"op": "take_layer", "ingest": str(folder), "kind": str(self._store.kind), "diff_id": diff_id}
                chunks = read(blob.digest)
                await run_with_input(self._store.pool, job | {"digest": blob.digest, "size": blob.size}, chunks)
                await self._store.adopt_layers(folder, [diff_id])

    async def take_layer(self, step: CachedStep, folder: Path, chunks: AsyncIterator[bytes]) -> None:
        """Take the blob of a cached step from `chunks` into a new ingest folder, flushed.

        Raises EngineError, and what `chunks` raises.
        """
        job = {"op": "take_layer", "ingest": str(folder), "kind": str(self._store.kind)}
        more = {"digest": step.blob, "size": step.blob_size, "diff_id": step.layer}
        await run_with_input(self._store.pool, job | more, chunks)

    def usage(self) -> list[dict[str, Any]]:
        """BuildCache items of GET /system/df."""
        return self.cache.usage()

    async def lacking(self, free_bytes: int) -> int:
        """How much has to go for `free_bytes` to be free on the disk. Raises OSError."""
        found = await asyncio.to_thread(os.statvfs, self._data_root.path)
        return max(0, free_bytes - found.f_frsize * found.f_bavail)

    async def prune(self, filters: PruneFilters) -> dict[str, Any]:
        """The API's reply to a prune. Raises OSError."""
        gone, freed = await self.cache.prune(filters)
        await self._store.collect()
        return {"CachesDeleted": gone or None, "SpaceReclaimed": freed}


def _with_inline_cache(image: BuiltImage, records: Sequence[CacheRecord]) -> BuiltImage:
    return replace(image, config=cachedocument.with_inline(image.config, image.layers, records))


def _put_config(folder: Path, config: bytes, store: Store) -> None:
    from vmagent.images.ingest import Job  # here: it loads what compresses, which an engine without builds never needs

    with contextlib.closing(Job(folder, store.kind)) as work:
        work.put_blob(config)
        work.flush()
