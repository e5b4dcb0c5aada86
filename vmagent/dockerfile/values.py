"""Values inside of instructions in the forms of Go's standard library: durations, numbers, comma-separated fields."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.text import go_quote

_UNITS_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_DURATION_PART = re.compile(r"([0-9]*)(\.[0-9]*)?([^0-9.]*)")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def duration_ns(text: str) -> int:
    """`1h30m`, `1.5s`, `-2ms` in nanoseconds, by time.ParseDuration. Raises DockerfileError."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total = 0
    if not rest:
        raise DockerfileError(f"time: invalid duration {go_quote(text)}")
    while rest:
        match = _DURATION_PART.match(rest)
        if match is None or not (match[1] or (match[2] or "")[1:]):
            raise DockerfileError(f"time: invalid duration {go_quote(text)}")
        if not match[3]:
            raise DockerfileError(f"time: missing unit in duration {go_quote(text)}")
        unit_ns = _UNITS_NS.get(match[3])
        if unit_ns is None:
            raise DockerfileError(f"time: unknown unit {go_quote(match[3])} in duration {go_quote(text)}")
        fraction = (match[2] or "")[1:][:18]
        # Eighteen digits are more than an hour has nanoseconds; a longer number than the limit below is no time.
        total += int(match[1][:20] or 0) * unit_ns + (int(fraction) * unit_ns // 10 ** len(fraction) if fraction else 0)
        if total >= 1 << 63 or len(match[1]) > 20:
            raise DockerfileError(f"time: invalid duration {go_quote(text)}")
        rest = rest[match.end() :]
    return -total if text.startswith("-") else total


def boolean(text: str) -> bool | None:
    """By strconv.ParseBool; None where it is none."""
    return True if text in _TRUE else False if text in _FALSE else None


def unsigned(text: str, base: int) -> int | None:
    """A number of at most 32 bits by strconv.ParseUint; None where it is none."""
    digits = "01234567" if base == 8 else "0123456789"
    if not text or len(text) > 32 or any(character not in digits for character in text):
        return None
    value = int(text, base)
    return value if value < 1 << 32 else None


def size_bytes(text: str) -> int | None:
    """`64m`, `1.5GiB` in bytes, powers of 1024; None where it is none."""
    match = _SIZE.fullmatch(text)
    if match is None or len(match[1]) > 18:
        return None
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))


def csv_fields(text: str) -> list[str]:
    """The fields of one line of CSV (RFC 4180). Raises DockerfileError."""
    if not text:
        raise DockerfileError("EOF")
    return list(_csv_fields(text))


def _csv_fields(text: str) -> Iterator[str]:
    position = 0
    while True:
        if text.startswith('"', position):
            match = re.compile(r'"((?:[^"]|"")*)"(,|\Z)', re.DOTALL).match(text, position)
            if match is None:
                column = position + 2
                raise DockerfileError(
                    f'parse error on line 1, column {column}: extraneous or missing " in quoted-field'
                )
            yield match[1].replace('""', '"')
            position, last = match.end(), not match[2]
        else:
            end = text.find(",", position)
            last = end < 0
            field = text[position:] if last else text[position:end]
            if '"' in field:
                column = position + field.index('"') + 1
                raise DockerfileError(f'parse error on line 1, column {column}: bare " in non-quoted-field')
            yield field
            position = end + 1
        if last:
            return
