"""What was deleted and can be brought back, on disk: DataRoot.bin/ENTRY/{entry.json,container,volumes/NAME}.

An entry's record is written durably before what it is about is moved in, and each move is one rename. So after a kill
an entry without content names something that was not deleted, or that was brought back: it is dropped. All calls block:
make them in a disk thread.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import structlog

from vmagent.durable import fsync_dir, publish
from vmagent.linux.trees import BLOCK_BYTES, files_below, remove_tree

SCHEMA = 1
RECORD, CONTAINER, VOLUMES = "entry.json", "container", "volumes"

Kind = Literal["container", "volume", "image"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deletion. `subject`: the container's or image's id, or the volume's name; `image`: the name that a
    container's image was asked for by; `at_ns`: when it was deleted, CLOCK_REALTIME.

    Of an image nothing is moved: the names that it lost, each with the image and the index that it pointed to, the
    images that may have gone, and the blobs of the indexes. All of them stay where they are as long as the entry.
    """

    id: str  # 12 hex digits
    kind: Kind
    subject: str
    name: str
    at_ns: int
    image: str = ""
    image_id: str = ""
    is_anonymous: bool = False  # a volume that nobody had named
    names: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    images: Sequence[str] = field(default_factory=list)
    blobs: Sequence[str] = field(default_factory=list)


class BinStore:
    """Access to the folder of all entries. Has no state in memory."""

    def __init__(self, folder: Path, trash: Path) -> None:
        """`trash`: a folder on the same file system, whose content its owner removes."""
        self._folder, self._trash = folder, trash

    def load(self) -> tuple[list[Entry], list[Entry]]:
        """(entries with content, those without). A damaged entry is logged and left unchanged. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        whole: list[Entry] = []
        begun: list[Entry] = []
        for path in sorted(self._folder.iterdir()):
            try:
                entry = _entry(json.loads((path / RECORD).read_bytes()), path.name)
            except FileNotFoundError:
                if not (path / CONTAINER).exists() and not _names_in(path / VOLUMES):
                    remove_tree(str(path))  # it was cut short before its record was there
                    continue
                log.warning("bin.unreadable", entry=path.name, error="its record is missing")
                continue
            except (OSError, ValueError) as e:
                log.warning("bin.unreadable", entry=path.name, error=str(e))
                continue
            (whole if self.has_content(entry) else begun).append(entry)
        return whole, begun

    def has_content(self, entry: Entry) -> bool:
        """Whether there is something to bring back; what an image was is not in here."""
        if entry.kind == "image":
            return True
        if entry.kind == "container":
            return self.container(entry).exists()
        return bool(self.volumes_in(entry))

    def begin(self, entry: Entry) -> None:
        """Write the entry's record; the caller moves its content in. Raises OSError; then nothing is left of it."""
        path = self._folder / entry.id
        path.mkdir(mode=0o700)
        try:
            (path / VOLUMES).mkdir(mode=0o701)
            publish(path / RECORD, json.dumps({"schema": SCHEMA, **asdict(entry)}).encode())
            fsync_dir(self._folder)
        except BaseException:
            remove_tree(str(path))
            raise

    def container(self, entry: Entry) -> Path:
        """Where the container's folder is, or is to be."""
        return self._folder / entry.id / CONTAINER

    def volume(self, entry: Entry, name: str) -> Path:
        """Where a volume's folder is, or is to be."""
        return self._folder / entry.id / VOLUMES / name

    def volumes_in(self, entry: Entry) -> Sequence[str]:
        """The names of the volumes that were deleted with it."""
        return _names_in(self._folder / entry.id / VOLUMES)

    def put_away(self, entry: Entry) -> Path:
        """Move the entry to the trash in one step, with what is left in it; returns its new path. Raises OSError."""
        target = self._trash / f"bin-{entry.id}"
        os.rename(self._folder / entry.id, target)
        fsync_dir(self._folder)
        return target

    def size_bytes(self, entry: Entry) -> int:
        """Bytes on disk of all its files; hard links count once."""
        return sum(info.st_blocks * BLOCK_BYTES for info in files_below(self._folder / entry.id))


# Of an entry's fields; the others are texts.
_TYPES: Mapping[str, type] = {"at_ns": int, "is_anonymous": bool, "names": dict, "images": list, "blobs": list}


def _entry(record: Any, folder: str) -> Entry:
    """The entry of a record in the entry's folder of that name. Raises ValueError."""
    if not isinstance(record, dict) or record.pop("schema", None) != SCHEMA:
        raise ValueError(f"not a record of schema {SCHEMA}")
    for key, value in record.items():
        if not isinstance(value, _TYPES.get(key, str)):
            raise ValueError(f"{key} is not of its type")
    try:
        entry = Entry(**record)
    except TypeError as e:  # a field is missing, or unknown
        raise ValueError(str(e)) from e
    if entry.id != folder or entry.kind not in get_args(Kind) or "/" in entry.subject:
        raise ValueError("the record is of something else")
    texts = [*entry.images, *entry.blobs, *(text for pair in entry.names.values() for text in pair)]
    is_image = entry.kind == "image"
    if not all(isinstance(text, str) for text in texts) or (entry.subject in entry.images) != is_image:
        raise ValueError("images are not told as they should")
    if any(len(pair) != 2 for pair in entry.names.values()):
        raise ValueError("names are not told as they should")
    return entry


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
