"""Takes the guest's memory out of a stream that QEMU has written of a VM's state.

The stream (QEMU, docs/devel/migration): a header; sections, each with a byte of its kind, and with a footer; in the
section `ram` one record for each page of each block of memory: eight bytes, address and flags, the block's name where
it is another one than in the record before, and the page. QEMU reads a stream without the pages of a block too, and
leaves that block's memory as it is: it may be a file that is mapped.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

PAGE = 4096
_MAGIC = b"QEVM\0\0\0\3"
_START, _PART, _END, _FULL, _FOOTER = 1, 2, 3, 4, 0x7E
_RAM = b"\3ram\0\0\0\0\0\0\0\4"  # name, instance 0, version 4
_HEAD_BYTES = 16 * 1024  # within which the section `ram` begins
_ZERO, _SIZES, _PAGE, _EOS, _SAME = 0x02, 0x04, 0x08, 0x10, 0x20
_FLAGS = PAGE - 1
_BUFFER = 1 << 20


class UnknownStream(Exception):
    """The stream holds what this module does not know."""


def take_memory(stream: Path, block: str, memory: Path, rest: Path) -> None:
    """Write the pages of `block` in `stream` to the new file `memory`, with holes where they are zero, and all else to
    `rest`. Blocks. Raises UnknownStream, OSError; the new files are of no use then."""
    with open(stream, "rb", _BUFFER) as source, open(memory, "xb", 0) as pages, open(rest, "xb", _BUFFER) as out:
        _Taking(source, block.encode(), pages, out).run()


class _Taking:
    def __init__(self, source: BinaryIO, block: bytes, pages: BinaryIO, out: BinaryIO) -> None:
        self._source, self._block, self._pages, self._out = source, block, pages, out
        self._section = b""
        self._size = 0
        self._current = b""
        self._seen: set[int] = set()

    def run(self) -> None:
        self._begin()
        while (kind := self._byte()) in (_PART, _END):
            section = self._bytes(4)
            if section != self._section:
                raise UnknownStream("another part holds pages too")
            self._out.write(bytes([kind]) + section)
            self._records()
            self._foot()
        if kind != _FULL or not self._size:
            raise UnknownStream(f"a part of kind {kind} follows the memory")
        self._pages.truncate(self._size)
        self._out.write(bytes([kind]))
        while data := self._source.read(_BUFFER):
            self._out.write(data)

    def _begin(self) -> None:
        """The header, and the beginning of `ram`: the blocks' sizes."""
        head = self._bytes(_HEAD_BYTES)
        at = head.find(_RAM)
        if not head.startswith(_MAGIC) or at < 5 or head[at - 5] != _START:
            raise UnknownStream("no memory is found at its beginning")
        self._section = head[at - 4 : at]
        at += len(_RAM)
        self._source.seek(at)
        self._out.write(head[:at])
        (word,) = struct.unpack(">Q", self._copied(8))
        total, flags = word & ~_FLAGS, word & _FLAGS
        if flags != _SIZES:
            raise UnknownStream("its memory has no sizes")
        while total > 0:
            name = self._copied(self._copied(1)[0])
            (size,) = struct.unpack(">Q", self._copied(8))
            total -= size
            if name == self._block:
                self._size = size
        if total or self._copied(8) != struct.pack(">Q", _EOS):
            raise UnknownStream("its sizes are of another kind")
        self._foot()

    def _foot(self) -> None:
        if self._copied(5) != bytes([_FOOTER]) + self._section:
            raise UnknownStream("a part of it has another end")

    def _records(self) -> None:
        """The records of one section. A page may come more than once: the last one holds."""
        write, unpack = self._out.write, struct.Struct(">Q").unpack
        block, current, seen = self._block, self._current, self._seen
        while True:
            head = self._bytes(8)
            (word,) = unpack(head)
            flags = word & _FLAGS
            if flags == _EOS:
                write(head)
                self._current = current
                return
            if not flags & _SAME:
                length = self._bytes(1)
                current = self._bytes(length[0])
                head += length + current
            kind, address = flags & ~_SAME, word & ~_FLAGS
            if kind == _ZERO:
                body = self._bytes(1)
                if body != b"\0":
                    raise UnknownStream("a page is filled with another byte than zero")
            elif kind == _PAGE:
                body = self._bytes(PAGE)
            else:
                raise UnknownStream(f"a page has flags {flags:#x}")
            if current != block:
                write(head + body)
            elif kind == _PAGE or address in seen:
                if address >= self._size:
                    raise UnknownStream("a page lies beyond its block")
                seen.add(address)
                self._pages.seek(address)
                self._pages.write(body if kind == _PAGE else bytes(PAGE))

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, count: int) -> bytes:
        data = self._source.read(count)
        if len(data) != count:
            raise UnknownStream("it ends too soon")
        return data

    def _copied(self, count: int) -> bytes:
        data = self._bytes(count)
        self._out.write(data)
        return data
