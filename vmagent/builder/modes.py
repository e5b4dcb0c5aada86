"""`COPY --chmod`: octal numbers, or symbolic modes as chmod(1) reads them."""

from __future__ import annotations

import re
import stat

from vmagent.builder.trees import TreeFault

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo])")
_SHIFT = {"u": 6, "g": 3, "o": 0}


def changed(text: str, mode: int) -> int:
    """The permission bits of a file of `mode` (st_mode) after `chmod text`. Raises TreeFault."""
    if re.fullmatch("[0-7]{1,5}", text):
        return int(text, 8) & 0o7777
    bits = stat.S_IMODE(mode)
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise TreeFault(f'invalid chmod parameter: "{text}"')
        who = match[1].replace("a", "ugo") or "ugo"
        for sign, what in _ACTION.findall(match[2]):
            bits = _apply(bits, who, sign, what, is_folder=stat.S_ISDIR(mode))
    return bits


def _apply(bits: int, who: str, sign: str, what: str, *, is_folder: bool) -> int:
    for one in who:
        shift = _SHIFT[one]
        if what in ("u", "g", "o"):
            value = bits >> _SHIFT[what] & 7
        else:
            value = 4 * ("r" in what) | 2 * ("w" in what)
            value |= "x" in what or ("X" in what and (is_folder or bool(bits & 0o111)))
        special = 0
        if "s" in what:
            special = {"u": stat.S_ISUID, "g": stat.S_ISGID, "o": 0}[one]
        if "t" in what:
            special |= stat.S_ISVTX
        if sign == "=":
            bits = bits & ~(7 << shift) | value << shift | special
        elif sign == "+":
            bits |= value << shift | special
        else:
            bits &= ~(value << shift | special)
    return bits
