"""Which names a tar's members have, and where in it their bytes are: what an EROFS index over the tar is made of.

The index shows what unpacking the tar would make. Where that is more than names (the order of repeated members, links
on the way, sparse files), there is none, and the tar is to be unpacked.
"""

from __future__ import annotations

import os
import stat

from vmagent.images import erofsindex, tarstream
from vmagent.images.erofsindex import BLOCK, MAX_FILE, MAX_NAME, MAX_TARGET, Node, NotHere
from vmagent.images.links import clamped, components
from vmagent.images.tarstream import ByteSource, Member
from vmagent.images.unpack import AUFS_OWN, FORBIDDEN_XATTRS, OPAQUE, OPAQUE_XATTR, WHITEOUT, whiteout_of

_TYPES = {
    tarstream.REGULAR: stat.S_IFREG, tarstream.SYMLINK: stat.S_IFLNK, tarstream.CHAR: stat.S_IFCHR,
    tarstream.DEVICE_BLOCK: stat.S_IFBLK, tarstream.DIRECTORY: stat.S_IFDIR, tarstream.FIFO: stat.S_IFIFO,
}  # fmt: skip
_IMPLIED_MODE = stat.S_IFDIR | 0o755  # of folders that a tar does not list, as unpacking makes them
_CAPABILITY, _CAPABILITY_SIZE = "security.capability", 20  # vfs_cap_data of revision 2: linux/capability.h


class TarIndex:
    """The members of one tar, as they come."""

    def __init__(self) -> None:
        self._root = Node(_IMPLIED_MODE)
        self._listed: set[int] = set()  # ids of the nodes of folders that the tar lists
        self._folders: dict[str, Node] = {"": self._root}  # by a member's name up to its last slash
        self._is_whole = True
        self.file_bytes = 0  # sum of the sizes of regular files, docker's "size" of a layer

    def read(self, source: ByteSource) -> None:
        """Take the tar to its end, or up to the member that cannot be indexed. Raises ImageFault."""
        try:
            for member in tarstream.members(source):
                self._add(member, source.position)
        except NotHere:
            self._is_whole = False

    def image(self, tar_bytes: int) -> list[bytes] | None:
        """The index, in pieces; None if the tar must be unpacked. `tar_bytes`: its size. To be called once."""
        if not self._is_whole:
            return None
        try:
            return erofsindex.image(self._root, tar_bytes)
        except NotHere:
            return None

    def _add(self, member: Member, position: int) -> None:
        """One member, whose bytes begin at `position`. Raises ImageFault, NotHere."""
        head, _, base = member.name.rpartition("/")
        is_plain = base not in ("", ".", "..")
        folder = self._folders.get(head) if is_plain else None
        if folder is None:
            parts = components(member.name, "path")
            if not parts:
                self._list(self._root, member)
                return
            base = parts.pop()
            folder = self._folder(parts)
            if is_plain:
                self._folders[head] = folder
        children = folder.children
        assert children is not None
        if base.startswith(WHITEOUT):
            self._whiteout(folder, base, member)
            return
        name = os.fsencode(base)
        known = children.get(name)
        if member.type == tarstream.DIRECTORY:
            if known is None:
                known = children[name] = Node(_IMPLIED_MODE)
            self._list(known, member)
            return
        if known is not None or len(name) > MAX_NAME:
            raise NotHere(member.name)
        children[name] = self._linked(member) if member.type == tarstream.HARD_LINK else self._made(member, position)

    def _folder(self, parts: list[str]) -> Node:
        """The folder, made with those above it where they are missing. Raises NotHere: there is something else."""
        node = self._root
        for part in parts:
            if node.children is None:
                break
            name = os.fsencode(part)
            found = node.children.get(name)
            if found is None:
                if len(name) > MAX_NAME or part.startswith(WHITEOUT):
                    raise NotHere(part)
                found = node.children[name] = Node(_IMPLIED_MODE)
            node = found
        if node.children is None:
            raise NotHere("/".join(parts))
        return node

    def _list(self, node: Node, member: Member) -> None:
        if member.type != tarstream.DIRECTORY or node.children is None or id(node) in self._listed:
            raise NotHere(member.name)
        self._listed.add(id(node))
        node.mode = stat.S_IFDIR | member.mode
        node.uid, node.gid, node.mtime_ns = member.uid, member.gid, member.mtime_ns
        node.xattrs = {**_xattrs(member), **(node.xattrs or {})}

    def _linked(self, member: Member) -> Node:
        if ".." in member.link.split("/"):
            raise NotHere(member.name)  # only unpacking climbs no higher than the root
        node: Node | None = self._root
        for part in clamped(member.link, f"the hard link {member.name!r} to"):
            # Only unpacking follows links on the way, and says what is missing.
            node = node.children.get(os.fsencode(part)) if node is not None and node.children is not None else None
        if node is None or node.children is not None or _is_whiteout(node):
            raise NotHere(member.name)
        node.names += 1
        return node

    def _made(self, member: Member, position: int) -> Node:
        node = Node(_TYPES[member.type] | member.mode, member.uid, member.gid, member.mtime_ns)
        if member.type == tarstream.REGULAR:
            if member.sparse is not None or member.size > MAX_FILE:
                raise NotHere(member.name)
            node.size, node.block = member.size, position // BLOCK
            self.file_bytes += member.size
        elif member.type == tarstream.SYMLINK:
            node.mode = stat.S_IFLNK | 0o777
            node.target = os.fsencode(member.link)
            if not 0 < len(node.target) <= MAX_TARGET:
                raise NotHere(member.name)  # unpacking refuses it
        elif member.type in (tarstream.CHAR, tarstream.DEVICE_BLOCK):
            node.rdev = erofsindex.device_number(member.major, member.minor)
        if member.xattrs:
            node.xattrs = _xattrs(member)
        return node

    def _whiteout(self, folder: Node, base: str, member: Member) -> None:
        assert folder.children is not None
        if base == OPAQUE:
            folder.xattrs = {**(folder.xattrs or {}), OPAQUE_XATTR: b"y"}
            return
        if base.startswith(AUFS_OWN):
            raise NotHere(member.name)
        name = os.fsencode(whiteout_of(base, member.name))
        if name in folder.children:
            raise NotHere(member.name)
        folder.children[name] = Node(stat.S_IFCHR)


def _is_whiteout(node: Node) -> bool:
    return stat.S_ISCHR(node.mode) and node.rdev == 0


def _xattrs(member: Member) -> dict[str, bytes]:
    """The attributes that unpacking would set. Raises NotHere where the kernel would have to check them."""
    kept = {name: value for name, value in member.xattrs.items() if not name.startswith(FORBIDDEN_XATTRS)}
    for name, value in kept.items():
        is_user = name.startswith("user.") and member.type in (tarstream.REGULAR, tarstream.DIRECTORY)
        if name == _CAPABILITY and len(value) != _CAPABILITY_SIZE:
            raise NotHere(name)
        if not is_user and not name.startswith(("trusted.", "security.")):
            raise NotHere(name)
    return kept
