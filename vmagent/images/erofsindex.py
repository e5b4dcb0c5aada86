"""Corrects an EROFS index: mkfs.erofs gives mode 0777 to folders that a tar implies but does not list, the root
included. They get 0755 here, as unpacking gives them.

On-disk format: Documentation/filesystems/erofs.rst, "On-disk details"; fs/erofs/erofs_fs.h (superblock at 1024, inodes
of 32 or 64 bytes at 32-byte slots, folders as blocks of sorted 12-byte entries with their names behind).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_SUPER_OFFSET = 1024
_MAGIC = 0xE0F5E1E2
# erofs_super_block: magic, checksum, feature_compat, blkszbits, extslots, root_nid, inos, time, nsec, blocks, meta
_SUPER = struct.Struct("<IIIBBHQQIII")
_COMPAT_SB_CHKSUM = 0x1
_SLOT = 32
_DIRENT = struct.Struct("<QHBB")
_PLAIN, _INLINE = 0, 2  # i_format's data layouts that folders have
_IMPLIED_MODE = 0o40755


class BadIndex(Exception):
    """The index is not laid out as this reads it."""


class _Index:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        magic, _, compat, bits, _, root, _, _, _, _, meta = _SUPER.unpack_from(data, _SUPER_OFFSET)
        if magic != _MAGIC or not 9 <= bits <= 16:
            raise BadIndex("no superblock")
        self._block = 1 << bits
        self._meta: int = meta << bits
        self.root: int = root
        # The kernel checks the sum only where the feature says there is one; an inode may lie in what it covers.
        struct.pack_into("<II", data, _SUPER_OFFSET + 4, 0, compat & ~_COMPAT_SB_CHKSUM)

    def _inode(self, nid: int) -> int:
        at: int = self._meta + nid * _SLOT
        if at + _SLOT > len(self._data):
            raise BadIndex("an inode past the end")
        return at

    def _entries(self, nid: int) -> Iterator[tuple[bytes, int]]:
        at = self._inode(nid)
        form, xattrs = struct.unpack_from("<HH", self._data, at)
        is_extended, layout = form & 1, form >> 1 & 7
        (size,) = struct.unpack_from("<Q" if is_extended else "<I", self._data, at + 8)
        (start,) = struct.unpack_from("<I", self._data, at + 16)
        tail = at + (64 if is_extended else 32) + (12 + 4 * (xattrs - 1) if xattrs else 0)
        if layout not in (_PLAIN, _INLINE):
            raise BadIndex("a folder of unknown layout")
        whole, rest = divmod(size, self._block)
        pieces = [((start + i) * self._block, self._block) for i in range(whole)]
        if rest:
            pieces.append((tail if layout == _INLINE else (start + whole) * self._block, rest))
        for begin, length in pieces:
            yield from self._dir_block(bytes(self._data[begin : begin + length]))

    @staticmethod
    def _dir_block(block: bytes) -> Iterator[tuple[bytes, int]]:
        if len(block) < _DIRENT.size:
            raise BadIndex("a folder cut short")
        count = _DIRENT.unpack_from(block)[1] // _DIRENT.size
        found = [_DIRENT.unpack_from(block, i * _DIRENT.size) for i in range(count)]
        for (nid, begin, _, _), following in zip(found, [*found[1:], None], strict=True):
            name = block[begin : following[1] if following else len(block)]
            yield name.rstrip(b"\0"), nid

    def child(self, nid: int, name: bytes) -> int:
        for found, child in self._entries(nid):
            if found == name:
                return child
        raise BadIndex(f"no {name!r} in its folder")

    def set_mode(self, nid: int, mode: int) -> None:
        at = self._inode(nid) + 4
        (old,) = struct.unpack_from("<H", self._data, at)
        if old & 0o170000 != 0o40000:
            raise BadIndex("not a folder")
        struct.pack_into("<H", self._data, at, mode)


def set_implied_modes(index: Path, folders: Iterable[str]) -> None:
    """Give `folders` ("" is the root) of the index mode 0755. Raises BadIndex, OSError."""
    with index.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        try:
            tree = _Index(data)
            known = {"": tree.root}
            # Parents come before their children in this order.
            for folder in sorted(folders):
                nid, path = tree.root, ""
                for name in folder.split("/") if folder else []:
                    path = f"{path}/{name}" if path else name
                    if path not in known:
                        known[path] = tree.child(nid, os.fsencode(name))
                    nid = known[path]
                tree.set_mode(nid, _IMPLIED_MODE)
        except (struct.error, IndexError, ValueError) as e:
            raise BadIndex(str(e)) from e
