"""Removal of whole trees by one call: the interpreter's lock is given away once, not at each of its system calls."""

from __future__ import annotations

import ctypes
import os
import stat
from contextlib import suppress

from vmagent.linux.syscall import libc

_FTW_PHYS, _FTW_MOUNT, _FTW_DEPTH = 1, 2, 8  # ftw.h: no link is followed, no mount entered, children before parents
_FOLDERS_OPEN = 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

libc.nftw.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_REMOVE = ctypes.cast(libc.remove, ctypes.c_void_p)  # nftw(3) passes three more arguments, which remove(3) ignores


def remove_tree(path: str) -> None:
    """Remove the folder `path` with all that is in it. What can't be removed stays, without an error.

    Other file systems that are mounted in it stay, too. The caller owns the tree: nobody else changes it meanwhile.
    """
    if libc.nftw(os.fsencode(path), _REMOVE, _FOLDERS_OPEN, _FTW_PHYS | _FTW_MOUNT | _FTW_DEPTH) < 0:
        # Missing, or with something in it that nftw ends at: a path of more than PATH_MAX bytes, a file that stays.
        with suppress(OSError):
            top_fd = os.open(path, _FOLDER)
            try:
                _empty(top_fd, os.fstat(top_fd).st_dev)
            finally:
                os.close(top_fd)
            os.rmdir(path)


def _empty(folder_fd: int, device: int) -> None:
    """Remove what is in the folder, by nftw's rules, but go on where something can't be removed. Raises OSError."""
    for name in os.listdir(folder_fd):
        with suppress(OSError):
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder_fd)
                continue
            below_fd = os.open(name, _FOLDER, dir_fd=folder_fd)
            try:
                if os.fstat(below_fd).st_dev == device:
                    _empty(below_fd, device)
            finally:
                os.close(below_fd)
            os.rmdir(name, dir_fd=folder_fd)  # EBUSY: something is mounted on it
