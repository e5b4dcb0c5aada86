"""Records that survive a crash, the old bytes or the new, whole; and moves, whose place is the old one or the new."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

_HALF_MADE = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.tmp")  # what `publish` writes to


def fsync_dir(path: Path) -> None:
    """Flush the names in folder `path`. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Replace `path` by `data` in one step.

    With `durable` the data and the name are on disk when this returns (write, fsync, rename, fsync of the folder);
    without, only readers at run time never see half a file. Raises OSError; no temporary file stays behind.
    """
    tmp = f"{path.parent}/.{path.name}.{os.urandom(4).hex()}.tmp"
    fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            left = memoryview(data)
            while left:  # a disk takes a part only, and then says that it is full
                left = left[os.write(fd, left) :]
            if mode != 0o600:
                os.fchmod(fd, mode)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(tmp, path)
    except BaseException:
        Path(tmp).unlink(missing_ok=True)
        raise
    if durable:
        fsync_dir(path.parent)


def move(source: Path, target: Path) -> None:
    """Give a file or folder another place in its file system, in one step, and flush both names.

    Raises FileExistsError if there is something at `target`, OSError. After an error it is where it was.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "there is one already", str(target))
    os.rename(source, target)
    try:
        for folder in {target.parent: None, source.parent: None}:
            fsync_dir(folder)
    except OSError:
        with suppress(OSError):  # the disk is failing: then the caller's error says so
            os.rename(target, source)
        raise


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove from `folder` itself what a `publish` left there that a kill ended; with `name` only that file's.

    Nobody may be publishing there. A folder that is not there is fine. Raises OSError.
    """
    try:
        found = os.listdir(folder)
    except FileNotFoundError:
        return
    for entry in found:
        if (half_made := _HALF_MADE.fullmatch(entry)) is not None and name in (None, half_made[1]):
            (folder / entry).unlink(missing_ok=True)
