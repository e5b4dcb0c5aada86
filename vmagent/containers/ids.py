"""Owners of files between a container's user namespace and the host, as tars say them and as the kernel does."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vmagent.linux.idmaps import inside, outside

CAPABILITY = "security.capability"
# linux/capability.h: struct vfs_ns_cap_data is struct vfs_cap_data (20 bytes) and the namespace's root (4).
_REVISION_2, _REVISION_3, _REVISION_MASK = 0x02000000, 0x03000000, 0xFF000000
_SIZE_2, _SIZE_3 = 20, 24


@dataclass(frozen=True, slots=True)
class Ids:
    """Both maps are lists of [inside, outside, count]; None: a container in the host's user namespace."""

    uid_map: list[list[int]] | None = None
    gid_map: list[list[int]] | None = None

    @property
    def root(self) -> tuple[int, int]:
        """The host's uid and gid of the container's root."""
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
        """An extended attribute as a tar has it: a file's capabilities are those of whatever root it comes to."""
        if self.uid_map is None or name != CAPABILITY or len(value) != _SIZE_3:
            return value
        magic, root = struct.unpack_from("<I", value)[0], struct.unpack_from("<I", value, _SIZE_2)[0]
        if magic & _REVISION_MASK != _REVISION_3 or root != self.root[0]:
            return value
        return struct.pack("<I", magic & ~_REVISION_MASK | _REVISION_2) + value[4:_SIZE_2]

    def xattr_outside(self, name: str, value: bytes) -> bytes:
        """The reverse: the capabilities are those of the container's root."""
        if self.uid_map is None or name != CAPABILITY or len(value) != _SIZE_2:
            return value
        magic = struct.unpack_from("<I", value)[0]
        if magic & _REVISION_MASK != _REVISION_2:
            return value
        return struct.pack("<I", magic & ~_REVISION_MASK | _REVISION_3) + value[4:] + struct.pack("<I", self.root[0])
