"""Log files of containers: opened for readers, and trimmed to their limits after a reader has left."""

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
        """A reader at the first line to be read; finding that line may require reading a whole long log.

        `options`: as for LogReader. `trims`: first delete files beyond the log's limits that were kept for a reader
        that has left. Raises OSError.
        """
        folder, count = self._registry.folder(record.id), log_files(record)
        opening = asyncio.ensure_future(
            self._background.on_disk(_open_log, folder, count if trims else None, rotates=count is not None, **options)
        )
        try:
            return CachedLogReader(await asyncio.shield(opening), self._background.on_disk)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_reader)  # the thread may still open the reader: close it then
            raise

    def trim_later(self, record: Container) -> None:
        """After a reader has left: soon delete the files beyond the limits, unless the log has another reader."""
        if (count := log_files(record)) is not None:
            self._background.submit(trim_log, self._registry.folder(record.id), count)


def log_files(record: Container) -> int | None:
    """How many generations of the log are kept (`max-file`); None: the log has no limit."""
    try:
        limits = logconfig.limits(record.host_config["LogConfig"])
    except EngineError:  # invalid options: the container was never started, so it has no log
        return None
    return None if limits is None else limits[1]


_trimming = threading.Lock()  # a trim locks the log as a reader does, so two at once would hinder each other


def trim_log(folder: Path, count: int) -> None:
    """Delete the oldest generations of the log in `folder` beyond `count`, unless they have a reader. Logs errors."""
    try:
        with _trimming:
            rotation.trim(str(folder), count)
    except FileNotFoundError:  # the container was removed meanwhile
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
