"""The first content of a volume: a complete copy of the image's content at the mount's destination, or nothing.

The copy is made in a staging folder and then moved into the volume entry by entry. `filling.json` beside the volume's
data records whether the staged copy is complete: {"schema": 1, "token", "is_complete"}. After a kill the next engine
reads it: an incomplete copy is deleted, and the volume, which is still empty, is filled by the next container that is
created with it; the move of a complete copy is finished.

A volume that is not empty is not filled, and the move never replaces an existing entry. The staging folder of a volume
in the data root is beside its data. For a volume that binds a folder of the host it is in that folder, because only
there a rename is sure to work. All calls block.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vmagent.durable import fsync_dir, publish
from vmagent.errors import EngineError
from vmagent.linux.files import rename_no_replace
from vmagent.linux.trees import remove_whole_tree
from vmagent.volumes.model import Volume

SCHEMA = 1
RECORD = "filling.json"
_OWN_STAGING = "filling"
_HOST_STAGING = ".cove-filling-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Filling:
    """One copy into one volume."""

    volume: Volume
    token: str
    is_complete: bool = False

    @property
    def staging(self) -> Path:
        """The staging folder."""
        if self.volume.is_own:
            return self.volume.data.parent / _OWN_STAGING
        return self.volume.source / f"{_HOST_STAGING}{self.token}"

    @property
    def _record(self) -> Path:
        return self.volume.data.parent / RECORD

    def save(self) -> None:
        """Write the record, durably. Raises OSError."""
        data = {"schema": SCHEMA, "token": self.token, "is_complete": self.is_complete}
        publish(self._record, json.dumps(data).encode())

    @classmethod
    def read(cls, volume: Volume) -> Filling | None:
        """The copy that is being made, or that a killed engine left; None if there is none.

        Raises OSError, and EngineError if the record is damaged or has a newer schema.
        """
        try:
            record = json.loads((volume.data.parent / RECORD).read_bytes())
            if record["schema"] > SCHEMA:
                raise EngineError(f"{RECORD} of volume {volume.name} was written by a newer engine")
            return cls(volume, record["token"], record["is_complete"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as e:
            raise EngineError(f"{RECORD} of volume {volume.name} is damaged: {e}") from e

    def end(self) -> None:
        """Delete the staging folder with its remaining content, then the record. Raises OSError."""
        if self.volume.is_own:
            remove_whole_tree(str(self.staging))
        else:  # other containers may have the host's folder, and change what is in it meanwhile
            with suppress(FileNotFoundError):
                shutil.rmtree(self.staging)
        self._record.unlink(missing_ok=True)
        fsync_dir(self._record.parent)


def begin(volume: Volume) -> Filling | None:
    """Make a staging folder for the volume's first content; None if the volume has content. Raises OSError."""
    recover(volume)
    if not _is_empty(volume.source):
        return None
    filling = Filling(volume, secrets.token_hex(8))
    filling.save()
    filling.staging.mkdir(mode=0o700)
    return filling


def finish(filling: Filling) -> None:
    """Move the complete copy into the volume, whose folder gets the staging folder's owner and mode. Raises OSError.

    If the volume is no longer empty, the copy is deleted instead.
    """
    if _is_empty(filling.volume.source, but=filling.staging.name):
        complete = replace(filling, is_complete=True)
        complete.save()
        _move_in(complete)
    filling.end()


def recover(volume: Volume) -> None:
    """Finish the filling that a killed engine left: move a complete copy in, or delete an incomplete one.

    Raises OSError, EngineError.
    """
    if (left := Filling.read(volume)) is not None:
        if left.is_complete:
            with suppress(FileNotFoundError):  # the copy was moved and deleted already; only the record is left
                _move_in(left)
        left.end()


def _is_empty(folder: Path, but: str = "") -> bool:
    with os.scandir(folder) as entries:
        return all(entry.name == but for entry in entries)


def _move_in(filling: Filling) -> None:
    source = os.open(filling.staging, _FOLDER)
    try:
        target = os.open(filling.volume.source, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for name in os.listdir(source):
                try:
                    rename_no_replace(source, name, target, name)
                except OSError as e:
                    if e.errno != errno.EEXIST:  # an existing entry belongs to the user and stays
                        raise
            info = os.fstat(source)
            os.fchown(target, info.st_uid, info.st_gid)
            os.fchmod(target, info.st_mode & 0o7777)
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)
