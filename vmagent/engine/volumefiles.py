"""The files of volumes: listings, tars out and in, copies. No container is needed, and none is made.

The reading and writing is done in a helper process, as for containers (`vmagent.engine.files`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.files import path_stat, workers_at
from vmagent.engine.options import PathStat
from vmagent.engine.volumes import Volumes
from vmagent.helpers.pool import run_with_input, run_with_output
from vmagent.volumes.model import Volume


class VolumeFiles:
    """The verbs. While one runs, its volume is in use."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    async def folder(self, name: str, path: str, most: int) -> bytes:
        """FolderListing as JSON, as `Files.folder`. Raises NotFound."""
        async with self._volumes.opened(name) as volume:
            job = {"op": "list", "path": path, "most": most, "root": _root(volume)}
            async with aclosing(run_with_output(workers_at(path, f"volume {name}"), job)) as stream:
                return b"".join([data async for data in stream])

    async def stat(self, name: str, path: str) -> PathStat:
        """Raises NotFound."""
        async with self._volumes.opened(name) as volume:
            job = {"op": "stat", "path": path, "root": _root(volume)}
            done = await workers_at(path, f"volume {name}").run(job)
        return path_stat(done["stat"])

    async def get(self, name: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """(docker's path stat, the tar of the file or folder at `path`). Raises NotFound."""
        stream = self._get(name, path)
        found = await anext(stream)
        assert isinstance(found, PathStat)
        return found, stream  # type: ignore[return-value]  # all further items are bytes

    async def _get(self, name: str, path: str) -> AsyncIterator[PathStat | bytes]:
        found: asyncio.Future[PathStat] = asyncio.get_running_loop().create_future()

        def on_event(event: JsonObject) -> None:
            found.set_result(path_stat(event["stat"]))

        async with self._volumes.opened(name) as volume:
            job = {"op": "get", "path": path, "root": _root(volume), "crosses": []}
            async with aclosing(run_with_output(workers_at(path, f"volume {name}"), job, on_event)) as stream:
                first = await anext(stream)
                yield await found
                yield first
                async for data in stream:
                    yield data

    async def put(self, name: str, path: str, chunks: AsyncIterator[bytes], *, no_overwrite_dir_non_dir: bool) -> None:
        """Unpack a tar into a folder of the volume. Raises NotFound, BadRequest."""
        async with self._volumes.opened(name) as volume:
            choices = {"owner": None, "no_overwrite_dir_non_dir": no_overwrite_dir_non_dir}
            job = {"op": "put", "path": path, "root": _root(volume), **choices}
            await run_with_input(workers_at(path, f"volume {name}"), job, chunks)

    async def clone(self, name: str, new: str) -> None:
        """Make volume `new` with what volume `name` has. Raises NotFound, BadRequest, Conflict."""
        async with self._volumes.opened(name) as volume:

            async def fill(folder: Path) -> None:
                if volume.options.get("device"):
                    return  # it is a place outside, which now has two names
                job = {"op": "copy_up", "path": "/", "root": _root(volume), "target": str(folder), "target_users": {}}
                await workers_at("/", f"volume {name}").run(job)

            await self._volumes.copy(volume, new, fill)


def _root(volume: Volume) -> dict[str, Any]:
    return {"folder": str(volume.source)}
