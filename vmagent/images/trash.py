"""The image store's trash: files are moved there by one rename each and deleted later by a worker at low priority."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

import structlog

from vmagent.errors import EngineError
from vmagent.helpers.pool import WorkerPool
from vmagent.images.faults import WORKER, engine_error

log = structlog.get_logger()

_OWN = "image-"  # begins the names of the store's files: it shares the folder with containers and volumes


class Trash:
    """The store's part of the data root's trash. Deletion runs in a worker of its own, so that no job waits for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._janitor: WorkerPool

    def open(self) -> None:
        """Be ready to delete; on the event loop."""
        self._janitor = WorkerPool(WORKER, engine_error, 1, nice=10)

    async def close(self) -> None:
        """End the worker. No deletion may be running."""
        await self._janitor.close()

    def move(self, paths: Iterable[Path]) -> None:
        """Move files and folders away; a missing one is skipped. Blocks. Raises OSError.

        No record names them any more, so the rename need not be flushed.
        """
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.rename(path, self._folder / f"{_OWN}{uuid.uuid4().hex}")

    def _is_empty(self) -> bool:
        return not any(self._folder.glob(f"{_OWN}*"))

    async def empty(self) -> None:
        """Delete everything, in a worker where there is something. A failure is logged; the next call tries again."""
        if await asyncio.to_thread(self._is_empty):
            return
        try:
            await self._janitor.run({"op": "remove", "folder": str(self._folder), "names": f"{_OWN}*"})
        except EngineError as e:
            log.error("trash.stays", error=str(e))
