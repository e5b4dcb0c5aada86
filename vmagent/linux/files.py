"""System calls on files and pipes that Python's `os` does not offer."""

from __future__ import annotations

import ctypes
import os
import stat

from vmagent.linux.syscall import fail, libc

_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h

_SPLICE_F_NONBLOCK = 2  # linux/splice.h

libc.tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
libc.tee.restype = ctypes.c_ssize_t
_IN_MODIFY = 2  # linux/inotify.h
_IN_CLOEXEC = 0o2000000

libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Free the storage of a range of bytes; it reads as zeros, the size stays. Raises OSError EOPNOTSUPP."""
    if libc.fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) < 0:
        fail("fallocate")


def peek_pipe(fd: int, length: int = 65536) -> bytes:
    """Read up to `length` bytes of the pipe `fd` without consuming them: tee(2). b"" at its end.

    Raises BlockingIOError if the pipe is empty and still has a writer.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        count = libc.tee(fd, writer, length, _SPLICE_F_NONBLOCK)
        if count < 0:
            fail("tee")
        return os.read(reader, count) if count else b""
    finally:
        os.close(reader)
        os.close(writer)


def watch(path: str) -> int:
    """An inotify descriptor that becomes readable when the file changes; CLOEXEC, the caller's. Raises OSError."""
    fd: int = libc.inotify_init1(_IN_CLOEXEC)
    if fd < 0:
        fail("inotify_init1")
    if libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(fd)
        fail("inotify_add_watch", path)
    return fd


_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2  # linux/fs.h
_AT_FDCWD = -100

_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h

libc.syncfs.argtypes = (ctypes.c_int,)
libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
libc.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


def syncfs(fd: int) -> None:
    """Flush the file system that `fd` is on. Raises OSError for any write error since `fd` was opened (Linux 5.8),
    so open it before the first write."""
    if libc.syncfs(fd) < 0:
        fail("syncfs")


def start_writeback(fd: int, offset: int, length: int) -> None:
    """Have the kernel begin to write a range of a file to the disk: sync_file_range(2). Promises nothing: a flush is
    still needed, but finds less to do. Raises OSError."""
    if libc.sync_file_range(fd, offset, length, _SYNC_FILE_RANGE_WRITE) < 0:
        fail("sync_file_range")


def rename_no_replace(old_dir_fd: int, old: str, new_dir_fd: int, new: str) -> None:
    """Rename a file or folder. Raises FileExistsError if `new` is there already (Linux 3.15), OSError."""
    if libc.renameat2(old_dir_fd, os.fsencode(old), new_dir_fd, os.fsencode(new), RENAME_NOREPLACE) < 0:
        fail("renameat2", new)


def exchange(one: str, other: str) -> None:
    """Exchange two files or folders in one step. Raises OSError."""
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) < 0:
        fail("renameat2", other)


def kind_of(mode: int) -> str:
    """What `st_mode` of stat(2) says that it is, as the API tells it: file, folder, link, device, pipe or socket."""
    return _KINDS.get(stat.S_IFMT(mode), "file")
