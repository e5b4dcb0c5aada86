"""Go's os.FileMode, the encoding of file modes in docker's archive calls."""

from __future__ import annotations

import stat

_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def go_mode(mode: int) -> int:
    """`st_mode` as os.FileMode."""
    result = (mode & 0o777) | _KINDS.get(stat.S_IFMT(mode), 0)
    for bit, go_bit in _BITS:
        if mode & bit:
            result |= go_bit
    return result
