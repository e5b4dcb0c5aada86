"""Extended attributes of a file by its folder's descriptor. Linux has no such calls before 6.13, so they go by /proc;
elsewhere each of these raises OSError (ENOTSUP)."""

from __future__ import annotations

import errno
import os
import sys


def _path(fd: int, name: bytes | None) -> bytes:
    """A path to `name` in the folder `fd`, or to `fd` itself."""
    here = f"/proc/self/fd/{fd}".encode()
    return here if name is None else here + b"/" + name


def _unsupported() -> OSError:
    return OSError(errno.ENOTSUP, "no extended attributes here")


def get(fd: int, name: bytes | None, attribute: bytes) -> bytes:
    """Raises OSError."""
    if sys.platform == "linux":
        return os.getxattr(_path(fd, name), attribute, follow_symlinks=name is None)
    raise _unsupported()


def put(fd: int, name: bytes | None, attribute: bytes, value: bytes, flags: int = 0) -> None:
    """Raises OSError."""
    if sys.platform == "linux":
        os.setxattr(_path(fd, name), attribute, value, flags, follow_symlinks=name is None)
    else:
        raise _unsupported()


def names(fd: int, name: bytes | None) -> list[bytes]:
    """Raises OSError."""
    if sys.platform == "linux":
        return [os.fsencode(each) for each in os.listxattr(_path(fd, name), follow_symlinks=name is None)]
    raise _unsupported()


def remove(fd: int, name: bytes | None, attribute: bytes) -> None:
    """Raises OSError."""
    if sys.platform == "linux":
        os.removexattr(_path(fd, name), attribute, follow_symlinks=name is None)
    else:
        raise _unsupported()
