"""Pseudo-terminals by descriptors alone: no path of a container's /dev is followed."""

from __future__ import annotations

import fcntl
import os
import struct

# asm-generic/ioctls.h
_TIOCSCTTY = 0x540E
_TIOCSWINSZ = 0x5414
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def unlock_and_open_peer(master_fd: int) -> int:
    """The slave of `master_fd`, opened through the master itself (TIOCGPTPEER, 4.13); CLOEXEC. Raises OSError."""
    fcntl.ioctl(master_fd, _TIOCSPTLCK, struct.pack("i", 0))
    return fcntl.ioctl(master_fd, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def set_size(fd: int, rows: int, columns: int) -> None:
    """Tell the terminal its size; the foreground process group gets SIGWINCH. Raises OSError."""
    fcntl.ioctl(fd, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def make_controlling(fd: int) -> None:
    """Make `fd` the controlling terminal of this session leader. Raises OSError."""
    fcntl.ioctl(fd, _TIOCSCTTY, 0)
