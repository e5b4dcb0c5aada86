"""Control groups behind one interface: `tree()` finds out which version the machine has, v1 or v2."""

from __future__ import annotations

import os

from vmagent.linux import mounts
from vmagent.runtime.cgroups.base import Cgroup, Tree, Usage
from vmagent.runtime.cgroups.v1 import TreeV1
from vmagent.runtime.cgroups.v2 import TreeV2

__all__ = ["Cgroup", "Tree", "Usage", "tree"]

_found: list[Tree] = []  # filled at the first call; cgroup mounts do not change while an engine runs


def tree(mount_point: str = "/sys/fs/cgroup") -> Tree:
    """The machine's cgroup tree: v2 where `mount_point` itself is cgroup2, else the v1 hierarchies mounted.

    Raises OSError where neither is there.
    """
    if not _found:
        fd = os.open(mount_point, os.O_PATH | os.O_CLOEXEC)
        try:
            is_unified = mounts.filesystem_type(fd) == mounts.CGROUP2_SUPER_MAGIC
        finally:
            os.close(fd)
        _found.append(TreeV2(mount_point) if is_unified else TreeV1())
    return _found[0]
