"""What is done with the files of one place, a container or a volume: listings, docker's stat, tars out and in.

The reading and writing is done in a helper process (`vmagent.containers.fileworker`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.options import PathStat
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.helpers.pool import SingleUse, Spare, run_with_input, run_with_output

FILE_WORKER = "vmagent.containers.fileworker"  # runs in a helper process
_ERRORS: Mapping[str, type[EngineError]] = {"400": BadRequest, "404": NotFound, "409": Conflict}


class FileJobs:
    """The jobs of one place. All raise NotFound for a path that is not there, and what `opened` raises."""

    def __init__(
        self, place: str, opened: Callable[[], AbstractAsyncContextManager[JsonObject]], spare: Spare | None = None
    ) -> None:
        """`place`: as errors name it. `opened`: provides the part of a job that tells where the files are; they stay
        there until its exit. `spare`: for a process that was started before."""
        self._place, self._opened, self._spare = place, opened, spare

    async def listing(self, path: str, most: int) -> bytes:
        """FolderListing as JSON: what is in the folder at `path`, of that the first `most` by name."""
        async with self._opened() as root:
            job = {"op": "list", "path": path, "most": most, "root": root}
            async with aclosing(run_with_output(self._workers(path), job)) as stream:
                return b"".join([data async for data in stream])

    async def stat(self, path: str) -> PathStat:
        """What the path is."""
        return _path_stat((await self._run({"op": "stat", "path": path}))["stat"])

    async def get(self, path: str, crosses: Sequence[str] = ()) -> tuple[PathStat, AsyncIterator[bytes]]:
        """(docker's path stat, the tar of the file or folder at `path`). `crosses`: the mounts that are included."""
        stream = self._get(path, crosses)
        found = await anext(stream)
        assert isinstance(found, PathStat)
        return found, stream  # type: ignore[return-value]  # all further items are bytes

    async def _get(self, path: str, crosses: Sequence[str]) -> AsyncIterator[PathStat | bytes]:
        found: asyncio.Future[PathStat] = asyncio.get_running_loop().create_future()

        def on_event(event: JsonObject) -> None:
            found.set_result(_path_stat(event["stat"]))

        async with self._opened() as root:
            job = {"op": "get", "path": path, "root": root, "crosses": [*crosses]}
            async with aclosing(run_with_output(self._workers(path), job, on_event)) as stream:
                first = await anext(stream)
                yield await found
                yield first
                async for data in stream:
                    yield data

    async def put(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool,
        owner: tuple[int, int] | None = None,
    ) -> None:
        """Unpack a tar into the folder at `path`. `owner`: of all that is unpacked; None: as the tar says. Raises
        BadRequest for what is no tar."""
        choices = {"no_overwrite_dir_non_dir": no_overwrite_dir_non_dir, "owner": owner}
        async with self._opened() as root:
            job = {"op": "put", "path": path, "root": root, **choices}
            await run_with_input(self._workers(path, self._spare), job, chunks)

    async def export(self) -> AsyncIterator[bytes]:
        """The tar of all files."""
        async with self._opened() as root:
            job = {"op": "export", "path": "/", "root": root}
            async with aclosing(run_with_output(self._workers("/"), job)) as stream:
                async for data in stream:
                    yield data

    async def copy_up(self, path: str, target: str, ids: JsonObject) -> None:
        """Copy the folder at `path` into the empty folder `target`, flushed. `ids`: maps for the owners there."""
        await self._run({"op": "copy_up", "path": path, "target": target, "target_users": ids})

    async def _run(self, job: JsonObject) -> dict[str, Any]:
        async with self._opened() as root:
            return await self._workers(job["path"]).run({**job, "root": root})

    def _workers(self, path: str, spare: Spare | None = None) -> SingleUse:
        return SingleUse(FILE_WORKER, partial(self._engine_error, path), spare)

    def _engine_error(self, path: str, message: str, kind: str) -> EngineError:
        if kind == "404":
            message = f"Could not find the file {path} in {self._place}"
        return _ERRORS.get(kind, EngineError)(message)


def _path_stat(found: Mapping[str, Any]) -> PathStat:
    return PathStat(found["name"], found["size"], found["mode"], found["mtime"], found["linkTarget"])
