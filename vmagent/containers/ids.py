"""Translates file owners between a container's user namespace (inside, as in tars) and the host (outside)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from vmagent.linux.idmaps import inside, outside

CAPABILITY = "security.capability"
# linux/capability.h: struct vfs_ns_cap_data is struct vfs_cap_data (20 bytes) and the namespace's root (4).
_REVISION_2, _REVISION_3, _REVISION_MASK = 0x02000000, 0x03000000, 0xFF000000
_SIZE_2, _SIZE_3 = 20, 24


class Ids(NamedTuple):
    """The id maps of a container: lists of [inside, outside, count]; None: it is in the host's user namespace."""

    uid_map: list[list[int]] | None = None
    gid_map: list[list[int]] | None = None

    @property
    def root(self) -> tuple[int, int]:
        """The host's uid and gid for the container's root."""
        return self.outside(0, 0)

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        return (
            uid if self.uid_map is None else outside(uid, self.uid_map),
            gid if self.gid_map is None else outside(gid, self.gid_map),
        )

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        return (
            uid if self.uid_map is None else inside(uid, self.uid_map),
            gid if self.gid_map is None else inside(gid, self.gid_map),
        )

    def xattr_inside(self, name: str, value: bytes) -> bytes:
        """The value of an extended attribute for a tar: file capabilities lose the root id (revision 3 → 2)."""
        if self.uid_map is None or name != CAPABILITY or len(value) != _SIZE_3:
            return value
        magic, root = struct.unpack_from("<I", value)[0], struct.unpack_from("<I", value, _SIZE_2)[0]
        if magic & _REVISION_MASK != _REVISION_3 or root != self.root[0]:
            return value
        return struct.pack("<I", magic & ~_REVISION_MASK | _REVISION_2) + value[4:_SIZE_2]

    def xattr_outside(self, name: str, value: bytes) -> bytes:
        """The value from a tar for the disk: file capabilities get the root id of the container (revision 2 → 3)."""
        if self.uid_map is None or name != CAPABILITY or len(value) != _SIZE_2:
            return value
        magic = struct.unpack_from("<I", value)[0]
        if magic & _REVISION_MASK != _REVISION_2:
            return value
        return struct.pack("<I", magic & ~_REVISION_MASK | _REVISION_3) + value[4:] + struct.pack("<I", self.root[0])
