"""Unpack a container's tar on this computer, with no member outside the destination folder.

tarfile's own filters do this, but Debian 12's Python 3.11.2 has none of them (they came with 3.11.4).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path


class OutsideError(tarfile.TarError):
    """A member's path leads out of the destination folder."""


def unpack(tar: tarfile.TarFile, folder: Path, renamed: Callable[[tarfile.TarInfo], tarfile.TarInfo]) -> None:
    """Unpack every member under the name that `renamed` gives it. Raises TarError, OSError.

    Set-id bits and write permission for others are dropped; folders get their mode and times last, so that one that
    is read-only can be filled.
    """
    # Newer Pythons require a filter. This one accepts all members: this module does the checks.
    tar.extraction_filter = lambda member, _path: member
    folders: list[tarfile.TarInfo] = []
    for original in tar:
        member = renamed(original)
        member.name = member.name.lstrip("/")
        _check(member, folder)
        member.mode &= 0o755
        tar.extract(member, folder, set_attrs=not member.isdir())
        if member.isdir():
            folders.append(member)
    for member in reversed(folders):
        path = os.path.join(folder, member.name)
        tar.chown(member, path, numeric_owner=False)
        tar.utime(member, path)
        tar.chmod(member, path)


def _check(member: tarfile.TarInfo, folder: Path) -> None:
    """Resolves symbolic links in the path as the kernel would. Raises OutsideError."""
    top = os.path.realpath(folder)
    parent = os.path.realpath(os.path.join(top, os.path.dirname(member.name)))
    if os.path.isabs(member.name) or ".." in member.name.split("/") or os.path.commonpath([top, parent]) != top:
        raise OutsideError(f"{member.name!r} would be outside of {folder}")
    if member.islnk():
        target = os.path.realpath(os.path.join(top, member.linkname))
        if os.path.commonpath([top, target]) != top:
            raise OutsideError(f"{member.name!r} links to {member.linkname!r}, outside of {folder}")
