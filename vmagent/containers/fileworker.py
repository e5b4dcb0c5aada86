"""The operations of the helper process for files of containers and volumes: docker cp, export, listings, a new volume's
first content, a volume's copy.

The container's root is used by a descriptor: that of its running process (/proc/PID/root), or the overlay, mounted in
this process's private mount namespace. Every path from a client or an image is resolved below it by openat2(2) with
RESOLVE_IN_ROOT, so that symbolic links cannot lead out (CVE-2018-15664). No code is loaded from the container. If the
container has a user namespace, tars carry the ids as seen inside it.

A job enters a mount namespace and changes its file-system ids (setfsuid(2)), so each process does only one job
(`pool.SingleUse`). The tar is read from or written to the job's first descriptor. A `get` sends the event {"stat": …}
before the first byte of its tar. The "kind" of a failure is the HTTP status.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any

from vmagent.containers import listing, tarring
from vmagent.containers.ids import Ids
from vmagent.containers.process import open_process
from vmagent.containers.subpaths import open_subpath
from vmagent.containers.treewalk import Tree, TreeError
from vmagent.linux import capabilities, mounts
from vmagent.linux.process import CLONE_NEWNS, end_with_parent, set_fs_ids, unshare
from vmagent.runtime.plantypes import Overlay
from vmagent.runtime.rootfs import ensure, mount_overlay
from vmagent.runtime.usernamespace import make_user_namespace, mount_idmapped_overlay

TITLE = "cove-files"
_MS_REC, _MS_SLAVE = 1 << 14, 1 << 19

Message = dict[str, Any]


def open_root(root: dict[str, Any]) -> int:
    """A descriptor of the root directory: a container's, or a volume's folder. Raises OSError."""
    if "folder" in root:
        return _open_folder(root["folder"])
    if "pid" in root:
        process_fd = open_process(root["pid"], root["id"])
        try:
            return os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process_fd)
        finally:
            os.close(process_fd)
    unshare(CLONE_NEWNS)
    mounts.mount(None, "/", None, _MS_REC | _MS_SLAVE)
    target, lowers = root["target"], root["lowers"]
    if users := root.get("users"):
        return _open_idmapped(root, users)
    if root["writable"]:
        mount_overlay(target, Overlay(tuple(lowers), root["upper"], root["work"]))
    else:
        mount_overlay(target, Overlay((root["upper"], *lowers), "", ""))
    root_fd = _open_folder(target)
    if not root["writable"] and not all(_has(root_fd, mount["destination"]) for mount in root["mounts"]):
        os.close(root_fd)
        root_fd = _open_with_scratch(target, (root["upper"], *lowers))
    for mount in root["mounts"]:
        _mount_inside(root_fd, mount)
    _protect(root_fd, root)
    return root_fd


def _open_folder(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _has(root_fd: int, path: str) -> bool:
    try:
        os.close(mounts.open_in_root(root_fd, path, os.O_PATH | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    return True


def _open_with_scratch(target: str, lowers: tuple[str, ...]) -> int:
    """Mount an overlay of `lowers` whose changes are kept in memory, and are lost with this process.

    A container that was never started lacks the places of its mounts, and may be read while nothing may write to its
    own layer. Returns a descriptor of the root. Raises OSError.
    """
    mounts.mount("tmpfs", target, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=700")
    upper, work = f"{target}/upper", f"{target}/work"
    os.mkdir(upper)
    os.mkdir(work)
    own = os.stat(lowers[0])  # what the root shows
    os.chown(upper, own.st_uid, own.st_gid)
    os.chmod(upper, stat.S_IMODE(own.st_mode))
    mount_overlay(target, Overlay(lowers, upper, work))
    return _open_folder(target)


def _protect(root_fd: int, root: dict[str, Any]) -> None:
    """Make the root mount read-only if the container's is; other mounts are not changed. Raises OSError."""
    if root.get("is_read_only"):
        mounts.mount_setattr(root_fd, set_=mounts.MOUNT_ATTR_RDONLY)


def _open_idmapped(root: dict[str, Any], users: dict[str, Any]) -> int:
    """A descriptor of the root of a container with a user namespace, mounted as at its start. Raises OSError.

    Its root and volumes are idmapped to the namespace; bind mounts of the host's folders are not. What is mounted where
    the root has nothing is left out: only a process in the namespace could make the place.
    """
    user_ns_fd = make_user_namespace(users["uid_map"], users["gid_map"])
    try:
        overlay = Overlay(tuple(root["lowers"]), root["upper"], root["work"])
        overlay_fd = mount_idmapped_overlay(overlay, user_ns_fd, Ids(**users).root)
        place = os.open(root["target"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mounts.move_mount(overlay_fd, place)
        os.close(place)
        for mount in (mount for mount in root["mounts"] if _has(overlay_fd, mount["destination"])):
            _mount_inside(overlay_fd, mount, user_ns_fd if mount["is_own"] else -1)
        _protect(overlay_fd, root)
        return overlay_fd
    finally:
        os.close(user_ns_fd)


def _become(ids: Ids) -> None:
    """Set the file-system ids to the container's root, so that this process can create files. Raises OSError.

    On an idmapped mount the host's root has no mapped id, and could not.
    """
    engine_pid = os.getppid()
    _, permitted, inheritable = capabilities.capget()
    set_fs_ids(*ids.root)
    capabilities.capset(permitted, permitted, inheritable)  # restore those that the change has dropped
    if not end_with_parent(engine_pid):  # the change of the ids has cleared the parent-death signal: set it again
        raise BrokenPipeError(errno.EPIPE, "the engine has ended")


def _source(mount: dict[str, Any]) -> int:
    """A detached mount of what the volume or folder shows in the container. Raises OSError."""
    if not mount["subpath"]:
        return mounts.open_tree(mounts.AT_FDCWD, mount["source"])
    found = open_subpath(mount["source"], mount["subpath"])
    try:
        return mounts.open_tree(found, "")
    finally:
        os.close(found)


def _mount_inside(root_fd: int, mount: dict[str, Any], user_ns_fd: int = -1) -> None:
    """Bind a volume or folder at its place in the container, which is made as at a start. Raises OSError."""
    tree = _source(mount)
    try:
        place = ensure(root_fd, mount["destination"], is_folder=stat.S_ISDIR(os.fstat(tree).st_mode))
        try:
            if user_ns_fd >= 0:
                mounts.mount_idmapped(tree, user_ns_fd)
            if not mount["writable"]:
                mounts.mount_setattr(tree, set_=mounts.MOUNT_ATTR_RDONLY)
            mounts.move_mount(tree, place)
        finally:
            os.close(place)
    finally:
        os.close(tree)


def run(job: Message, fds: Sequence[int], emit: Callable[[Message], None]) -> Message:
    """Do the only job of this process. Raises TreeError, OSError."""
    try:
        tree = Tree(open_root(job["root"]), Ids(**job["root"].get("users", {})))
        if tree.ids.uid_map is not None:
            _become(tree.ids)
        return _run(tree, job, fds, emit)
    except OSError as e:
        if e.filename is None:
            e.filename = job["path"]
        raise


def _run(tree: Tree, job: Message, fds: Sequence[int], emit: Callable[[Message], None]) -> Message:
    path: str = job["path"]
    match job["op"]:
        case "stat":
            return {"stat": tree.stat(path)}
        case "list":
            with open(fds[0], "wb", closefd=False) as out:
                out.write(json.dumps(listing.listing(tree, path, job["most"]), separators=(",", ":")).encode())
        case "get":
            emit({"stat": tree.stat(path)})
            with open(fds[0], "wb", closefd=False) as out:
                tarring.write_tree(tree, path, out, job["crosses"])
        case "export":
            with open(fds[0], "wb", closefd=False) as out:
                tarring.write_root(tree, out)
        case "put":
            owner = tuple(job["owner"]) if job["owner"] else None
            with open(fds[0], "rb", closefd=False) as source:
                tarring.extract(tree, path, source, keeps_kind=job["no_overwrite_dir_non_dir"], owner=owner)
                while source.read(1 << 16):
                    pass  # read the padding after the tar's end, which the client still sends
        case "copy_up":
            tarring.copy_up(tree, path, job["target"], Ids(**job["target_users"]))
        case other:
            raise ValueError(f"no such operation: {other}")
    return {}


def failure(error: Exception) -> Message | None:
    """The reply to the engine for a failed job; None for a programming error."""
    if isinstance(error, TreeError):
        return {"failed": str(error), "kind": str(error.status)}
    if isinstance(error, ProcessLookupError):
        return {"failed": "the container has just stopped", "kind": "409"}
    if isinstance(error, OSError):
        return {"failed": f"{error.filename}: {error.strerror}", "kind": "500"}
    return None
