"""Modes of files as Go writes them: package os, FileMode. Permission bits are the kernel's, all others are Go's own."""

from __future__ import annotations

import functools
import stat

_DIR, _SYMLINK, _DEVICE, _PIPE, _SOCKET, _SETUID, _SETGID, _CHAR_DEVICE, _STICKY = (
    1 << bit for bit in (31, 27, 26, 25, 24, 23, 22, 21, 20)
)
_TYPES = (
    (_DIR, stat.S_IFDIR),
    (_SYMLINK, stat.S_IFLNK),
    (_CHAR_DEVICE, stat.S_IFCHR),  # before the next: a character device has both bits
    (_DEVICE, stat.S_IFBLK),
    (_PIPE, stat.S_IFIFO),
    (_SOCKET, stat.S_IFSOCK),
)
_SPECIAL = ((_SETUID, stat.S_ISUID), (_SETGID, stat.S_ISGID), (_STICKY, stat.S_ISVTX))


@functools.lru_cache(256)  # a context has few modes and many files
def file_type(mode: int) -> int:
    """stat(2)'s S_IFMT of a Go mode."""
    return next((ours for theirs, ours in _TYPES if mode & theirs), stat.S_IFREG)


@functools.lru_cache(256)  # a context has few modes and many files
def permissions(mode: int) -> int:
    """The twelve bits that chmod(2) sets, of a Go mode."""
    return mode & 0o777 | sum(ours for theirs, ours in _SPECIAL if mode & theirs)


def go_mode(mode: int) -> int:
    """A Go mode of stat(2)'s st_mode."""
    made = mode & 0o777 | sum(theirs for theirs, ours in _SPECIAL if mode & ours)
    for theirs, ours in _TYPES:
        if stat.S_IFMT(mode) == ours:
            return made | theirs | (_DEVICE if ours == stat.S_IFCHR else 0)
    return made
