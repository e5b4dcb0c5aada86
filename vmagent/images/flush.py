"""Getting files to the disk by their names."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from vmagent.durable import fsync_dir
from vmagent.images.layer import DIFF, RECORD, UNFLUSHED
from vmagent.linux.files import start_writeback

_WRITEBACK_STEP = 8 << 20
FEW = 32  # entries: a folder with no more is a layer of kind dir as it is, and is flushed entry by entry


def flush_file(path: Path) -> None:
    """fdatasync(2) by name. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


class EarlyWriteback:
    """Has the disk work on a file that is still being written, so that the flush at its end finds little to do."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = self._begun = 0

    def wrote(self, size: int) -> None:
        """`size` bytes more were written, from the file's beginning on. Raises OSError."""
        self._size += size
        if self._size - self._begun >= _WRITEBACK_STEP:
            start_writeback(self._fd, self._begun, self._size - self._begun)
            self._begun = self._size


def entries_of(folder: Path, at_most: int) -> list[Path] | None:
    """All that is below `folder`, without following links; None if there are more. Raises OSError."""
    found: list[Path] = []
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if len(found) == at_most:
                    return None
                found.append(Path(entry.path))
                if entry.is_dir(follow_symlinks=False):
                    pending.append(found[-1])
    return found


def flush_few(layer: Path) -> None:
    """Flush a layer of kind dir with few entries, in its folder `layer`; then its record has its name. Idempotent.

    Raises OSError.

    A few files take less than syncfs(2), which waits for what all other programs have written. Links and devices have
    no content of their own: they are on the disk with the folder that they are in. A write that has failed is reported
    to the first descriptor that is flushed after it (errseq_t), so also to these.
    """
    content = layer / DIFF
    entries = entries_of(content, FEW)
    assert entries is not None, f"{layer} has more than {FEW} entries"
    for path in (*entries, content):
        if stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    with suppress(FileNotFoundError):  # it has its name already
        flush_file(layer / UNFLUSHED)
        os.rename(layer / UNFLUSHED, layer / RECORD)
    fsync_dir(layer)
