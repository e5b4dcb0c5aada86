"""Layers of kind tar seen as folders: an EROFS index and its tar, both files, mounted (Linux 6.12).

Documentation/filesystems/erofs.rst, "device=%s".
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from vmagent.durable import publish
from vmagent.linux.mounts import MNT_DETACH, MOUNT_ATTR_NODEV, MOUNT_ATTR_RDONLY, move_mount, new_mount, umount

_FORM = 1  # of the index, as `erofsindex` writes it


def mount(index: Path, tar: Path, target: Path) -> None:
    """Mount the index, read-only, on folder `target`. Raises OSError: ENOTBLK where the kernel needs a block device."""
    fd = new_mount("erofs", str(index), [("ro", None), ("device", str(tar))], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)
    try:
        place = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            move_mount(fd, place)
        finally:
            os.close(place)
    finally:
        os.close(fd)


def unmount(target: Path) -> None:
    """Take the mount at `target` away; users of it keep theirs. Raises OSError."""
    umount(str(target), MNT_DETACH)


def usable(scratch: Path, remembered: Path) -> bool:
    """Whether layers of kind tar work on this data root: the kernel mounts them from its files.

    Tried for real, since a data root that is itself an overlay cannot carry a file-backed EROFS. `scratch` is a folder
    of the data root for the trial's files. A trial that went well is written to the file `remembered` and not repeated
    for the same kernel and file system. Raises OSError.
    """
    system = os.uname()
    fits = json.dumps([system.release, system.version, _FORM, scratch.stat().st_dev])
    with suppress(OSError, UnicodeDecodeError):
        if remembered.read_text() == fits:
            return True
    if not _try(scratch):
        return False
    publish(remembered, fits.encode(), durable=False)
    return True


def _try(scratch: Path) -> bool:
    import tempfile  # here: an engine tries once in a data root's life

    from vmagent.images import erofsindex

    root, trial, content = erofsindex.Node(stat.S_IFDIR | 0o755), erofsindex.Node(stat.S_IFREG | 0o600), b"trial"
    trial.size = len(content)
    assert root.children is not None
    root.children[b"trial"] = trial
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        work = Path(folder)
        (work / "tar").write_bytes(content.ljust(erofsindex.BLOCK, b"\0"))
        (work / "index").write_bytes(b"".join(erofsindex.image(root, erofsindex.BLOCK)))
        target = work / "mnt"
        target.mkdir()
        try:
            mount(work / "index", work / "tar", target)
        except OSError:
            return False
        try:
            return (target / "trial").read_bytes() == content
        except OSError:
            return False
        finally:
            unmount(target)
