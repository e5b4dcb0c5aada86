"""Files that are removed or made in quiet moments: trees in the trash, and spare container folders.

A thread that makes or removes files requests the interpreter's lock at each of its system calls. Beside a start, the
two delayed each other by milliseconds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vmagent.containers.records import make_folder
from vmagent.containers.spares import Spare, Spares
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.linux.trees import remove_tree
from vmagent.paths import DataRoot

QUIET_S = 0.1  # without an event of a container, before the work is done
TIDY_LIMIT_S = 5.0  # after this time it is done beside other work


class Tidying:
    """The trash and the spare folders. Used on the event loop only."""

    def __init__(self, data_root: DataRoot, background: Background, events: ContainerEvents) -> None:
        self._background, self._events = background, events
        self._trash_folder = data_root.trash
        self._earlier_spares = data_root.spares
        self._spares = Spares(data_root.containers, make_folder)
        self._trash: list[Path] = []
        self._untidy_since = 0.0  # loop time; 0: nothing waits for a quiet moment

    # Trees

    async def discard_tree(self, path: Path) -> None:
        """Move `path` into the trash now, remove its files later. Raises OSError."""
        await self.discard_trees([path])

    async def discard_trees(self, paths: Sequence[Path]) -> None:
        """As `discard_tree`, of many in one turn of a disk thread. Raises OSError."""
        targets = {path: self._trash_folder / f"{path.name}.{os.urandom(4).hex()}" for path in paths}
        self._trash += await self._background.on_disk(_moved, targets)
        self._later()

    def remove_later(self, path: Path) -> None:
        """Remove an unused tree in a quiet moment. It may be missing."""
        self._trash.append(path)
        self._later()

    async def sweep_trash(self) -> None:
        """Remove what an earlier engine left in the trash."""
        for entry in await self._background.on_disk(os.listdir, self._trash_folder):
            await self._background.on_disk(remove_tree, f"{self._trash_folder}/{entry}")

    # Spare folders

    def open_spares(self) -> None:
        """Begin to make the first spare folders."""
        self._background.submit(remove_tree, str(self._earlier_spares))
        self._background.submit(self._spares.fill_up)

    def is_spare(self, folder: Path) -> bool:
        """Whether this engine has made a container's folder for a container to come."""
        return folder.name in self._spares

    def take_spare(self) -> Spare:
        """The ID for a new container, with its folder where one is left. `return_spare` follows."""
        return self._spares.take()

    def return_spare(self, spare: Spare) -> None:
        """After a create: keep its spare folder, if it has failed before it used that."""
        self._spares.give_back(spare)

    def replace_spare(self) -> None:
        """Replace a spare folder that was taken: in a quiet moment, or at once if few are left."""
        if self._spares.is_low:
            self._background.submit(self._spares.make)
        self._later()

    # When

    def _later(self) -> None:
        if not self._untidy_since:
            loop = asyncio.get_running_loop()
            self._untidy_since = loop.time()
            loop.call_later(QUIET_S, self._tidy)

    def _tidy(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < min(self._events.last_at + QUIET_S, self._untidy_since + TIDY_LIMIT_S):
            loop.call_later(QUIET_S, self._tidy)
            return
        self._untidy_since = 0.0
        trash, self._trash = self._trash, []
        self._background.submit(self._tidy_now, trash)

    def _tidy_now(self, trash: list[Path]) -> None:
        """Runs in a disk thread. Makes folders first, because ext4 makes files more slowly after many deletions."""
        self._spares.fill_up()
        _remove_trees(trash)

    def finish(self) -> None:
        """At the engine's end: start to remove the trees that wait."""
        self._background.submit(_remove_trees, self._trash)


def _moved(targets: Mapping[Path, Path]) -> list[Path]:
    """Rename each folder that is there; the new paths."""
    moved = []
    for path, target in targets.items():
        with suppress(FileNotFoundError):
            os.rename(path, target)
            moved.append(target)
    return moved


def _remove_trees(paths: list[Path]) -> None:
    for path in paths:
        remove_tree(str(path))  # what can't be removed now is removed by the next engine's sweep
