"""Log files of containers: opened for a reader and trimmed behind it, in the disk threads."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import structlog

from vmagent.containers import logconfig
from vmagent.containers.model import Container
from vmagent.containers.session import CachedLogReader
from vmagent.engine.background import Background
from vmagent.engine.registry import Registry
from vmagent.errors import EngineError
from vmagent.supervisor import rotation
from vmagent.supervisor.logfile import LogReader

log = structlog.get_logger(__name__)


class Logs:
    """Opens and trims the log files of containers in the disk threads."""

    def __init__(self, registry: Registry, background: Background) -> None:
        self._registry, self._background = registry, background

    async def open(self, record: Container, *, trims: bool = False, **options: Any) -> CachedLogReader:
        """A reader at its first line; to find that may take reading all of a long log. `options`: of LogReader.

        `trims`: begin within the log's limits even where a reader that has just left had more kept. Raises OSError.
        """
        folder, count = self._registry.folder(record.id), log_files(record)
        opening = asyncio.ensure_future(
            self._background.on_disk(_open_log, folder, count if trims else None, rotates=count is not None, **options)
        )
        try:
            return CachedLogReader(await asyncio.shield(opening), self._background.on_disk)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_reader)  # the thread still opens a reader that has no owner any more
            raise

    def trim_later(self, record: Container) -> None:
        """A reader of the log has left: soon delete what is kept beyond the limits, unless there is another reader."""
        if (count := log_files(record)) is not None:
            self._background.submit(trim_log, self._registry.folder(record.id), count)


def log_files(record: Container) -> int | None:
    """How many generations of its log are to stay; None where there is no limit."""
    try:
        limits = logconfig.limits(record.host_config["LogConfig"])
    except EngineError:  # it can't have been started
        return None
    return None if limits is None else limits[1]


_trimming = threading.Lock()  # two of them would take each other for readers


def trim_log(folder: Path, count: int) -> None:
    """Delete what the log in `folder` has beyond `count` generations, unless it has a reader. Logs its failures."""
    try:
        with _trimming:
            rotation.trim(str(folder), count)
    except FileNotFoundError:  # removed meanwhile, with its container
        return
    except OSError as e:
        log.error("log.not_trimmed", folder=str(folder), error=str(e))


def _open_log(folder: Path, count: int | None, **options: Any) -> LogReader:
    if count is not None:
        trim_log(folder, count)
    return LogReader(folder, **options)


def _close_reader(opening: asyncio.Future[LogReader]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
