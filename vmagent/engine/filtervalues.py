"""The values of the API's `filters`: words for true and false, expressions, moments."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from vmagent.errors import BadRequest

_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def flag(key: str, value: str) -> bool:
    """A truth value of the filter `key`. Raises BadRequest with docker's words."""
    if value.lower() not in _TRUE + _FALSE:
        raise BadRequest(f"invalid filter '{key}=[{value}]'")
    return value.lower() in _TRUE


def searches(pattern: str, text: str) -> bool:
    """Docker matches names and ids by unanchored regular expressions; an invalid expression is a literal substring."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return pattern in text


def moment_ns(text: str) -> int:
    """A prune's `until` as Unix nanoseconds. `text`: Unix seconds, a duration before now, or RFC 3339.

    Raises BadRequest.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return int(float(text) * 1e9)
    if text and not _DURATION.sub("", text):
        back_s = sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(text))
        return time.time_ns() - int(back_s * 1e9)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"failed to parse time: {text!r}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)
