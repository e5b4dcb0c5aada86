"""`tmpcopyup`: copy the image's folder at a tmpfs's destination into the tmpfs, before it is mounted there.

Runs in the container's first process. It uses descriptors only: no path is resolved, and no link is followed.
"""

from __future__ import annotations

import os
import stat

from vmagent.linux import mounts as m

_CHUNK = 1 << 20


def copy_up(root_fd: int, destination: str, target_fd: int) -> None:
    """Copy the folder `destination` below the root, if it is there, onto the folder `target_fd`. Raises OSError."""
    try:
        source_fd = m.open_in_root(root_fd, destination, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    own = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=target_fd)
    try:
        _copy_folder(source_fd, own)
    finally:
        os.close(source_fd)
        os.close(own)


def _copy_folder(source_fd: int, target_fd: int) -> None:
    for name in os.listdir(source_fd):
        info = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFDIR:
            _copy_below(name, source_fd, target_fd)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
        elif kind == stat.S_IFREG:
            _copy_file(name, source_fd, target_fd)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target_fd)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=target_fd, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=target_fd)  # after chown, which clears setuid
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target_fd, follow_symlinks=False)


def _copy_below(name: str, source_fd: int, target_fd: int) -> None:
    os.mkdir(name, 0o700, dir_fd=target_fd)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    inner_source, inner_target = os.open(name, flags, dir_fd=source_fd), os.open(name, flags, dir_fd=target_fd)
    try:
        _copy_folder(inner_source, inner_target)
    finally:
        os.close(inner_source)
        os.close(inner_target)


def _copy_file(name: str, source_fd: int, target_fd: int) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_fd)
    target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target_fd)
    try:
        while data := os.read(source, _CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
        for attribute in os.listxattr(source):
            if attribute.startswith(("user.", "security.capability")):
                os.setxattr(target, attribute, os.getxattr(source, attribute))
    finally:
        os.close(source)
        os.close(target)
