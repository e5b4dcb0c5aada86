"""The files of volumes: listings, tars out and in, copies. No container is needed, and none is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.filejobs import FileJobs
from vmagent.engine.options import PathStat
from vmagent.engine.volumes import Volumes
from vmagent.volumes.model import Volume


class VolumeFiles:
    """The verbs. While one runs, its volume is in use. All raise NotFound."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def _jobs(self, name: str) -> FileJobs:
        @asynccontextmanager
        async def opened() -> AsyncIterator[JsonObject]:
            async with self._volumes.opened(name) as volume:
                yield _root(volume)

        return FileJobs(f"volume {name}", opened)

    async def folder(self, name: str, path: str, most: int) -> bytes:
        """See FileJobs.listing."""
        return await self._jobs(name).listing(path, most)

    async def stat(self, name: str, path: str) -> PathStat:
        """What the path is."""
        return await self._jobs(name).stat(path)

    async def get(self, name: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """See FileJobs.get."""
        return await self._jobs(name).get(path)

    async def put(self, name: str, path: str, chunks: AsyncIterator[bytes], *, no_overwrite_dir_non_dir: bool) -> None:
        """Unpack a tar into a folder of the volume. Raises BadRequest."""
        await self._jobs(name).put(path, chunks, no_overwrite_dir_non_dir=no_overwrite_dir_non_dir)

    async def clone(self, name: str, new: str) -> None:
        """Make volume `new` with what volume `name` has. Raises BadRequest, Conflict."""
        async with self._volumes.opened(name) as volume:

            async def fill(folder: Path) -> None:
                if not volume.options.get("device"):  # else it is a place outside, which now has two names
                    await self._jobs(name).copy_up("/", str(folder), {})

            await self._volumes.copy(volume, new, fill)


def _root(volume: Volume) -> JsonObject:
    return {"folder": str(volume.source)}
