"""Removal of whole trees by one call: the interpreter's lock is given away once, not at each of its system calls."""

from __future__ import annotations

import ctypes
import os
import shutil

from vmagent.linux.syscall import libc

_FTW_PHYS, _FTW_MOUNT, _FTW_DEPTH = 1, 2, 8  # ftw.h: no link is followed, no mount entered, children before parents
_FOLDERS_OPEN = 16

libc.nftw.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_REMOVE = ctypes.cast(libc.remove, ctypes.c_void_p)  # nftw(3) passes three more arguments, which remove(3) ignores


def remove_tree(path: str) -> None:
    """Remove the folder `path` with all that is in it. What can't be removed stays, without an error.

    The caller owns the tree: nobody else changes it meanwhile.
    """
    if libc.nftw(os.fsencode(path), _REMOVE, _FOLDERS_OPEN, _FTW_PHYS | _FTW_MOUNT | _FTW_DEPTH) < 0:
        # Missing, or with something in it that nftw ends at: a path of more than PATH_MAX bytes, a file that stays.
        shutil.rmtree(path, ignore_errors=True)
