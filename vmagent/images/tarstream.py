"""Reads a tar as a stream: ustar, GNU long names and sparse files, PAX with extended attributes. It creates no files.

Formats: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, appendix "Tar Internals"
(`L`, `K`, `S`, and PAX sparse 0.0, 0.1, 1.0). A tar that ends early, or has a bad
checksum or an unknown member type, is refused.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from vmagent.images.faults import ImageFault

BLOCK = 512
_MAX_EXTENSION = 8 << 20  # a PAX header or long name: extended attributes hold 64 KiB each
_XATTR_KEYS = ("SCHILY.xattr.", "LIBARCHIVE.xattr.")
_MAX_SPARSE_ENTRIES = 1 << 16
_MAX_SIZE = 1 << 62  # below the kernel's loff_t
_MAX_TIME_NS = (1 << 63) - 1

REGULAR, HARD_LINK, SYMLINK, CHAR, DEVICE_BLOCK, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_REGULAR_TYPES = frozenset((b"0", b"\0", b"7", b"S"))
_KNOWN_TYPES = _REGULAR_TYPES | {HARD_LINK, SYMLINK, CHAR, DEVICE_BLOCK, DIRECTORY, FIFO}


class Member:
    """One entry. `payload` bytes follow in the stream; `size` is the file's, larger where it is sparse."""

    __slots__ = (
        "gid",
        "link",
        "major",
        "minor",
        "mode",
        "mtime_ns",
        "name",
        "payload",
        "size",
        "sparse",
        "type",
        "uid",
        "xattrs",
    )

    def __init__(self, name: str, kind: bytes, link: str) -> None:
        self.name = name
        self.type = kind
        self.link = link
        self.mode = self.uid = self.gid = self.size = self.payload = self.mtime_ns = self.major = self.minor = 0
        self.xattrs: dict[str, bytes] = {}
        self.sparse: list[tuple[int, int]] | None = None  # (offset, length) of each piece of data, in order


def _damaged(what: str) -> NoReturn:
    raise ImageFault(f"invalid tar: {what}", "invalid")


class ByteSource:
    """Exact reads from a stream of blocks. `on_block` sees every block once, in order, as it is taken."""

    def __init__(self, blocks: Iterable[bytes], on_block: Callable[[bytes], None] | None = None) -> None:
        self._blocks = iter(blocks)
        self._on_block = on_block
        self._block = b""
        self._at = 0
        self.taken = 0  # bytes of the blocks taken so far

    @property
    def position(self) -> int:
        """How many bytes were read so far."""
        return self.taken - len(self._block) + self._at

    def _next(self) -> bool:
        for block in self._blocks:
            if block:
                if self._on_block is not None:
                    self._on_block(block)
                self._block, self._at = block, 0
                self.taken += len(block)
                return True
        return False

    def read(self, size: int) -> bytes:
        """`size` bytes. Raises ImageFault if the stream ends before."""
        end = self._at + size
        if end <= len(self._block):
            data = self._block[self._at : end]
            self._at = end
            return data
        return b"".join(self.pieces(size))

    def read_some(self, size: int) -> bytes:
        """`size` bytes, or none if the stream has ended; raises ImageFault for less."""
        if self._at == len(self._block) and not self._next():
            return b""
        return self.read(size)

    def pieces(self, size: int) -> Iterator[bytes]:
        """`size` bytes in the pieces they come in. Raises ImageFault if the stream ends before."""
        while size:
            if self._at == len(self._block) and not self._next():
                _damaged("unexpected end")
            piece = self._block[self._at : self._at + size] if self._at or size < len(self._block) else self._block
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        """Skip `size` bytes."""
        step = min(size, len(self._block) - self._at)
        self._at += step
        size -= step
        if size:
            for _ in self.pieces(size):
                pass

    def drain(self) -> None:
        """Take the rest, so that `on_block` has seen every byte."""
        while self._next():
            pass


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU base-256: the first bit marks it, the second is the sign
        value = int.from_bytes(field, "big")
        return value - (1 << 8 * len(field)) if field[0] & 0x40 else value & ((1 << (8 * len(field) - 1)) - 1)
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        return _damaged(f"bad number {field!r}")


# Modes, owners and times are few in a tar of many members.
_repeated = functools.lru_cache(maxsize=1024)(_number)


def _check(header: bytes) -> None:
    # Adler-32's low half is 1 plus the sum of the bytes, mod 65521: ten times as fast as adding them here.
    stored = _number(header[148:156])
    total = (zlib.adler32(header) & 0xFFFF) - 1
    if (total - sum(header[148:156]) + 8 * 32 - stored) % 65521:
        _damaged("bad header checksum")


def _pax_records(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        if space < 0 or not data[at:space].isdigit():
            if not data[at:].strip(b"\0"):
                return
            _damaged("bad PAX record")
        end = at + int(data[at:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= space or not equals or data[end - 1 : end] != b"\n":
            _damaged("bad PAX record")
        yield key.decode("utf-8", "surrogateescape"), value
        at = end


def _pax_int(value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        return _damaged(f"bad PAX number {value[:40]!r}")


def _pax_time_ns(value: bytes) -> int:
    whole, _, fraction = value.partition(b".")
    ns = _pax_int((fraction + b"000000000")[:9]) if fraction else 0
    return _pax_int(whole) * 1_000_000_000 + (-ns if whole.startswith(b"-") else ns)


class _Pax:
    """The records that a PAX header puts on its member."""

    def __init__(self, data: bytes) -> None:
        self.values: dict[str, bytes] = {}
        self.xattrs: dict[str, bytes] = {}
        self.map00: list[int] = []  # sparse 0.0 repeats its two keys once per piece
        for key, value in _pax_records(data):
            for prefix in _XATTR_KEYS:
                if key.startswith(prefix):
                    self.xattrs[key[len(prefix) :]] = value
            if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
                self.map00.append(_pax_int(value))
            self.values[key] = value


def members(source: ByteSource) -> Iterator[Member]:
    """The entries, each before its payload, which the caller takes whole with `source` (or leaves: it is skipped).

    Ends at the end-of-archive mark or where the stream ends between two members, as most readers do; a stream without
    even one whole header that is not empty is refused. Raises ImageFault.
    """
    long_name: str | None = None
    long_link: str | None = None
    pax: _Pax | None = None
    while True:
        header = source.read_some(BLOCK)
        if not header or header == bytes(BLOCK):
            if long_name is not None or long_link is not None or pax is not None:
                _damaged("ends after an extension header")
            return
        _check(header)
        kind = header[156:157]
        size = _number(header[124:136])
        if size < 0:
            _damaged("negative size")
        if kind in (b"L", b"K", b"x", b"g"):
            if size > _MAX_EXTENSION:
                _damaged("extension header too large")
            data = source.read(size)
            source.skip(-size % BLOCK)
            if kind == b"L":
                long_name = _text(data)
            elif kind == b"K":
                long_link = _text(data)
            elif kind == b"x":
                pax = _Pax(data)
            continue
        if kind not in _KNOWN_TYPES:
            _damaged(f"unknown member type {kind!r}")
        member = _member(header, kind, size, long_name, long_link, pax)
        if kind == b"S":
            _gnu_sparse(header, member, source)
        elif pax is not None and member.type == REGULAR:
            _pax_sparse(member, pax, source)
        long_name = long_link = pax = None
        end = source.position + member.payload
        padding = -member.payload % BLOCK
        yield member
        left = end - source.position
        if left < 0:
            raise ValueError("more taken than the member holds")
        source.skip(left + padding)


def _member(
    header: bytes, kind: bytes, size: int, long_name: str | None, long_link: str | None, pax: _Pax | None
) -> Member:
    name = _text(header[0:100])
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):  # GNU's own magic has no prefix
        name = f"{prefix}/{name}"
    member = Member(
        long_name if long_name is not None else name,
        kind,
        long_link if long_link is not None else _text(header[157:257]),
    )
    member.mode = _repeated(header[100:108]) & 0o7777
    member.uid = _repeated(header[108:116])
    member.gid = _repeated(header[116:124])
    member.mtime_ns = _repeated(header[136:148]) * 1_000_000_000
    if kind in (CHAR, DEVICE_BLOCK):
        member.major = _number(header[329:337])
        member.minor = _number(header[337:345])
    if pax is not None:
        values = pax.values
        if b := values.get("path"):
            member.name = b.decode("utf-8", "surrogateescape")
        if b := values.get("linkpath"):
            member.link = b.decode("utf-8", "surrogateescape")
        if b := values.get("size"):
            size = _pax_int(b)
            if size < 0:
                _damaged("negative size")
        if b := values.get("uid"):
            member.uid = _pax_int(b)
        if b := values.get("gid"):
            member.gid = _pax_int(b)
        if b := values.get("mtime"):
            member.mtime_ns = _pax_time_ns(b)
        member.xattrs = pax.xattrs
    if kind in _REGULAR_TYPES:
        # Tapes before POSIX marked a folder by the slash at the end of its name only.
        member.type = DIRECTORY if member.name.endswith("/") and kind != b"S" else REGULAR
        member.size = member.payload = size
    if "\0" in member.name or "\0" in member.link:
        _damaged("a name with a zero byte")
    if not -_MAX_TIME_NS <= member.mtime_ns <= _MAX_TIME_NS:
        member.mtime_ns = _MAX_TIME_NS if member.mtime_ns > 0 else -_MAX_TIME_NS
    if member.size > _MAX_SIZE:
        _damaged(f"{member.name!r} is larger than any file")
    if not 0 <= member.major <= 0xFFFFFFFF or not 0 <= member.minor <= 0xFFFFFFFF:
        _damaged(f"bad device number of {member.name!r}")
    if not 0 <= member.uid <= 0xFFFFFFFE or not 0 <= member.gid <= 0xFFFFFFFE:
        _damaged(f"bad owner {member.uid}:{member.gid} of {member.name!r}")
    return member


def _set_sparse(member: Member, numbers: list[int], size: int) -> None:
    if not 0 <= size <= _MAX_SIZE:
        _damaged(f"{member.name!r} is larger than any file")
    pieces = [(numbers[i], numbers[i + 1]) for i in range(0, len(numbers) - 1, 2)]
    pieces = [piece for piece in pieces if piece[1]]
    at = total = 0
    for offset, length in pieces:
        if offset < at or length < 0 or offset + length > size:
            _damaged(f"bad sparse map of {member.name!r}")
        at = offset + length
        total += length
    if len(numbers) % 2 or total != member.payload:
        _damaged(f"the sparse map of {member.name!r} does not match its data")
    member.sparse, member.size = pieces, size


def _gnu_sparse(header: bytes, member: Member, source: ByteSource) -> None:
    numbers: list[int] = []

    def take(block: bytes, start: int, count: int) -> None:
        for at in range(start, start + 24 * count, 24):
            if block[at] == 0:
                break
            numbers.extend((_number(block[at : at + 12]), _number(block[at + 12 : at + 24])))

    take(header, 386, 4)
    extended = header[482]
    while extended:
        block = source.read(BLOCK)
        take(block, 0, 21)
        extended = block[504]
        if len(numbers) > 2 * _MAX_SPARSE_ENTRIES:
            _damaged("too many sparse pieces")
    _set_sparse(member, numbers, _number(header[483:495]))


def _pax_sparse(member: Member, pax: _Pax, source: ByteSource) -> None:
    values = pax.values
    if (name := values.get("GNU.sparse.name")) is not None:
        member.name = name.decode("utf-8", "surrogateescape")
    if values.get("GNU.sparse.major") == b"1":
        numbers: list[int] = []
        held = b""
        wanted: int | None = None
        while wanted is None or len(numbers) < wanted:
            line, newline, rest = held.partition(b"\n")
            if not newline:
                if member.payload < BLOCK:
                    _damaged(f"bad sparse map of {member.name!r}")
                held += source.read(BLOCK)
                member.payload -= BLOCK
                continue
            held = rest
            if wanted is None:
                wanted = 2 * _pax_int(line)
                if not 0 <= wanted <= 2 * _MAX_SPARSE_ENTRIES:
                    _damaged("too many sparse pieces")
            else:
                numbers.append(_pax_int(line))
        _set_sparse(member, numbers, _pax_int(values.get("GNU.sparse.realsize", b"0")))
    elif (listed := values.get("GNU.sparse.map")) is not None:
        numbers = [_pax_int(number) for number in listed.split(b",")] if listed else []
        _set_sparse(member, numbers, _pax_int(values.get("GNU.sparse.size", b"0")))
    elif pax.map00:
        _set_sparse(member, pax.map00, _pax_int(values.get("GNU.sparse.size", b"0")))
