"""Makes the layers of steps in helper processes, and asks them for digests: the engine's side of `builder.worker`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from vmagent.builder.cache import REGULAR, Cache, CacheRecord, key_of
from vmagent.builder.remotecache import Imports
from vmagent.builder.request import BuildError, InvalidBuild
from vmagent.errors import EngineError
from vmagent.helpers.pool import WorkerPool, run_with_input
from vmagent.images.store import Store
from vmagent.linux.trees import remove_tree

log = structlog.get_logger(__name__)
WORKER = "vmagent.builder.worker"  # runs in a helper process
IDLE_S = 60.0  # whoever edits and builds comes back within a minute, and a new worker takes longer than a cached build
Job = dict[str, Any]


def failure(message: str, kind: str) -> EngineError:
    """The exception for a failed job of a worker."""
    return InvalidBuild(message) if kind == "invalid" else BuildError(message)


@dataclass(frozen=True, slots=True)
class Made:
    """A layer of a step. `cached`: it was there before. `settling`: ends when it is on the disk and has its record."""

    record: CacheRecord
    cached: bool
    settling: asyncio.Task[None] | None = None


class CacheUsers:
    """Which cache mounts are in use by running steps."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self.beginning = asyncio.Lock()  # held while the folder of a cache mount is made: one of its users makes it

    def is_used(self, key: str) -> bool:
        return key in self._users

    @contextlib.asynccontextmanager
    async def using(self, key: str, *, alone: bool) -> AsyncIterator[None]:
        """Use a cache mount. `alone`: wait until nothing uses it, and let nothing else wait for the same in between."""
        async with self._changed:
            if alone:
                await self._changed.wait_for(lambda: key not in self._users)
            self._users[key] = self._users.get(key, 0) + 1
        try:
            yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
            await asyncio.shield(self._wake())

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Layering:
    """Shared by all builds: the workers, and which steps are being made now."""

    def __init__(self, store: Store, cache: Cache) -> None:
        self.store, self.cache = store, cache
        self._pool: WorkerPool
        self._making: dict[str, asyncio.Event] = {}
        self.cache_users = CacheUsers()

    def open(self) -> None:
        self._pool = WorkerPool(WORKER, failure, idle_s=IDLE_S)

    async def close(self) -> None:
        await self._pool.close()

    async def run(self, job: Job, on_event: Callable[[Job], None] | None = None) -> Job:
        """Do a job in a worker. Raises BuildError."""
        return await self._pool.run(job, (), on_event)

    async def feed(self, job: Job, chunks: AsyncIterator[bytes], on_event: Callable[[Job], None]) -> Job:
        """Do a job that reads `chunks`. Raises BuildError, and what `chunks` raises."""
        return await run_with_input(self._pool, job, chunks, on_event)

    async def layer(
        self,
        key: str,
        description: str,
        workspace: Workspace,
        make: Callable[[Path], Awaitable[Job]],
        *,
        use_cache: bool,
    ) -> Made:
        """The layer of the step with this key: of the cache, or made by `make` in a new folder.

        `make` returns the worker's result. Of equal steps that run at the same time, one runs and the others wait.
        A small layer reaches the disk while the next steps run, and only then a record names it (`Workspace.flushed`).
        Raises what `make` raises, OSError.
        """
        while (other := self._making.get(key)) is not None:
            await other.wait()
        if use_cache and (record := self._cached(key)) is not None:
            workspace.use(key)
            return Made(record, cached=True)
        finished = self._making[key] = asyncio.Event()
        is_settling = False
        try:
            if use_cache and (record := await workspace.imported(key)) is not None:
                self.cache.put(record)
                workspace.use(key)
                return Made(record, cached=True)
            folder = await workspace.new_folder()
            done = await make(folder)
            is_flushed = done["is_flushed"]
            await self.store.adopt_layers(folder, [done["diff_id"]], is_flushed=is_flushed)
            now = time.time_ns()
            record = CacheRecord(
                key=key,
                kind=REGULAR,
                layer=done["diff_id"],
                size=done["size"],
                description=description,
                created_ns=now,
                used_ns=now,
            )
            workspace.use(key)
            settling = workspace.settle(self._settle(record, folder, finished, workspace, is_flushed=is_flushed))
            is_settling = True
        finally:
            if not is_settling:
                del self._making[key]
                finished.set()
        return Made(record, cached=False, settling=settling)

    async def _settle(
        self, record: CacheRecord, folder: Path, finished: asyncio.Event, workspace: Workspace, *, is_flushed: bool
    ) -> None:
        """Give the layer its record, once it is on the disk. Raises BuildError."""
        try:
            if not is_flushed:
                await self.store.flush_layer(record.layer)
            self.cache.put(record)
            await self.cache.settle()  # a build that is killed from here on continues after this step
            workspace.discard(folder)
        except OSError as e:
            raise BuildError(f"{(e.strerror or str(e)).lower()} ({e.filename})") from e
        finally:
            del self._making[record.key]
            finished.set()

    def _cached(self, key: str) -> CacheRecord | None:
        record = self.cache.get(key)
        if record is not None and record.layer not in self.store.layers:
            self.cache.drop(key)
            return None
        return record


class Workspace:
    """The folders of one build, all in its ingest folder, and the cache records that it relies on.

    The ingest folder is made with the first that is needed: a build that finds all in the cache needs none.
    """

    def __init__(self, layering: Layering, folder: Path, imports: Imports) -> None:
        self._layering, self.folder, self._imports = layering, folder, imports
        self._numbers = itertools.count(1)
        self._used: list[str] = []
        self._digests: dict[str, str] = {}
        self._discarding: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self.has_made = False  # a layer, or a part of one

    def path(self, name: str) -> Path:
        """A name in the build's folder that nothing else uses."""
        return self.folder / f"{name}-{next(self._numbers)}"

    async def begun(self) -> None:
        """Make the ingest folder. The workers make it with the folders that they are told to make. Raises OSError."""
        await asyncio.to_thread(self.folder.mkdir, 0o700, exist_ok=True)

    async def new_folder(self) -> Path:
        """A folder for one step, with `upper` and `work`. Raises OSError."""
        self.has_made = True
        folder = self.path("step")
        await asyncio.to_thread(_make, folder)
        return folder

    def discard(self, folder: Path) -> None:
        """Remove a folder that is not needed any more, in the background."""
        task = asyncio.create_task(asyncio.to_thread(remove_tree, str(folder)), name="discard")
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)

    def settle(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do what is left of a step beside the next ones."""
        task = asyncio.create_task(work, name="settle a step")
        self._settling.add(task)
        return task

    async def flushed(self) -> None:
        """Wait until all layers of the build are on the disk and have their records. Raises BuildError.

        A caller that is cancelled cancels none of that: what the steps have made is kept.
        """
        if self._settling:
            await asyncio.wait(self._settling)
        for task in self._settling:
            task.result()

    async def imported(self, key: str) -> CacheRecord | None:
        """The record of a step that the build's imported caches have. Raises OSError."""
        if self._imports.is_empty:
            return None
        await self.begun()
        record = await self._imports.find(key, lambda: self.path("import"))
        self.has_made = self.has_made or record is not None
        return record

    def records(self) -> tuple[CacheRecord, ...]:
        """Of all steps of the build so far that have a layer."""
        found = (self._layering.cache.peek(key) for key in dict.fromkeys(self._used))
        return tuple(record for record in found if record is not None and record.layer)

    def use(self, key: str) -> None:
        self._layering.cache.use(key)
        self._used.append(key)

    async def close(self) -> None:
        await self._imports.close()
        for failure in await asyncio.gather(*self._settling, return_exceptions=True):
            if failure is not None:  # the end of the build, too, unless it had another one
                log.info("build.step_not_kept", error=repr(failure))
        self._layering.cache.release(self._used)
        self._used.clear()
        if self._discarding:
            await asyncio.wait([*self._discarding])

    def job(self, op: str, folder: Path, lowers: Sequence[str], **more: Any) -> Job:
        """A job that makes a layer on top of `lowers` in a step's folder."""
        return {
            "op": op,
            "ingest": str(folder),
            "kind": str(self._layering.store.kind),
            "place": str(folder / "root"),
            "target": {"lowers": [*lowers], "upper": str(folder / "upper"), "work": str(folder / "work")},
            **more,
        }

    async def digest(
        self,
        root: Mapping[str, Any],
        paths: Sequence[str],
        *,
        is_context: bool,
        exclude: Sequence[str],
        foreseen: Sequence[Sequence[str]] = (),
    ) -> str:
        """The digest of the files at `paths` of a tree. Raises BuildError if one is missing.

        Nothing changes a tree during a build, so equal questions are answered from memory. `foreseen`: the paths of
        questions about the same tree that will follow, none with `exclude`; one job answers them all.
        """

        def key(asked: Sequence[str], left_out: Sequence[str] = ()) -> str:
            return key_of(dict(root), is_context, [*asked], [*left_out])

        own = key(paths, exclude)
        if own not in self._digests:
            more = [one for one in foreseen if (other := key(one)) != own and other not in self._digests]
            job = {"op": "digest", "root": dict(root), "paths": [*paths], "exclude": [*exclude], "more": more}
            done = await self._layering.run(job | {"is_context": is_context, "place": str(self.path("view"))})
            found = zip(more, done["more"], strict=True)
            self._digests |= {key(one): digest for one, digest in found if digest is not None}
            self._digests[own] = done["digest"]
        return self._digests[own]


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    for name in ("upper", "work"):
        (folder / name).mkdir()
        (folder / name).chmod(0o755)  # what the container's root folder gets, whatever the engine's umask is
