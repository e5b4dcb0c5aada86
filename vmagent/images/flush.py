"""Getting written data to the disk: syncfs(2), and a file or folder by name."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from vmagent.linux.syscall import fail, libc

libc.syncfs.argtypes = (ctypes.c_int,)


def syncfs(fd: int) -> None:
    """Flush the file system that `fd` is on. Raises OSError for any write error since `fd` was opened (Linux 5.8),
    so open it before the first write."""
    if libc.syncfs(fd) < 0:
        fail("syncfs")


def flush_file(path: Path) -> None:
    """fdatasync(2) by name. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
