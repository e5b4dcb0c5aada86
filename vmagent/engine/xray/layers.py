"""Which layer of a container's root shows a path. Blocks.

The layers' folders are looked at as overlayfs merges them (overlayfs.rst, "Whiteouts and opaque directories"). Links
are followed by this module, never by the kernel: an absolute one or one with many `..` stays in the container's root.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from vmagent.linux import mounts
from vmagent.linux.files import kind_of

_MAX_LINKS = 40  # as the kernel
_RESOLVE = mounts.RESOLVE_IN_ROOT | mounts.RESOLVE_NO_SYMLINKS


class Found(NamedTuple):
    """`shown` and `hidden` are indexes of the folders searched; `removed_by` of the one that hides it, -1: none."""

    resolved: str
    kind: str  # "": there is nothing at the path
    shown: int  # -1: as above
    hidden: list[int]
    removed_by: int


class _Entry(NamedTuple):
    mode: int
    target: str  # of a link
    is_opaque: bool


class _Hides(Exception):
    """This layer shows something else in the path's place: layers below it do not count."""


def locate(folders: Sequence[str], path: str) -> Found:
    """`path` in the overlay of `folders`, topmost first. The last component is not followed if it is a link.

    Raises OSError ELOOP for too many links.
    """
    roots = [os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for folder in folders]
    try:
        return _locate(roots, path)
    finally:
        for root in roots:
            os.close(root)


def _locate(roots: Sequence[int], path: str) -> Found:
    done: list[str] = []
    left = _parts(path)
    links = 0
    while left:
        part = left.pop(0)
        if part == "..":
            done = done[:-1]
            continue
        found, entry = _look(roots, [*done, part])
        if entry is None:
            return found
        if stat.S_ISLNK(entry.mode) and left:
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, "Too many levels of symbolic links", path)
            if entry.target.startswith("/"):
                done = []
            left = _parts(entry.target) + left
            continue
        if left and not stat.S_ISDIR(entry.mode):
            return Found(found.resolved, "", -1, [], -1)  # ENOTDIR
        done.append(part)
    return _look(roots, done)[0]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _look(roots: Sequence[int], parts: Sequence[str]) -> tuple[Found, _Entry | None]:
    """What the layers show at `parts`, of which all but the last are folders and no links."""
    name = "/" + "/".join(parts)
    holders: list[int] = []
    top: _Entry | None = None
    is_hidden = False
    for index, root in enumerate(roots):
        try:
            entry, is_opaque = _in_layer(root, parts)
        except _Hides:
            if top is None:
                return Found(name, "", -1, _below(roots, index, parts), index), None
            break
        if entry is not None:
            if _is_whiteout(entry):
                if top is None:
                    return Found(name, "", -1, _below(roots, index, parts), index), None
                is_hidden = True
            else:
                holders.append(index)
                top = top or entry
                is_hidden = is_hidden or entry.is_opaque
        if is_opaque and top is None:
            return Found(name, "", -1, _below(roots, index, parts), index), None
        if is_opaque or is_hidden:
            break
    if top is None:
        return Found(name, "", -1, [], -1), None
    hidden = sorted({*holders[1:], *_below(roots, holders[0], parts)})
    return Found(name, kind_of(top.mode), holders[0], hidden, -1), top


def _below(roots: Sequence[int], index: int, parts: Sequence[str]) -> list[int]:
    """The layers below `index` that have something at `parts`, shown or not."""
    found = []
    for number in range(index + 1, len(roots)):
        try:
            entry, _ = _in_layer(roots[number], parts)
        except _Hides:
            continue
        if entry is not None and not _is_whiteout(entry):
            found.append(number)
    return found


def _in_layer(root: int, parts: Sequence[str]) -> tuple[_Entry | None, bool]:
    """(the entry at `parts` in one layer, None without one; whether a folder above it is opaque).

    Raises _Hides where one of the folders above it is a file, a link or a whiteout in this layer.
    """
    is_opaque = False
    for count in range(1, len(parts) + 1):
        entry = _entry(root, "/".join(parts[:count]))
        if entry is None:
            return None, is_opaque
        if count == len(parts):
            return entry, is_opaque
        if not stat.S_ISDIR(entry.mode):
            raise _Hides
        is_opaque = is_opaque or entry.is_opaque
    return _Entry(stat.S_IFDIR, "", False), False  # the root itself


def _entry(root: int, path: str) -> _Entry | None:
    try:
        fd = mounts.openat2(root, path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, _RESOLVE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        mode = os.fstat(fd)
        target = os.readlink("", dir_fd=fd) if stat.S_ISLNK(mode.st_mode) else ""
        is_opaque = stat.S_ISDIR(mode.st_mode) and _is_opaque(fd)
        if stat.S_ISCHR(mode.st_mode) and mode.st_rdev == 0:
            return _Entry(0, "", False)
        return _Entry(mode.st_mode, target, is_opaque)
    finally:
        os.close(fd)


def _is_whiteout(entry: _Entry) -> bool:
    return entry.mode == 0


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(f"/proc/self/fd/{fd}", "trusted.overlay.opaque") == b"y"
    except OSError:
        return False
