"""Writing a tar that is the same whenever it is made of the same: ustar headers, PAX records only where needed.

POSIX.1-2017 pax, "ustar Interchange Format". Numeric owners only, no names of users; the caller gives the order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from vmagent.images.tarstream import BLOCK, DIRECTORY, REGULAR

END = bytes(2 * BLOCK)
_OCTAL_12 = 8**11  # what does not fit the field's eleven digits goes into a PAX record
_OCTAL_8 = 8**7


def _record(key: str, value: bytes) -> bytes:
    body = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def _block(name: bytes, kind: bytes, link: bytes, numbers: Mapping[str, int], prefix: bytes = b"") -> bytes:
    get = numbers.get
    header = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0" % (get("mode", 0), get("uid", 0), get("gid", 0)),
            b"%011o\0%011o\0" % (get("size", 0), get("mtime", 0)),
            b" " * 8,
            kind,
            link.ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0%07o\0" % (get("major", 0), get("minor", 0)),
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return header[:148] + b"%06o\0 " % _byte_sum(header) + header[156:]


def _byte_sum(header: bytes) -> int:
    """The sum of a block's bytes. Adler-32's low half is that sum plus one, modulo 65521: more than 512 times 127."""
    return (zlib.adler32(header) & 0xFFFF) - 1 if header.isascii() else sum(header)


def header(
    name: str,
    kind: bytes = REGULAR,
    *,
    size: int = 0,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime_ns: int = 0,
    link: str = "",
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[str, bytes] | None = None,
) -> bytes:
    """What stands before a member's bytes; `padding(size)` zeros come after them. Folders get a slash at the end."""
    if kind == DIRECTORY and not name.endswith("/"):
        name += "/"
    raw_name = name.encode("utf-8", "surrogateescape")
    raw_link = link.encode("utf-8", "surrogateescape")
    records: list[bytes] = []
    numbers = {"mode": mode, "major": device[0], "minor": device[1]}
    short, prefix = _split(raw_name)
    if short is None or not name.isascii():
        records.append(_record("path", raw_name))
        short, prefix = raw_name[:100], b""
    if len(raw_link) > 100 or not link.isascii():
        records.append(_record("linkpath", raw_link))
    for key, value, limit in (("uid", uid, _OCTAL_8), ("gid", gid, _OCTAL_8), ("size", size, _OCTAL_12)):
        numbers[key] = value if value < limit else 0
        if value >= limit:
            records.append(_record(key, b"%d" % value))
    seconds, fraction = divmod(mtime_ns, 1_000_000_000)
    numbers["mtime"] = seconds if 0 <= seconds < _OCTAL_12 else 0
    if fraction or numbers["mtime"] != seconds:
        sign, whole = ("-", -mtime_ns) if mtime_ns < 0 else ("", mtime_ns)
        text = f"{sign}{whole // 1_000_000_000}.{whole % 1_000_000_000:09d}".rstrip("0").rstrip(".")
        records.append(_record("mtime", text.encode()))
    for key in sorted(xattrs or {}):
        records.append(_record(f"SCHILY.xattr.{key}", (xattrs or {})[key]))
    main = _block(short, kind, raw_link[:100], numbers, prefix)
    if not records:
        return main
    body = b"".join(sorted(records))
    extension = _block(b"PaxHeaders/" + short[-80:], b"x", b"", {"mode": 0o644, "size": len(body)})
    return extension + body + padding(len(body)) + main


def _split(name: bytes) -> tuple[bytes | None, bytes]:
    """`name` as ustar's name and prefix; None where it does not fit."""
    if len(name) <= 100:
        return name, b""
    cut = name.rfind(b"/", 0, 156)
    while cut > 0 and len(name) - cut - 1 <= 100:
        if len(name) - cut - 1 > 0:
            return name[cut + 1 :], name[:cut]
        cut = name.rfind(b"/", 0, cut)
    return None, b""


def padding(size: int) -> bytes:
    """The zeros after `size` bytes of content."""
    return bytes(-size % BLOCK)


def archive(files: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A whole small tar of (header, content) pairs."""
    return b"".join(part for head, data in files for part in (head, data, padding(len(data)))) + END
