"""Files with holes, on Linux."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path

# Known to take out pieces of a file, and to need no space for a hole that is read. Not tmpfs: there it does.
_FITTING = ("ext4", "xfs", "btrfs")
_CLONE = 0x40049409  # FICLONE: ioctl_ficlonerange(2)


def can_map(folder: Path) -> bool:
    """See `Platform.maps_files`."""
    return file_system(folder) in _FITTING


def file_system(folder: Path) -> str:
    """The type of the file system that `folder` lies on: proc(5), mountinfo. "": it can't be told."""
    at, best, found = os.path.realpath(folder), "", ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            words, _, more = line.partition(" - ")
            point = words.split(" ")[4].replace("\\040", " ")
            # Of several on one point the last holds.
            if len(point) >= len(best) and (at + "/").startswith(point.rstrip("/") + "/"):
                best, found = point, more.split(" ")[0]
    return found


def clone(source: Path, target: Path) -> None:
    """See `Platform.clone_file`."""
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    with open(source, "rb", 0) as old, open(target, "xb", 0) as new:
        try:
            fcntl.ioctl(new, _CLONE, old.fileno())  # of file systems that can, both have the same blocks
            return
        except OSError as e:
            if e.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL):
                raise
        size, at = os.fstat(old.fileno()).st_size, 0
        new.truncate(size)
        while at < size:
            try:
                at = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError as e:
                if e.errno == errno.ENXIO:  # nothing but a hole follows
                    return
                raise
            end = os.lseek(old.fileno(), at, os.SEEK_HOLE)
            while at < end:
                at += os.copy_file_range(old.fileno(), new.fileno(), end - at, at, at)
