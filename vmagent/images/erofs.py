"""An EROFS index over a tar: `mkfs.erofs --tar=i` (erofs-utils 1.8), mounted from files (Linux 6.12).

The tar stays what it is; the index holds the names and where in the tar each file's bytes are. `--aufs` turns `.wh.`
names into overlayfs' own marks. Times lose their fractions of a second.
man mkfs.erofs(1); Documentation/filesystems/erofs.rst, "device=%s".
"""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vmagent.durable import publish
from vmagent.images import erofsindex
from vmagent.images.tarwriter import archive, header
from vmagent.linux.mounts import MNT_DETACH, MOUNT_ATTR_NODEV, MOUNT_ATTR_RDONLY, move_mount, new_mount, umount

_TOOL = "mkfs.erofs"
_MIN_VERSION = (1, 8)
_LIMIT_S = 300
_NOBODY = 65534
# The same tar gives the same index wherever and whenever it is made.
_UUID = "00000000-0000-0000-0000-000000000000"


@functools.cache
def tool() -> str | None:
    """Path of an mkfs.erofs that can index a tar; COVE_MKFS_EROFS names one outside PATH. None if none is found."""
    path = os.environ.get("COVE_MKFS_EROFS") or shutil.which(_TOOL)
    if not path:
        return None
    try:
        told = subprocess.run([path, "-V"], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    found = re.search(r"(\d+)\.(\d+)", told.stdout + told.stderr)
    return path if found and (int(found[1]), int(found[2])) >= _MIN_VERSION else None


def make_index(tar: Path, index: Path, implied: Iterable[str]) -> bool:
    """Write the index of `tar` to `index`; False where mkfs.erofs refuses the tar. `implied`: folders that members of
    the tar lie in, but that it does not list.

    The tool is written in C and parses a tar that is not trusted: it runs as the user `nobody` with two descriptors.
    Raises OSError if the disk is full or the tool is missing.
    """
    path = tool()
    if path is None:
        raise FileNotFoundError(2, f"{_TOOL} 1.8 is needed for layers of kind tar")
    is_root = os.geteuid() == 0
    source = os.open(tar, os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(index, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if is_root:
            os.fchown(target, _NOBODY, _NOBODY)
        # Pass a descriptor: the user `nobody` cannot traverse the parent folders.
        done = subprocess.run(
            [path, "--quiet", "--tar=i", "--aufs", f"-U{_UUID}", f"/proc/self/fd/{target}"],
            stdin=source,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
            pass_fds=[target],
            user=_NOBODY if is_root else None,
            group=_NOBODY if is_root else None,
            extra_groups=[] if is_root else None,
        )
        if is_root:
            os.fchown(target, 0, 0)
    finally:
        os.close(source)
        os.close(target)
    if done.returncode:
        if "No space left" in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return False
    try:
        erofsindex.set_implied_modes(index, implied)
    except erofsindex.BadIndex:
        return False
    return True


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
    """Whether layers of kind tar work on this data root: the tool is there and the kernel mounts what it makes.

    Tried for real, since a data root that is itself an overlay cannot carry a file-backed EROFS. `scratch` is a folder
    of the data root for the trial's files. A trial that went well is written to the file `remembered` and not repeated
    for the same kernel, tool and file system: it takes half a second in an emulated VM. Raises OSError.
    """
    if (program := tool()) is None:
        return False
    found, system = os.stat(program), os.uname()
    fits = json.dumps(
        [system.release, system.version, str(program), found.st_size, found.st_mtime_ns, scratch.stat().st_dev]
    )
    with suppress(OSError, UnicodeDecodeError):
        if remembered.read_text() == fits:
            return True
    if not _try(scratch):
        return False
    publish(remembered, fits.encode(), durable=False)
    return True


def _try(scratch: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        work = Path(folder)
        (work / "t.tar").write_bytes(archive([(header("trial"), b"")]))
        target = work / "mnt"
        target.mkdir()
        try:
            if not make_index(work / "t.tar", work / "t.erofs", [""]):
                return False
            mount(work / "t.erofs", work / "t.tar", target)
        except OSError:
            return False
        try:
            return (target / "trial").is_file()
        finally:
            unmount(target)
