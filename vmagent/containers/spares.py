"""Spare folders for future containers, made outside of requests.

After many deletions, ext4 takes up to 0.7 ms to find an inode for a new file. A spare folder has the name of its
container already, an ID that none has yet: a rename would be one more name to flush in the create. Without a record it
counts as a create that was not completed (`records.is_whole`), so the next engine removes it.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from vmagent.containers.model import ContainerId, new_container_id
from vmagent.durable import fsync_dir

log = structlog.get_logger(__name__)

SPARES = 16  # this many creates in a row need no new folder


@dataclass(slots=True)
class Spare:
    """The ID of a future container, and what is there of its folder."""

    id: ContainerId
    is_made: bool = False
    is_durable: bool = False  # its name and those in it are on the disk
    is_used: bool = False  # it is its container's now


class Spares:
    """A store of spare folders. Any thread may call it, because the operations of its deque are atomic."""

    def __init__(self, containers: Path, fill: Callable[[Path], None]) -> None:
        """`containers`: the folder of all containers' folders. `fill(path)` makes a folder with its content; it may
        raise OSError."""
        self._folder, self._fill = containers, fill
        self._made: deque[Spare] = deque()
        self._filling = threading.Lock()
        self._unused: set[str] = set()  # the IDs of folders that were made, or are being made, and have no container

    def __contains__(self, name: str) -> bool:
        """Whether the folder `name` is one of these, and no left-over of an earlier engine."""
        return name in self._unused

    @property
    def is_low(self) -> bool:
        return len(self._made) < SPARES // 4

    def fill_up(self) -> None:
        """Make as many as are missing, and flush them: the first flush writes all, and no create has to wait for it.
        Does nothing while another thread does that, as at the engine's start after a kill."""
        if not self._filling.acquire(blocking=False):
            return
        try:
            self._fill_up()
        finally:
            self._filling.release()

    def _fill_up(self) -> None:
        made = [spare for _ in range(SPARES - len(self._made)) if (spare := self._make()) is not None]
        if not made:
            return
        try:
            for spare in made:
                fsync_dir(self._folder / spare.id)
            fsync_dir(self._folder)
        except OSError as e:
            log.warning("folders.not_flushed", error=str(e))
        else:
            for spare in made:
                spare.is_durable = True
        self._made.extend(made)

    def make(self) -> None:
        """Make one folder if there are fewer than SPARES; beside creates, whose flushes another one would delay."""
        if len(self._made) < SPARES and (spare := self._make()) is not None:
            self._made.append(spare)

    def _make(self) -> Spare | None:
        """A new folder. Logs errors, and returns None then: the create will meet and raise them."""
        spare = Spare(new_container_id(), is_made=True)
        self._unused.add(spare.id)
        try:
            self._fill(self._folder / spare.id)
        except OSError as e:
            log.warning("folders.not_prepared", error=str(e))
            shutil.rmtree(self._folder / spare.id, ignore_errors=True)
            self._unused.discard(spare.id)
            return None
        return spare

    def take(self) -> Spare:
        """A spare folder; if there is none, the ID of one that is not made."""
        try:
            return self._made.popleft()
        except IndexError:
            return Spare(new_container_id())

    def give_back(self, spare: Spare) -> None:
        """Keep what was taken and not used."""
        if spare.is_used:
            self._unused.discard(spare.id)
        elif spare.is_made:
            self._made.append(spare)
