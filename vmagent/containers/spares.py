"""Folders of containers to come, made while nobody waits.

Where many files have just been deleted, ext4 takes up to 0.7 ms to find an inode for a new one, and a rename 0.02.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

SPARES = 16  # as many creates in a row need no new folder


class Spares:
    """`place` gives one to a container. From any thread: its queue's calls are atomic."""

    def __init__(self, folder: Path, fill: Callable[[Path], None]) -> None:
        """`fill` makes a folder with all that is in it. Raises OSError."""
        self._folder, self._fill = folder, fill
        self._made: deque[Path] = deque()

    def open(self) -> None:
        """Make as many as there should be; what an earlier engine left goes. Failures as those of `make`."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for left in set(self._folder.iterdir()) - set(self._made):
                shutil.rmtree(left)
        except OSError as e:
            log.warning("folders.not_prepared", error=str(e))
            return
        self.fill_up()

    @property
    def is_low(self) -> bool:
        return len(self._made) < SPARES // 4

    def fill_up(self) -> None:
        for _ in range(SPARES - len(self._made)):
            self.make()

    def make(self) -> None:
        """Make one if there are too few; what keeps it from that is logged, and met again by who needs a folder."""
        if len(self._made) >= SPARES:
            return
        path = self._folder / os.urandom(8).hex()
        try:
            self._fill(path)
        except OSError as e:
            log.warning("folders.not_prepared", error=str(e))
            shutil.rmtree(path, ignore_errors=True)
            return
        self._made.append(path)

    def place(self, folder: Path) -> None:
        """Have `folder` there; where none is prepared, it is made now. Raises OSError."""
        try:
            os.rename(self._made.popleft(), folder)
        except (IndexError, FileNotFoundError):
            self._fill(folder)
