"""`--since` and `--until`: from the forms that users may write to the form that the Engine API takes."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from desktop.cli.flags import parse_duration


def api_time(text: str | None, flag: str) -> str | None:
    """A duration back from now (`10m`), a date or RFC 3339 time (local without zone), or Unix seconds, as `s.nanos`.

    Raises ValueError.
    """
    if text is None or text == "":
        return None
    try:
        back_ns = parse_duration(text.removeprefix("-"))
    except ValueError:
        pass
    else:
        if text != "0":
            return _seconds(time.time_ns() - (-back_ns if text.startswith("-") else back_ns))
    head, _, fraction = text.partition(".")
    if head.isdecimal() and (not fraction or fraction.isdecimal()):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'invalid value for "{flag}": failed to parse value as time or duration: "{text}"') from None
    utc = moment.astimezone(UTC)
    return _seconds(int(utc.timestamp()) * 10**9 + utc.microsecond * 1000)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
