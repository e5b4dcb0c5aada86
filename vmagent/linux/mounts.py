"""Mounts: mount(2), the calls by descriptor (fsopen … move_mount, Linux 5.2), mount_setattr (5.12), openat2 (5.6)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from vmagent.linux.syscall import fail, libc, syscall

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

# linux/mount.h: mount(2)
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25
MNT_DETACH = 2

# linux/mount.h: mount attributes of fsmount and mount_setattr
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# linux/magic.h: statfs.f_type
PROC_SUPER_MAGIC = 0x9FA0
DEVPTS_SUPER_MAGIC = 0x1CD1
CGROUP2_SUPER_MAGIC = 0x63677270
TMPFS_MAGIC = 0x01021994

_OPEN_HOW = struct.Struct("=QQQ")  # struct open_how: flags, mode, resolve
_MOUNT_ATTR = struct.Struct("=QQQQ")  # struct mount_attr: attr_set, attr_clr, propagation, userns_fd

libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def mount(source: str | None, target: str, fstype: str | None, flags: int = 0, data: str | None = None) -> None:
    """mount(2); `data` holds at most one page. Raises OSError. Audit event: cove.mount."""
    sys.audit("cove.mount", target)
    if (
        libc.mount(
            None if source is None else os.fsencode(source),
            os.fsencode(target),
            None if fstype is None else fstype.encode(),
            flags,
            None if data is None else os.fsencode(data),
        )
        < 0
    ):
        fail("mount", target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2). Raises OSError. Audit event: cove.umount."""
    sys.audit("cove.umount", target)
    if libc.umount2(os.fsencode(target), flags) < 0:
        fail("umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root mount and keep the old one at `put_old`: pivot_root(2).

    Raises OSError: EINVAL if `new_root` is not a mount point, EPERM without CAP_SYS_ADMIN.
    """
    syscall("pivot_root", new_root, os.fsencode(new_root), os.fsencode(put_old))


def openat2(dir_fd: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2): open `path` relative to `dir_fd`. The descriptor is CLOEXEC; the caller closes it. Raises OSError."""
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    return syscall("openat2", path, dir_fd, os.fsencode(path), how, ctypes.c_size_t(len(how)))


def open_in_root(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open `path` as a process with the root directory `root_fd` would: no link leads out of it. Raises OSError."""
    while True:
        try:
            return openat2(root_fd, path, flags, RESOLVE_IN_ROOT, mode)
        except BlockingIOError:  # EAGAIN: a concurrent rename or mount made a `..` unsafe; openat2(2) says retry
            continue


def open_beneath(dir_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """Open `path` below `dir_fd`. Raises OSError: EXDEV where `..`, an absolute link or a magic link leads out."""
    while True:
        try:
            return openat2(dir_fd, path, flags, RESOLVE_BENEATH)
        except BlockingIOError:  # as in `open_in_root`
            continue


def open_tree(dir_fd: int, path: str, flags: int = OPEN_TREE_CLONE) -> int:
    """open_tree(2): open a mount, with OPEN_TREE_CLONE a detached copy of it (AT_RECURSIVE: with all mounts below it).

    An empty `path` means `dir_fd` itself. The descriptor is CLOEXEC; the caller closes it. Raises OSError.
    """
    empty = 0 if path else AT_EMPTY_PATH
    return syscall("open_tree", path, dir_fd, os.fsencode(path), flags | empty | OPEN_TREE_CLOEXEC)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the detached mount `mount_fd` to the file or folder that `target_fd` is open on. Raises OSError."""
    syscall("move_mount", None, mount_fd, b"", target_fd, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def mount_setattr(fd: int, *, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False) -> None:
    """Change attributes (MOUNT_ATTR_*) and propagation (MS_PRIVATE …) of the mount at `fd`. Raises OSError."""
    if set_ & MOUNT_ATTR__ATIME or clear & MOUNT_ATTR__ATIME:
        clear |= MOUNT_ATTR__ATIME
    attr = _MOUNT_ATTR.pack(set_, clear, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", None, fd, b"", flags, attr, ctypes.c_size_t(len(attr)))


def mount_idmapped(fd: int, user_ns_fd: int, *, recursive: bool = False) -> None:
    """Give the detached mount `fd` the id mapping of a user namespace (Linux 5.12). Raises OSError.

    EINVAL: the file system does not support idmapped mounts. EPERM: no CAP_SYS_ADMIN in the user namespace in which the
    file system was mounted.
    """
    attr = _MOUNT_ATTR.pack(MOUNT_ATTR_IDMAP, 0, 0, user_ns_fd)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", None, fd, b"", flags, attr, ctypes.c_size_t(len(attr)))


def fsopen(fstype: str) -> int:
    """fsopen(2): a CLOEXEC configuration context of a new `fstype` file system. Raises OSError: ENODEV if unknown."""
    return syscall("fsopen", fstype, os.fsencode(fstype), FSOPEN_CLOEXEC)


def fsconfig_set(context_fd: int, key: str, value: str | None) -> None:
    """Set one mount option; `value`: None for a flag, else at most 255 bytes. Raises OSError: EINVAL if unknown."""
    if value is None:
        syscall("fsconfig", key, context_fd, FSCONFIG_SET_FLAG, os.fsencode(key), None, 0)
    else:
        syscall("fsconfig", key, context_fd, FSCONFIG_SET_STRING, os.fsencode(key), os.fsencode(value), 0)


def fsconfig_create(context_fd: int) -> None:
    """Create the superblock with the options that were set. Raises OSError. Audit event: cove.mount."""
    sys.audit("cove.mount", "")
    syscall("fsconfig", None, context_fd, FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(context_fd: int, attributes: int = 0) -> int:
    """fsmount(2): a detached mount of the created file system, CLOEXEC; the caller closes it. Raises OSError."""
    return syscall("fsmount", None, context_fd, FSMOUNT_CLOEXEC, attributes)


def new_mount(fstype: str, source: str | None, options: list[tuple[str, str | None]], attributes: int = 0) -> int:
    """A detached mount of a new file system: fsopen, fsconfig, fsmount. The caller closes it. Raises OSError."""
    context = fsopen(fstype)
    try:
        if source is not None:
            fsconfig_set(context, "source", source)
        for key, value in options:
            fsconfig_set(context, key, value)
        fsconfig_create(context)
        return fsmount(context, attributes)
    finally:
        os.close(context)


def mount_id(fd: int) -> int:
    """The id of the mount that `fd` is open on: proc(5), /proc/pid/fdinfo. Raises OSError."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        for line in file:
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    raise OSError(errno.ENOSYS, "fdinfo has no mnt_id")


def filesystem_type(fd: int) -> int:
    """f_type of the file system that `fd` is open on: fstatfs(2). Raises OSError."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes on 64-bit machines; f_type comes first
    if libc.fstatfs(fd, buffer) < 0:
        fail("fstatfs")
    value: int = struct.unpack_from("=q", buffer)[0]
    return value


_FLAG_OF_ATTRIBUTE = (
    (MOUNT_ATTR_RDONLY, MS_RDONLY),
    (MOUNT_ATTR_NOSUID, MS_NOSUID),
    (MOUNT_ATTR_NODEV, MS_NODEV),
    (MOUNT_ATTR_NOEXEC, MS_NOEXEC),
    (MOUNT_ATTR_NODIRATIME, MS_NODIRATIME),
    (MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW),
)
_ATIME_FLAGS = {
    MOUNT_ATTR_RELATIME: MS_RELATIME,
    MOUNT_ATTR_NOATIME: MS_NOATIME,
    MOUNT_ATTR_STRICTATIME: MS_STRICTATIME,
}


def to_mount_flags(attributes: int) -> int:
    """Convert MOUNT_ATTR_* to the corresponding flags of mount(2)."""
    flags = _ATIME_FLAGS[attributes & MOUNT_ATTR__ATIME]
    for attribute, flag in _FLAG_OF_ATTRIBUTE:
        if attributes & attribute:
            flags |= flag
    return flags
