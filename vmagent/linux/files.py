"""Files: what Python's `os` has no word for."""

from __future__ import annotations

import ctypes

from vmagent.linux.syscall import fail, libc

_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h

libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give the storage of that range back; it reads as zeros, the size stays. Raises OSError EOPNOTSUPP."""
    if libc.fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) < 0:
        fail("fallocate")
