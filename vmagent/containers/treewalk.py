"""Resolves paths inside a container's root, always relative to a descriptor of that root."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from typing import Any

from vmagent.containers.goio import go_mode
from vmagent.containers.ids import Ids
from vmagent.linux import mounts

HOST_IDS = Ids()
_EARLIEST_S, _LATEST_S = -62_135_596_800, 253_402_300_799  # the years 1 to 9999, which RFC 3339 can express
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class TreeError(Exception):
    """An error for the client, with docker's HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def split(path: str) -> tuple[str, str]:
    """(folder, last name) of a path. The name is "." if the path can only mean a folder ("/a/.", "/a/", "/")."""
    parts = path.split("/")
    is_folder = parts[-1] in ("", ".", "..")
    kept = [part for part in parts if part not in ("", ".")]
    if is_folder or not kept:
        return "/" + "/".join(kept), "."
    return "/" + "/".join(kept[:-1]), kept[-1]


def modified(info: os.stat_result) -> str:
    """When the file was modified, as RFC 3339. A container may set any time; what has no year of four digits
    becomes the nearest one that has."""
    seconds = min(max(info.st_mtime, _EARLIEST_S), _LATEST_S)
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


class Tree:
    """A container's file system. Owns a descriptor of its root. `ids`: translates the owners of its files."""

    def __init__(self, root_fd: int, ids: Ids = HOST_IDS) -> None:
        self.root_fd, self.ids = root_fd, ids

    def open_folder(self, path: str) -> int:
        """A descriptor of the folder at `path`, links followed within the root. Raises TreeError 404, OSError."""
        try:
            return mounts.open_in_root(self.root_fd, path, _DIRECTORY)
        except OSError as e:
            # EXDEV: openat2(2) follows no magic link, as /proc/PID/root, since its end has no path below the root.
            if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
                raise TreeError(path, 404) from e
            raise

    def require_writable(self, fd: int) -> None:
        """Raise TreeError 400 with docker's message if the open folder `fd` is on a read-only mount. Raises OSError."""
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            is_root = mounts.mount_id(fd) == mounts.mount_id(self.root_fd)
            what = "container rootfs" if is_root else "mounted volume"
            raise TreeError(f"{what} is marked read-only", 400)

    def stat(self, path: str) -> dict[str, Any]:
        """Docker's path stat; a link in the last element is not followed. Raises TreeError 404."""
        folder, name = split(path)
        folder_fd = self.open_folder(folder)
        try:
            try:
                info = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            except FileNotFoundError as e:
                raise TreeError(path, 404) from e
            target = os.readlink(name, dir_fd=folder_fd) if stat.S_ISLNK(info.st_mode) else ""
        finally:
            os.close(folder_fd)
        shown = name if name != "." else (folder.rstrip("/").rpartition("/")[2] or "/")
        if target and not target.startswith("/"):
            target = os.path.normpath(os.path.join(folder, target))
        return {
            "name": shown,
            "size": info.st_size,
            "mode": go_mode(info.st_mode),
            "mtime": modified(info),
            "linkTarget": target,
        }
