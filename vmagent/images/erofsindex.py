"""Writes a file system of EROFS that has names and attributes only: the files' bytes lie in another file, its device.

Documentation/filesystems/erofs.rst, "On-disk details"; fs/erofs/erofs_fs.h. Blocks have 512 bytes, as a tar's have. One
area holds the inodes, all of the form that has times in nanoseconds, each in slots of 32 bytes, with its extended
attributes behind it, and then a link's target, or the one chunk that a file is, as a block of the device. A second area
holds the folders: blocks of sorted 12-byte entries with their names behind.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator

BLOCK = 512
_BITS = 9
_SLOT = 32
_START = 1536  # of the inodes: behind the superblock at 1024 (128 bytes) and one entry of the table of devices
_MAGIC = 0xE0F5E1E2
# magic, checksum, feature_compat, blkszbits, extslots, root_nid, inos, time, nsec, blocks, meta, xattr, uuid, volume,
# feature_incompat, algorithms, devices, their table's slot
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHH")
_SUPER_OFFSET, _DEVICE_OFFSET, _DEVICE_SLOT = 1024, 1152, 128
_COMPAT_MTIME = 0x2
_INCOMPAT_CHUNKED_FILE, _INCOMPAT_DEVICE_TABLE = 0x4, 0x8
# format, xattr_icount, mode, size, u, ino, uid, gid, mtime, nsec, nlink
_INODE = struct.Struct("<HHHxxQIIIIqII16x")
_EXTENDED = 1
_PLAIN, _INLINE, _CHUNKED = 0 << 1, 2 << 1, 4 << 1
_CHUNK_INDEXES = 0x20
_MAX_CHUNK_BITS = 31
_CHUNK = struct.Struct("<HHI")  # startblk_hi, device_id, startblk_lo
_DIRENT = struct.Struct("<QHBB")
_TYPES = {
    stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFIFO: 5, stat.S_IFLNK: 7,
}  # fmt: skip  # FT_*: include/linux/fs_types.h
_PREFIXES = {"user.": 1, "trusted.": 4, "security.": 6}
_XATTR_HEADER = 12
MAX_NAME, MAX_TARGET = 255, 4095  # as for other file systems: NAME_MAX, PATH_MAX
MAX_FILE = 1 << (_BITS + _MAX_CHUNK_BITS)
_MAX_VALUE, _MAX_XATTRS = 0xFFFF, 4 * 0xFFFF
_MAX_DEVICE_BLOCKS = 0xFFFFFFFF


HEAD = _SUPER_OFFSET + _SUPER.size
_NAME = b"cove index 1".ljust(16, b"\0")  # the volume's


class NotHere(Exception):
    """This form has no place for it."""


class Node:
    """A file, folder, link, device or pipe; several names may mean it."""

    __slots__ = (
        "block", "children", "gid", "mode", "mtime_ns", "names", "nid", "rdev", "size", "target", "uid", "xattrs",
    )  # fmt: skip

    def __init__(self, mode: int, uid: int = 0, gid: int = 0, mtime_ns: int = 0) -> None:
        self.mode, self.uid, self.gid, self.mtime_ns = mode, uid, gid, mtime_ns
        self.names = 2 if mode & 0o170000 == stat.S_IFDIR else 1
        self.size = 0  # of a regular file
        self.block = 0  # of the device: where its bytes begin, or where a folder's entries do
        self.rdev = 0
        self.target = b""  # of a symbolic link
        self.children: dict[bytes, Node] | None = {} if mode & 0o170000 == stat.S_IFDIR else None
        self.xattrs: dict[str, bytes] | None = None
        self.nid = 0


def device_number(major: int, minor: int) -> int:
    """A device's number as it is stored: new_encode_dev(), include/linux/kdev_t.h. Raises NotHere."""
    if major > 0xFFF or minor > 0xFFFFF:
        raise NotHere("a device number of more than 32 bits")
    return (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12


def image(root: Node, device_bytes: int) -> list[bytes]:
    """The file system with this root folder, in pieces. `device_bytes`: the size of the file with the bytes.

    Raises NotHere.
    """
    if device_bytes > _MAX_DEVICE_BLOCKS * BLOCK:
        raise NotHere("a device of more than 2 TiB")
    made = _Image(root)
    return [made.head(device_bytes), made.inodes(), *made.contents]


def is_index(head: bytes) -> bool:
    """Whether a file with this beginning (`HEAD` bytes) is an EROFS."""
    return len(head) == HEAD and head[_SUPER_OFFSET : _SUPER_OFFSET + 4] == struct.pack("<I", _MAGIC)


def is_of_this_form(head: bytes) -> bool:
    """Whether `image` has made it, and not another program: an engine of an earlier version used mkfs.erofs."""
    return is_index(head) and _SUPER.unpack_from(head, _SUPER_OFFSET)[13] == _NAME


class _Image:
    def __init__(self, root: Node) -> None:
        self._nodes: list[tuple[Node, bytes]] = []  # each once, with its extended attributes
        self._folders: list[tuple[Node, Node]] = []  # each with its parent
        self._end = _START
        self._number(root)
        self._walk(root)
        self._end = _up(self._end, BLOCK)
        self._block = self._end // BLOCK
        self.contents: list[bytes] = []  # of folders and of long links, one after the other
        for folder, parent in self._folders:
            self._keep(folder, b"".join(_entries(folder, parent)))
        for node, xattrs in self._nodes:
            if node.target and not _is_inline(node, xattrs):
                self._keep(node, node.target)

    def _walk(self, root: Node) -> None:
        """Give every node its number."""
        self._folders.append((root, root))
        for folder, _ in self._folders:  # grows meanwhile
            assert folder.children is not None
            for child in folder.children.values():
                if not child.nid:
                    self._number(child)
                if child.children is not None:
                    folder.names += 1
                    self._folders.append((child, folder))

    def _number(self, node: Node) -> None:
        xattrs = _xattrs(node.xattrs) if node.xattrs else b""
        end = self._end + _INODE.size + len(xattrs)
        if node.size:
            end = _up(end, _CHUNK.size) + _CHUNK.size
        elif node.target and _is_inline(node, xattrs):
            if self._end % BLOCK + _INODE.size + len(node.target) > BLOCK:
                self._end = _up(self._end, BLOCK)
            end = self._end + _INODE.size + len(node.target)
        node.nid = self._end // _SLOT
        self._nodes.append((node, xattrs))
        self._end = _up(end, _SLOT)

    def _keep(self, node: Node, content: bytes) -> None:
        node.block, node.size = self._block, len(content)
        padded = content + bytes(-len(content) % BLOCK)
        self._block += len(padded) // BLOCK
        self.contents.append(padded)

    def head(self, device_bytes: int) -> bytes:
        """All before the inodes."""
        head = bytearray(_START)
        _SUPER.pack_into(
            head, _SUPER_OFFSET, _MAGIC, 0, _COMPAT_MTIME, _BITS, 0, self._nodes[0][0].nid, len(self._nodes), 0, 0,
            self._block, 0, 0, bytes(16), _NAME, _INCOMPAT_CHUNKED_FILE | _INCOMPAT_DEVICE_TABLE, 0, 1,
            _DEVICE_OFFSET // _DEVICE_SLOT,
        )  # fmt: skip
        struct.pack_into("<64xI", head, _DEVICE_OFFSET, -(-device_bytes // BLOCK))
        return bytes(head)

    def inodes(self) -> bytes:
        area = bytearray(_up(self._end, BLOCK) - _START)
        pack = _INODE.pack_into
        for number, (node, xattrs) in enumerate(self._nodes, 1):
            at = node.nid * _SLOT - _START
            behind = at + _INODE.size
            if xattrs:
                area[behind : behind + len(xattrs)] = xattrs
                behind += len(xattrs)
            layout, place, size = _PLAIN, node.rdev or node.block, node.size
            if node.target and _is_inline(node, xattrs):
                layout, place, size = _INLINE, 0, len(node.target)
                area[behind : behind + size] = node.target
            elif size and node.children is None and not node.target:
                layout, place = _CHUNKED, _CHUNK_INDEXES | max((size - 1).bit_length() - _BITS, 0)
                _CHUNK.pack_into(area, _up(behind + _START, _CHUNK.size) - _START, 0, 1, node.block)
            count = (len(xattrs) - _XATTR_HEADER) // 4 + 1 if xattrs else 0
            seconds, ns = divmod(node.mtime_ns, 1_000_000_000)
            pack(
                area, at, _EXTENDED | layout, count, node.mode, size, place, number, node.uid, node.gid, seconds, ns,
                node.names,
            )  # fmt: skip
        return bytes(area)


def _entries(folder: Node, parent: Node) -> Iterator[bytes]:
    """A folder's blocks; the last one ends with its last name."""
    assert folder.children is not None
    listed = [(b".", folder), (b"..", parent), *folder.children.items()]
    listed.sort(key=lambda entry: entry[0])
    begin, room = 0, BLOCK
    for index, (name, _) in enumerate(listed):
        room -= _DIRENT.size + len(name)
        if room < 0:
            yield _dir_block(listed[begin:index]).ljust(BLOCK, b"\0")
            begin, room = index, BLOCK - _DIRENT.size - len(name)
    yield _dir_block(listed[begin:])


def _dir_block(listed: list[tuple[bytes, Node]]) -> bytes:
    at = len(listed) * _DIRENT.size
    made = bytearray(at)
    for index, (name, node) in enumerate(listed):
        _DIRENT.pack_into(made, index * _DIRENT.size, node.nid, at, _TYPES[node.mode & 0o170000], 0)
        at += len(name)
    return bytes(made) + b"".join([name for name, _ in listed])


def _is_inline(node: Node, xattrs: bytes) -> bool:
    return not xattrs and len(node.target) <= BLOCK - _INODE.size


def _xattrs(values: dict[str, bytes]) -> bytes:
    """The attributes of one inode. Raises NotHere."""
    made = bytearray(_XATTR_HEADER)
    for name, value in sorted(values.items()):
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
        if prefix is None or len(value) > _MAX_VALUE:
            raise NotHere(f"the attribute {name}")
        rest = os.fsencode(name[len(prefix) :])
        if not rest or len(rest) > MAX_NAME - len(prefix):
            raise NotHere(f"the attribute {name}")
        made += struct.pack("<BBH", len(rest), _PREFIXES[prefix], len(value)) + rest + value
        made += bytes(-len(made) % 4)
    if len(made) > _MAX_XATTRS:
        raise NotHere("attributes of more than 256 KiB")
    return bytes(made)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
