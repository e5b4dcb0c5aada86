"""Texts and figures of the window.

Every string passes `tr` or `counted` as a whole sentence, so that a translation can turn it around.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from PySide6.QtCore import QCoreApplication

MOST_NAMED = 8  # things in one sentence
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

COUNTED = "counted"  # in a catalogue: tells a plural from an equal text that counts nothing


def tr(text: str, /, **fields: object) -> str:
    """`text` in the user's language, with `{fields}` filled in."""
    said = QCoreApplication.translate("cove", text)
    return said.format(**fields) if fields else said


def counted(n: int, one: str, many: str, /, **fields: object) -> str:
    """`one` or `many`, in the user's language, with `{n}` and `{fields}` filled in."""
    text = QCoreApplication.translate("cove", many, COUNTED, n) if n != 1 else QCoreApplication.translate("cove", one)
    return text.format(n=f"{n:,}", **fields)


def _scaled(amount: float, base: int, units: tuple[str, ...]) -> str:
    step = 0
    value = float(amount)
    while step < len(units) - 1 and value >= base * 0.9995:
        value /= base
        step += 1
    if step == 0:
        return f"{round(value)} {units[0]}"
    large, small = (2 if value < 9.995 else 1 if value < 99.95 else 0), (1 if value < 9.95 else 0)
    digits = large if step >= 3 else small
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if digits else text} {units[step]}"


def disk(size_bytes: float) -> str:
    """Disk and network amounts are decimal: 1 MB is 10⁶ bytes."""
    return _scaled(size_bytes, 1000, ("B", "KB", "MB", "GB", "TB"))


def memory(size_bytes: float) -> str:
    """Memory is binary, as in docker's flags: `512m` is shown as 512 MB."""
    return _scaled(size_bytes, 1024, ("B", "KB", "MB", "GB", "TB"))


def part_of(done_bytes: float, total_bytes: float) -> str:
    """Progress, both in the unit of the total: `53.6 of 92.4 MB`."""
    unit, size = next(((u, s) for u, s in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)) if total_bytes >= s), ("B", 1))
    digits = {"GB": 2, "MB": 1}.get(unit, 0)
    if total_bytes >= 100 * size:
        digits = 0
    return tr(
        "{done} of {total} {unit}",
        done=f"{done_bytes / size:.{digits}f}",
        total=f"{total_bytes / size:.{digits}f}",
        unit=unit,
    )


def percent(value: float) -> str:
    return f"{value:.1f} %" if value < 99.95 else f"{value:.0f} %"


def duration(seconds: float) -> str:
    """How long something took or has lasted: 44 ms, 5.8 s, 41 min, 2 h, 3 days."""
    if seconds < 0.9995:
        milliseconds = seconds * 1000
        return tr(
            "{n} ms", n=f"{milliseconds:.0f}" if milliseconds >= 9.95 else f"{milliseconds:.1f}".removesuffix(".0")
        )
    if seconds < 9.95:
        return tr("{n} s", n=f"{seconds:.1f}")
    return span(seconds)


def span(seconds: float) -> str:
    """A rough length of time in one unit, for uptimes and ages."""
    whole = max(0, int(seconds))
    if whole < MINUTE_S:
        return tr("{n} s", n=whole)
    if whole < HOUR_S:
        return tr("{n} min", n=whole // MINUTE_S)
    if whole < DAY_S:
        return tr("{n} h", n=whole // HOUR_S)
    days = whole // DAY_S
    if days < 14:
        return counted(days, "{n} day", "{n} days")
    if days < 60:
        return counted(days // 7, "{n} week", "{n} weeks")
    if days < 730:
        return counted(days // 30, "{n} month", "{n} months")
    return counted(days // 365, "{n} year", "{n} years")


def age(since_s: float) -> str:
    """The time that has passed since `since_s` (Unix seconds)."""
    return span(time.time() - since_s)


def ago(at_s: float, now_s: float | None = None) -> str:
    """How long ago `at_s` (Unix seconds) was."""
    passed = (time.time() if now_s is None else now_s) - at_s
    return tr("just now") if passed < 1 else tr("{span} ago", span=span(passed))


def clock(at_s: float) -> str:
    """A time of day on this computer, with seconds."""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%H:%M:%S")


def clock_ms(at_s: float) -> str:
    moment = datetime.fromtimestamp(at_s).astimezone()
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def from_rfc3339(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time, cut to microseconds; None for the zero time and an empty text."""
    if not text or text.startswith("0001-"):
        return None
    head, dot, tail = text.rstrip("Z").partition(".")
    offset = ""
    for sign in ("+", "-"):
        if dot and sign in tail:
            tail, _, rest = tail.partition(sign)
            offset = sign + rest
            break
    micro = f".{tail[:6]}" if dot else ""
    moment = datetime.fromisoformat(f"{head}{micro}{offset}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_INNER_PARTS = (
    "failed to create task for container: ",
    "failed to create shim task: ",
    "OCI runtime create failed: ",
    "runc create failed: ",
    "unable to start container process: ",
    "error during container init: ",
)
_DIGITS = re.compile(r"(\d+)")


@lru_cache(maxsize=8_192)  # a sort asks for each name many times
def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key by which numbers count as numbers, in any case of letters: svc-2 before svc-10."""
    parts = _DIGITS.split(text.lower())
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part)


def sentence(text: str) -> str:
    """A program's message as a sentence: first letter in upper case, full stop at the end."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def plain_error(text: str) -> str:
    """An engine's message without the chain of inner parts that it came through, which mean nothing to the user."""
    for part in _INNER_PARTS:
        text = text.removeprefix(part)
    return text


def short_id(full: str) -> str:
    """Twelve characters of an id or digest, without the algorithm prefix."""
    return full.removeprefix("sha256:")[:12]


def listed(names: Sequence[str]) -> str:
    """`names` in one line; of more than `MOST_NAMED` the first ones, and …."""
    return ", ".join(names[:MOST_NAMED]) + (" …" if len(names) > MOST_NAMED else "")


def shortened(name: str, most: int = 28) -> str:
    """`name` for a button; the middle of a long name is replaced by …."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"
