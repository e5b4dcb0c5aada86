"""What needs the host's root before a container in a user namespace begins, or an idmapped mount.

Runs in the parent, before clone3: only there may a file system be idmapped, a device node be made, and a path be walked
that the container's root could not walk. The child finds the results as descriptors. Loaded only where a plan asks.
"""

from __future__ import annotations

import errno
import os
import stat

from vmagent.linux import mounts as m
from vmagent.linux import process as linux
from vmagent.runtime.failure import MOUNT, OTHER, SPEC, LaunchError, failed
from vmagent.runtime.spawn import close_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OVERFLOW_ID = 65534


class Prepared:
    """Descriptors for the child, closed by `close` in the parent. `root_fd` and `user_ns_fd`: -1 where there is none.

    `sources`: detached mounts by the position of their entry in the plan's mounts; `devices`: by path.
    """

    __slots__ = ("devices", "root_fd", "sources", "user_ns_fd")

    def __init__(self) -> None:
        self.user_ns_fd = -1
        self.root_fd = -1
        self.sources: dict[int, int] = {}
        self.devices: dict[str, int] = {}

    def close(self) -> None:
        close_all(fd for fd in (self.user_ns_fd, self.root_fd) if fd >= 0)
        close_all(self.sources.values())
        close_all(self.devices.values())


def prepare(plan: dict[str, Any], user: dict[str, Any] | None) -> Prepared:
    """`user`: {"path"} of a namespace to join, or {"uid_map", "gid_map"} of a new one. Raises LaunchError."""
    prepared = Prepared()
    try:
        if user is not None:
            if plan["overlay"] is not None:
                raise LaunchError(SPEC, "an overlay in a user namespace is not supported")
            prepared.user_ns_fd = _open_user_namespace(user)
            try:
                prepared.root_fd = m.open_tree(m.AT_FDCWD, plan["rootfs"], m.OPEN_TREE_CLONE | m.AT_RECURSIVE)
            except OSError as e:
                raise failed(f"error opening the root file system at {plan['rootfs']}", e, MOUNT) from e
            prepared.devices = _make_devices(plan["devices"], user)
        for position, mount in enumerate(plan["mounts"]):
            if mount["kind"] == "bind" and (user is not None or mount["idmap"] is not None):
                prepared.sources[position] = _open_source(mount, prepared.user_ns_fd)
    except BaseException:
        prepared.close()
        raise
    return prepared


def _open_user_namespace(user: dict[str, Any]) -> int:
    path = user.get("path")
    try:
        if path:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return make_user_namespace(user["uid_map"], user["gid_map"])
    except OSError as e:
        raise failed(f"error opening the user namespace {path}" if path else "error making a user namespace", e) from e


def make_user_namespace(uid_map: list[list[int]], gid_map: list[list[int]]) -> int:
    """A new user namespace with these [inside, outside, count] maps; the caller's descriptor. Raises OSError."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid, pidfd = linux.clone3(linux.CLONE_NEWUSER)
        if pid == 0:
            try:
                os.close(writer)
                os.read(reader, 1)  # lives until the parent has what it wants
            finally:
                os._exit(0)
        os.close(pidfd)
        try:
            for name, entries in (("uid_map", uid_map), ("gid_map", gid_map)):
                fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(fd, "".join(f"{a} {b} {c}\n" for a, b, c in entries).encode())
                finally:
                    os.close(fd)
            return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.write(writer, b"x")
            os.waitpid(pid, 0)
    finally:
        os.close(reader)
        os.close(writer)


def _open_source(mount: dict[str, Any], user_ns_fd: int) -> int:
    doing = f'error mounting "{mount["source"]}" to rootfs at "{mount["destination"]}"'
    try:
        fd = m.open_tree(m.AT_FDCWD, mount["source"], m.OPEN_TREE_CLONE | (m.AT_RECURSIVE if mount["recursive"] else 0))
        idmap = mount["idmap"]
        if idmap is None:
            return fd
        try:
            own_fd = make_user_namespace(idmap["uid_map"], idmap["gid_map"]) if idmap["uid_map"] else os.dup(user_ns_fd)
            try:
                m.mount_idmapped(fd, own_fd, recursive=idmap["recursive"])
            finally:
                os.close(own_fd)
        except BaseException:
            os.close(fd)
            raise
        return fd
    except OSError as e:
        raise failed(doing, e, MOUNT) from e


def _make_devices(devices: list[dict[str, Any]], user: dict[str, Any]) -> dict[str, int]:
    """Each device as a detached mount of its node, on a tmpfs that the host's root made: mknod is refused inside."""
    result: dict[str, int] = {}
    folder = m.new_mount("tmpfs", "tmpfs", [("mode", "755")])
    before = os.umask(0)
    try:
        for number, device in enumerate(devices):
            if stat.S_ISFIFO(device["mode"]):
                continue
            name = str(number)
            os.mknod(name, device["mode"], device["device"], dir_fd=folder)
            uid, gid = _outside(device["uid"], user.get("uid_map")), _outside(device["gid"], user.get("gid_map"))
            os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
            result[device["path"]] = _detach(folder, name, device)
    except OSError as e:
        close_all(result.values())
        raise failed("error making device nodes", e, OTHER) from e
    finally:
        os.umask(before)
        os.close(folder)
    return result


def _detach(folder_fd: int, name: str, device: dict[str, Any]) -> int:
    """A detached mount of the node made; before 6.15 nothing is cloned from a mount that is detached itself (EINVAL),
    so there it is the host's own node, with the host's owner and mode."""
    try:
        return m.open_tree(folder_fd, name, m.OPEN_TREE_CLONE)
    except OSError as e:
        if e.errno != errno.EINVAL:
            raise
    info = os.stat(device["path"])
    if stat.S_IFMT(info.st_mode) != stat.S_IFMT(device["mode"]) or info.st_rdev != device["device"]:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), device["path"])
    return m.open_tree(m.AT_FDCWD, device["path"], m.OPEN_TREE_CLONE)


def _outside(number: int, entries: list[list[int]] | None) -> int:
    """The host's id for one of the container's. A namespace that is joined has maps we don't know: nobody's there."""
    for inside, outside, count in entries or ():
        if inside <= number < inside + count:
            return outside + number - inside
    return _OVERFLOW_ID
