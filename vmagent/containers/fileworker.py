"""A process of its own that reads and writes a container's files: docker cp, export, filling of new volumes.

It is one job long. The container's root is a descriptor (the running process's own root, or its overlay mounted in this
process's private mount namespace), and every path from a client or an image is resolved below that descriptor by
openat2(RESOLVE_IN_ROOT): links in it can't lead out (CVE-2018-15664). Nothing is loaded from inside the container.
With a user namespace the files are seen with its ids, and tars have those of the inside.

    python -m vmagent.containers.fileworker REPORT_FD JOB    the tar comes on stdin or goes to stdout

The report is one JSON line: {"stat": …} before the first byte of a tar that goes out, {"done": true} at the end of a
job that takes one in, or {"error", "status"}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from vmagent.containers import tarring
from vmagent.containers.ids import Ids
from vmagent.containers.process import open_process
from vmagent.containers.treewalk import Tree, TreeError
from vmagent.linux import capabilities, mounts
from vmagent.linux.process import CLONE_NEWNS, PR_SET_PDEATHSIG, prctl, set_fs_ids, unshare
from vmagent.runtime.plantypes import Overlay
from vmagent.runtime.rootfs import mount_overlay
from vmagent.runtime.usernamespace import make_user_namespace, mount_idmapped_overlay

_MS_REC, _MS_SLAVE = 1 << 14, 1 << 19


def open_root(root: dict[str, Any]) -> int:
    """A descriptor of the container's root directory. Raises OSError."""
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
    root_fd = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for mount in root["mounts"]:
        _mount_inside(root_fd, mount)
    _protect(root_fd, root)
    return root_fd


def _protect(root_fd: int, root: dict[str, Any]) -> None:
    """Make the root read-only where the container has it so: its writable mounts stay writable. Raises OSError."""
    if root.get("is_read_only"):
        mounts.mount_setattr(root_fd, set_=mounts.MOUNT_ATTR_RDONLY)


def _open_idmapped(root: dict[str, Any], users: dict[str, Any]) -> int:
    """As the container would have it: its own files and volumes with the ids of its user namespace, the host's as are.

    Raises OSError.
    """
    user_ns_fd = make_user_namespace(users["uid_map"], users["gid_map"])
    try:
        overlay = Overlay(tuple(root["lowers"]), root["upper"], root["work"])
        overlay_fd = mount_idmapped_overlay(overlay, user_ns_fd, Ids(**users).root)
        place = os.open(root["target"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mounts.move_mount(overlay_fd, place)
        os.close(place)
        for mount in root["mounts"]:
            _mount_inside(overlay_fd, mount, user_ns_fd if mount["is_own"] else -1)
        _protect(overlay_fd, root)
        return overlay_fd
    finally:
        os.close(user_ns_fd)


def _become(ids: Ids) -> None:
    """Make files as the container's root: on an idmapped mount the host's own has no id. Raises OSError."""
    _, permitted, inheritable = capabilities.capget()
    set_fs_ids(*ids.root)
    capabilities.capset(permitted, permitted, inheritable)  # all files can still be reached


def _mount_inside(root_fd: int, mount: dict[str, Any], user_ns_fd: int = -1) -> None:
    """Bind a volume or folder where the container would see it; if that place is missing, nothing is to be hidden.

    Raises OSError.
    """
    try:
        place = mounts.open_in_root(root_fd, mount["destination"], os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        tree = mounts.open_tree(mounts.AT_FDCWD, mount["source"])
        try:
            if user_ns_fd >= 0:
                mounts.mount_idmapped(tree, user_ns_fd)
            if not mount["writable"]:
                mounts.mount_setattr(tree, set_=mounts.MOUNT_ATTR_RDONLY)
            mounts.move_mount(tree, place)
        finally:
            os.close(tree)
    finally:
        os.close(place)


def _end_with(parent: int | None) -> None:
    """Have the kernel kill this process when the process `parent` ends: nobody would use what it does."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        raise BrokenPipeError  # it ended before the line above


def run(job: dict[str, Any], report: Any) -> None:
    """Do one job. Raises TreeError, OSError."""
    tree = Tree(open_root(job["root"]), Ids(**job["root"].get("users", {})))
    if tree.ids.uid_map is not None:
        _become(tree.ids)
    match job["op"]:
        case "stat":
            report({"stat": tree.stat(job["path"])})
        case "get":
            report({"stat": tree.stat(job["path"])})
            tarring.write_tree(tree, job["path"], sys.stdout.buffer, job["crosses"])
        case "export":
            tarring.write_root(tree, sys.stdout.buffer)
        case "put":
            owner = tuple(job["owner"]) if job.get("owner") else None
            tarring.extract(
                tree, job["path"], sys.stdin.buffer, keeps_kind=job["no_overwrite_dir_non_dir"], owner=owner
            )
            report({"done": True})
        case "copy_up":
            tarring.copy_up(tree, job["path"], job["target"], Ids(**job["target_users"]))
            report({"done": True})


def main(argv: list[str]) -> int:
    """Exit status 0; 1 after an error, which is in the report."""
    report_fd, job = int(argv[0]), json.loads(argv[1])
    with open(report_fd, "w", encoding="utf-8") as pipe:

        def report(message: dict[str, Any]) -> None:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

        try:
            _end_with(job.get("parent"))
            run(job, report)
        except TreeError as e:
            report({"error": str(e), "status": e.status})
            return 1
        except BrokenPipeError:
            return 1  # the client left
        except ProcessLookupError:
            report({"error": "the container has just stopped", "status": 409})
            return 1
        except OSError as e:
            report({"error": f"{e.filename or job.get('path', job['op'])}: {e.strerror}", "status": 500})
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
