"""Network namespaces by descriptor, without bind mounts that name them.

unshare(2) and setns(2) change only the calling thread, so these functions run in the engine's network thread.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)


def current() -> int:
    """A descriptor of the calling thread's network namespace; the caller closes it. Raises OSError."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def of_process(pid: int | None) -> int:
    """A descriptor of the network namespace of `pid`, which the caller closes; -1 if there is no such process."""
    try:
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC) if pid is not None else -1
    except OSError:
        return -1


def enter(fd: int) -> None:
    """Move the calling thread into the namespace of `fd`: setns(2). Raises OSError."""
    if _libc.setns(fd, _CLONE_NEWNET) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns to network namespace: {os.strerror(code)}")


def create(home: int) -> int:
    """Create a namespace, then re-enter `home`. Returns a descriptor of the new one; the caller closes it.

    The namespace exists as long as a descriptor, a process or a mount refers to it. Raises OSError.
    """
    if _libc.unshare(_CLONE_NEWNET) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare of a network namespace: {os.strerror(code)}")
    try:
        return current()
    finally:
        enter(home)


@contextmanager
def inside(fd: int, home: int) -> Iterator[None]:
    """Enter the namespace of `fd` for a block, then return to `home`. Raises OSError."""
    enter(fd)
    try:
        yield
    finally:
        enter(home)
