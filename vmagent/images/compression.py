"""Compression of layers and archives: recognised by the first bytes, decompressed in bounded pieces, and compressed so
that equal input gives equal output.
"""

from __future__ import annotations

import bz2
import itertools
import lzma
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import zstandard
from isal import isal_zlib

from vmagent.images.faults import ImageFault
from vmagent.images.layer import Compression

# Output is taken in pieces of at most this many bytes, so a bomb of 1000:1 never fills the memory.
OUTPUT_LIMIT = 1 << 20
_GZIP_WINDOW = 31  # zlib's windowBits: 15 plus 16 for the gzip wrapper
_GZIP_ERROR: Any = isal_zlib.error  # its stub calls the class an instance
_GZIP_LEVEL = 1  # 16 times as fast as zlib's level 6 for 14 % more bytes


_MAGIC = {
    Compression.GZIP: b"\x1f\x8b",
    Compression.ZSTD: b"\x28\xb5\x2f\xfd",
    Compression.BZIP2: b"BZh",
    Compression.XZ: b"\xfd7zXZ\x00",
}
_ZSTD_SKIPPABLE = tuple(bytes([0x50 + i]) + b"\x2a\x4d\x18" for i in range(16))  # RFC 8878, section 3.1.2
SNIFF_LENGTH = 6


def sniff(head: bytes) -> Compression:
    """The compression of a stream that begins with `head` (SNIFF_LENGTH bytes, or all there are)."""
    for compression, magic in _MAGIC.items():
        if head.startswith(magic):
            return compression
    return Compression.ZSTD if head.startswith(_ZSTD_SKIPPABLE) else Compression.NONE


def peek(blocks: Iterable[bytes]) -> tuple[Compression, Iterator[bytes]]:
    """The compression of the stream, and the stream whole again."""
    rest = iter(blocks)
    head = b""
    while len(head) < SNIFF_LENGTH:
        try:
            head += next(rest)
        except StopIteration:
            break
    return sniff(head), itertools.chain([head] if head else [], rest)


def decompress(compression: Compression, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The plain bytes, in pieces of at most OUTPUT_LIMIT. Raises ImageFault for damage and for a missing end."""
    if compression is Compression.NONE:
        yield from blocks
    elif compression is Compression.GZIP:
        yield from _gunzip(blocks)
    elif compression is Compression.ZSTD:
        yield from _unzstd(blocks)
    elif compression is Compression.BZIP2:
        yield from _unpack(blocks, bz2.BZ2Decompressor, "bzip2", OSError)
    else:
        yield from _unpack(blocks, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), "xz", lzma.LZMAError)


def _gunzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    # RFC 1952, section 2.2: a file is a series of members. pigz -i and estargz make many; zlib's object ends with one.
    member = isal_zlib.decompressobj(_GZIP_WINDOW)
    fresh = True  # the object has seen no byte yet
    for block in blocks:
        while block:
            if fresh and not block.strip(b"\0"):
                break  # zero padding after the last member, as tapes have it
            fresh = False
            try:
                plain = member.decompress(block, OUTPUT_LIMIT)
            except _GZIP_ERROR as e:
                raise ImageFault(f"gzip: {e}", "invalid") from e
            if plain:
                yield plain
            if member.eof:
                block = member.unused_data
                member, fresh = isal_zlib.decompressobj(_GZIP_WINDOW), True
            else:
                block = member.unconsumed_tail
                if not block and not plain:
                    break
    while not fresh and not member.eof:  # what the object holds back after its last input
        plain = member.decompress(b"", OUTPUT_LIMIT)
        if not plain:
            raise ImageFault("gzip: unexpected end of the stream", "invalid")
        yield plain


class _Pull:
    """A file to read from, over an iterator of blocks: what zstandard's stream reader wants."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)

    def read(self, _size: int = -1) -> bytes:
        return next(self._blocks, b"")


def _unzstd(blocks: Iterable[bytes]) -> Iterator[bytes]:
    # Frame by frame: only the decompression object knows whether the last frame was complete.
    context = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    frame = None
    for block in blocks:
        while block:
            if frame is None:
                frame = context.decompressobj(write_size=OUTPUT_LIMIT)
            # The object gives all output of its input at once: small inputs bound it (a frame packs 1 : 32,000 at most,
            # in blocks of 128 KiB for at least 4 bytes each).
            piece, block = block[:_ZSTD_STEP], block[_ZSTD_STEP:]
            try:
                plain = frame.decompress(piece)
            except zstandard.ZstdError as e:
                raise ImageFault(f"zstd: {e}", "invalid") from e
            for start in range(0, len(plain), OUTPUT_LIMIT):
                yield plain[start : start + OUTPUT_LIMIT]
            if frame.eof:
                block = frame.unused_data + block
                frame = None
    if frame is not None:
        raise ImageFault("zstd: unexpected end of the stream", "invalid")


_ZSTD_STEP = 8 << 10


def _unpack(
    blocks: Iterable[bytes],
    new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor],
    name: str,
    error: type[Exception],
) -> Iterator[bytes]:
    member = new()
    fresh = True
    try:
        for block in blocks:
            while block or not (fresh or member.needs_input):
                if fresh and not block.strip(b"\0"):
                    break
                fresh = False
                plain = member.decompress(block, OUTPUT_LIMIT)
                block = b""
                if plain:
                    yield plain
                if member.eof:
                    block, member, fresh = member.unused_data, new(), True
    except error as e:
        raise ImageFault(f"{name}: {e}", "invalid") from e
    if not fresh:
        raise ImageFault(f"{name}: unexpected end of the stream", "invalid")


class Gzip:
    """A gzip stream written in steps. isal's output depends on how its input is cut, so it is fed exactly 1 MiB at a
    time: the same tar gives the same bytes wherever its pieces ended."""

    _STEP = 1 << 20

    def __init__(self) -> None:
        self._packer = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
        self._held = bytearray()

    def write(self, plain: bytes) -> Iterator[bytes]:
        """Take `plain`; what became ready."""
        self._held += plain
        while len(self._held) >= self._STEP:
            packed = self._packer.compress(bytes(self._held[: self._STEP]))
            del self._held[: self._STEP]
            if packed:
                yield packed

    def finish(self) -> bytes:
        """The rest, with the trailer."""
        packed: bytes = self._packer.compress(bytes(self._held)) + self._packer.flush()
        self._held.clear()
        return packed
