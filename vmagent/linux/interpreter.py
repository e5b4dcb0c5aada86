"""The Python interpreter, protected from the containers that it starts (CVE-2019-5736).

A process inside a container can open, through /proc/PID/exe, the executable of a process that has just entered the
container's namespaces. In the CVE that was runc; here it is the interpreter, and if it were overwritten, the attacker's
code would run as root on the host at the next start. So a process that starts containers runs from a read-only detached
mount of the interpreter: /proc/PID/exe leads to that mount, and writing gives EROFS.
"""

from __future__ import annotations

import os
import sys

from vmagent.linux import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


def is_protected() -> bool:
    """Whether this process's own executable lies on a read-only mount."""
    return bool(os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY)


def open_protected(path: str | None = None) -> int:
    """The interpreter (or the program `path`) on a detached read-only mount of its own; the caller's, CLOEXEC.

    Raises OSError (EPERM without CAP_SYS_ADMIN).
    """
    fd = mounts.open_tree(mounts.AT_FDCWD, os.path.realpath(path or sys.executable), mounts.OPEN_TREE_CLONE)
    try:
        mounts.mount_setattr(fd, set_=mounts.MOUNT_ATTR_RDONLY)
    except BaseException:
        os.close(fd)
        raise
    return fd


def exec_protected(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Replace this process by the protected interpreter, which finds its library by `argv[0]`, sys.executable.

    Raises OSError.
    """
    fd = open_protected()
    os.execve(f"/proc/self/fd/{fd}", list(argv), dict(env))
    raise AssertionError("execve came back")
