"""Volumes on disk: DataRoot.volumes/NAME/{volume.json,_data}.

A volume's folder is made under a temporary name and renamed when it is complete and flushed. Temporary names begin with
a dot; a volume's name can't. All calls block: make them in a disk thread.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import structlog

from vmagent.durable import fsync_dir, move, publish
from vmagent.errors import EngineError
from vmagent.linux.trees import BLOCK_BYTES, files_below, remove_tree
from vmagent.volumes import filling
from vmagent.volumes.model import Volume, now

RECORD = "volume.json"
DATA = "_data"

log = structlog.get_logger(__name__)


class VolumeStore:
    """Access to the folder of all volumes. Has no state in memory."""

    def __init__(self, folder: Path, trash: Path) -> None:
        """`trash`: a folder on the same file system, whose content its owner removes."""
        self._folder, self._trash = folder, trash

    def load(self) -> list[Volume]:
        """All volumes. Removes incomplete ones that a crash left. A damaged record is logged and left unchanged."""
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._trash.mkdir(mode=0o700, parents=True, exist_ok=True)
        volumes = []
        for entry in sorted(self._folder.iterdir()):
            if entry.name.startswith("."):
                remove_tree(str(entry))
                continue
            try:
                volume = Volume.from_record((entry / RECORD).read_bytes(), entry / DATA)
            except (OSError, EngineError) as e:
                log.warning("volume.unreadable", volume=entry.name, error=str(e))
                continue
            volumes.append(volume)
            try:
                filling.recover(volume)
            except (OSError, EngineError) as e:  # tried again before the volume is filled
                log.warning("volume.filling_not_ended", volume=volume.name, error=str(e))
        return volumes

    def create(self, name: str, labels: Mapping[str, str], options: Mapping[str, str]) -> Volume:
        """Make volume `name`, durable at return. Raises OSError; FileExistsError if the name is taken on disk."""
        folder = self.begin(name, labels, options)
        try:
            return self.finish(folder, name)
        except BaseException:
            self.drop(folder)
            raise

    def begin(self, name: str, labels: Mapping[str, str], options: Mapping[str, str]) -> Path:
        """Make the folder of a volume `name` under a temporary name: the caller may put content into its `DATA`, then
        calls `finish` or `drop`. The next engine drops what a crash has left. Raises OSError, as `create`."""
        self._refuse_if_there(name)
        final, temporary = self._folder / name, self._folder / f".{secrets.token_hex(8)}"
        volume = Volume(name=name, created=now(), data=final / DATA, labels=dict(labels), options=dict(options))
        temporary.mkdir(mode=0o701)
        try:
            (temporary / DATA).mkdir(mode=0o755)
            os.chmod(temporary / DATA, 0o755)  # despite the umask: containers' users must have access
            publish(temporary / RECORD, volume.to_record())
        except BaseException:
            self.drop(temporary)
            raise
        return temporary

    def finish(self, folder: Path, name: str) -> Volume:
        """Give a folder of `begin` its name: from here on it is volume `name`, durably. Raises OSError, as `create`."""
        return self._take(folder, name)

    def drop(self, folder: Path) -> None:
        """Remove a folder of `begin`. What can't be removed is left to the next engine."""
        remove_tree(str(folder))

    def rename(self, name: str, new: str) -> Volume:
        """Give volume `name` the name `new`, durably and in one step. Raises OSError, as `create`."""
        return self._take(self._folder / name, new)

    def _take(self, folder: Path, name: str) -> Volume:
        """Make `folder` that of volume `name`. Raises OSError, as `create`; EngineError if its record is damaged. Then
        the folder is where it was."""
        final = self._folder / name
        raw = (folder / RECORD).read_bytes()
        volume = Volume.from_record(raw, final / DATA)
        self._refuse_if_there(name)
        move(folder, final)
        if raw != volume.to_record():
            try:
                publish(final / RECORD, volume.to_record())
            except OSError as e:  # such as on a full disk; it is the folder's name that counts
                log.warning("volume.record_has_old_name", volume=name, error=str(e))
        return volume

    def _refuse_if_there(self, name: str) -> None:
        if (self._folder / name).exists():  # a volume with a damaged record: keep its data
            raise FileExistsError(f"the folder of volume {name} exists already: {self._folder / name}")

    def remove(self, name: str) -> Path:
        """Move the volume to the trash in one step; returns its new path. Raises OSError."""
        target = self._trash / f"volume-{secrets.token_hex(8)}"
        os.rename(self._folder / name, target)
        fsync_dir(self._folder)
        return target

    def move_out(self, name: str, target: Path) -> None:
        """Move the volume's folder to `target` on the same file system, durably, in one step. Raises OSError."""
        move(self._folder / name, target)

    def move_in(self, source: Path, name: str) -> Volume:
        """Make a folder of `move_out` volume `name`, durably, in one step. Raises OSError, as `create`; EngineError if
        its record is damaged."""
        return self._take(source, name)

    def size_bytes(self, name: str) -> int:
        """Bytes on disk of the volume's files; hard links count once. Files deleted meanwhile are ignored."""
        return sum(info.st_blocks * BLOCK_BYTES for info in files_below(self._folder / name / DATA))
