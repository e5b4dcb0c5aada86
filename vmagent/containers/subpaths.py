"""A folder or file inside a volume, mounted for one start (VolumeOptions.Subpath of the Engine API).

A process in a container may exchange parts of the path for links at any moment. So the path is opened once, by an
openat2(2) that never leaves the volume, and what was found is bound at a place of the engine's own. From there the
container's mount is made, and then the engine's is taken away.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vmagent.errors import BadRequest
from vmagent.linux import mounts


def is_local(subpath: str) -> bool:
    """Whether `subpath`, as it is written, is relative and does not climb out of the volume."""
    normal = os.path.normpath(subpath)
    return not (subpath.startswith("/") or normal == ".." or normal.startswith("../"))


def open_subpath(volume: str, subpath: str) -> int:
    """Open a folder or file of a volume with O_PATH; the caller closes it. Links are followed inside the volume.

    Raises OSError: EXDEV where a link leads out.
    """
    root_fd = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return mounts.open_beneath(root_fd, subpath)
    finally:
        os.close(root_fd)


def attach(volume: str, subpath: str, folder: Path) -> Path:
    """Bind a folder or file of a volume below `folder`; returns the place, for `detach`.

    Raises BadRequest if there is nothing, or if a link leads out; OSError.
    """
    try:
        found = open_subpath(volume, subpath)
    except OSError as e:
        if e.errno == errno.EXDEV:
            raise BadRequest(f"failed to mount the subpath {subpath!r}: it leads out of the volume") from e
        if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise BadRequest(f"cannot access path {volume}/{subpath}: {os.strerror(e.errno).lower()}") from e
        raise
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        place = folder / os.urandom(8).hex()
        if stat.S_ISDIR(os.fstat(found).st_mode):
            place.mkdir()
        else:
            place.touch()
        try:
            tree = mounts.open_tree(found, "", mounts.OPEN_TREE_CLONE | mounts.AT_RECURSIVE)
            try:
                target = os.open(place, os.O_PATH | os.O_CLOEXEC)
                try:
                    mounts.move_mount(tree, target)
                finally:
                    os.close(target)
            finally:
                os.close(tree)
        except BaseException:
            detach(place)
            raise
        return place
    finally:
        os.close(found)


def detach(place: Path) -> None:
    """Undo `attach`; mounts made from it stay. What is bound there is never deleted. Raises OSError."""
    with suppress(OSError):  # EINVAL: nothing is mounted there
        mounts.umount(str(place), mounts.MNT_DETACH)
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)


def detach_each(places: Iterable[Path]) -> None:
    """Undo several. Raises OSError."""
    for place in places:
        detach(place)


def detach_all(folder: Path) -> None:
    """Undo what a killed engine has left in `folder`, which may be missing. Raises OSError."""
    if folder.exists():
        detach_each(folder.iterdir())
