"""What is in one folder of a container: names, types, sizes, owners, times and the targets of links."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from vmagent.containers.treewalk import Tree, modified
from vmagent.linux import mounts
from vmagent.linux.files import kind_of

_UNKNOWN = {
    "type": "unknown", "size": 0, "mode": 0, "uid": 0, "gid": 0, "modified": "1970-01-01T00:00:00Z", "target": "",
    "target_type": "",
}  # fmt: skip


def listing(tree: Tree, path: str, most: int) -> dict[str, Any]:
    """FolderListing of `vmagent/api/openapi.yaml`: how much the folder at `path` holds, and of that the first `most` by
    name. Raises TreeError 404 if there is no such folder, OSError."""
    folder_fd = tree.open_folder(path)
    try:
        total = 0

        def names() -> Iterator[str]:
            nonlocal total
            with os.scandir(folder_fd) as entries:
                for entry in entries:
                    total += 1
                    yield entry.name

        first = heapq.nsmallest(most, names())  # a folder with a million files does not become a million entries
        found = [entry for name in first if (entry := _entry(tree, folder_fd, path, name)) is not None]
    finally:
        os.close(folder_fd)
    return {"path": path, "total": total, "entries": found}


def _entry(tree: Tree, folder_fd: int, path: str, name: str) -> dict[str, Any] | None:
    """None: it was removed meanwhile. One that cannot be read (a FUSE file system refuses others than its owner, or its
    server has ended) has its name and the reason: the rest of the folder can be."""
    try:
        info = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        is_link = stat.S_ISLNK(info.st_mode)
        target = os.readlink(name, dir_fd=folder_fd) if is_link else ""
    except FileNotFoundError:
        return None
    except OSError as e:
        return {**_UNKNOWN, "name": name, "error": os.strerror(e.errno or 0)}
    uid, gid = tree.ids.inside(info.st_uid, info.st_gid)
    return {
        "name": name,
        "type": kind_of(info.st_mode),
        "size": info.st_size,
        "mode": stat.S_IMODE(info.st_mode),
        "uid": uid,
        "gid": gid,
        "modified": modified(info),
        "target": target,
        "target_type": _target_type(tree, f"{path.rstrip('/')}/{name}") if is_link else "",
        "error": "",
    }


def _target_type(tree: Tree, path: str) -> str:
    """What the link at `path` leads to, within the container; empty: to nothing."""
    with suppress(OSError):
        found = mounts.open_in_root(tree.root_fd, path, os.O_PATH | os.O_CLOEXEC)
        try:
            return kind_of(os.fstat(found).st_mode)
        finally:
            os.close(found)
    return ""
