"""Whole trees of files: their removal by one call, in which the interpreter's lock is given away once and not at each
system call; and what is in them."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vmagent.linux.syscall import libc

_FTW_PHYS, _FTW_MOUNT, _FTW_DEPTH = 1, 2, 8  # ftw.h: no link is followed, no mount entered, children before parents
_FOLDERS_OPEN = 16
BLOCK_BYTES = 512  # of st_blocks: stat(2)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

libc.nftw.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_REMOVE = ctypes.cast(libc.remove, ctypes.c_void_p)  # nftw(3) passes three more arguments, which remove(3) ignores


def remove_tree(path: str) -> None:
    """Remove the folder `path` with all that is in it. What can't be removed stays, without an error.

    Other file systems that are mounted in it stay, too. The caller owns the tree: nobody else changes it meanwhile. It
    is not for what a container can reach, since a link put in the place of a folder would lead out of the tree; there
    `shutil.rmtree` goes by descriptors.
    """
    if libc.nftw(os.fsencode(path), _REMOVE, _FOLDERS_OPEN, _FTW_PHYS | _FTW_MOUNT | _FTW_DEPTH) < 0:
        # Missing, or with something in it that nftw ends at: a path of more than PATH_MAX bytes, a file that stays.
        with suppress(OSError):
            _empty(path)
            os.rmdir(path)


def remove_whole_tree(path: str) -> None:
    """As `remove_tree`, but raises OSError if something stays. The folder may be missing."""
    remove_tree(path)
    if os.path.lexists(path):
        shutil.rmtree(path)  # which raises what keeps it


def files_below(folder: Path | str) -> Iterator[os.stat_result]:
    """What is known of each file below `folder` that is no folder, without following links; of hard links once.

    Others may change the tree meanwhile. Left out is what they remove, and what can't be looked at, such as what lies
    deeper than a path may say (PATH_MAX).
    """
    pending = [str(folder)]
    seen: set[tuple[int, int]] = set()
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                    continue
                with suppress(OSError):
                    info = entry.stat(follow_symlinks=False)
                    if (info.st_dev, info.st_ino) not in seen:
                        seen.add((info.st_dev, info.st_ino))
                        yield info


def _empty(path: str) -> None:
    """Remove what is in the folder, by nftw's rules, but go on where something can't be removed. Raises OSError.

    One descriptor and no recursion: a container may have made thousands of folders, each in the one before.
    """
    fd = os.open(path, _FOLDER)
    try:
        device = os.fstat(fd).st_dev
        way: list[str] = []  # names of folders, from `path` to the one that is open
        left = [_without_files(fd)]  # for `path` and each on the way, the folders in it that are still to be emptied
        while left[-1] or way:
            if left[-1]:
                below_fd = _open_below(fd, name := left[-1].pop(), device)
                if below_fd >= 0:
                    os.close(fd)
                    fd = below_fd
                    way.append(name)
                    left.append(_without_files(fd))
            else:
                above_fd = os.open("..", _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = above_fd
                left.pop()
                with suppress(OSError):  # something in it stays
                    os.rmdir(way.pop(), dir_fd=fd)
    finally:
        os.close(fd)


def _without_files(folder_fd: int) -> list[str]:
    """Remove what is in the folder but for folders, whose names are returned."""
    folders: list[str] = []
    with suppress(OSError):
        for name in os.listdir(folder_fd):
            with suppress(OSError):
                if stat.S_ISDIR(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
                    folders.append(name)
                else:
                    os.unlink(name, dir_fd=folder_fd)
    return folders


def _open_below(folder_fd: int, name: str, device: int) -> int:
    """The folder `name` in that one; -1 if it can't be opened or is of another file system than `device`."""
    with suppress(OSError):
        fd = os.open(name, _FOLDER, dir_fd=folder_fd)
        if os.fstat(fd).st_dev == device:
            return fd
        os.close(fd)
    return -1
