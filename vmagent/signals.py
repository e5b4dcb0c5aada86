"""Signals as docker's API, the Dockerfile and image configs write them."""

from __future__ import annotations

import re
import signal

from vmagent.errors import BadRequest

_NAME = re.compile(r"(?:SIG)?(?:RTMIN\+([0-9]{1,2})|RTMAX-([0-9]{1,2})|([A-Z][A-Z0-9]*))")


def signal_number(name: str | int) -> int:
    """`TERM`, `SIGTERM`, `15` or `RTMIN+3` as a number. Raises BadRequest."""
    text = str(name).upper()
    value = 0
    if text.isascii() and text.isdigit():
        value = int(text[:9])
    elif match := _NAME.fullmatch(text):
        above_first, below_last, plain = match.groups()
        if above_first:
            value = signal.SIGRTMIN + int(above_first)
        elif below_last:
            value = signal.SIGRTMAX - int(below_last)
            value = value if value >= signal.SIGRTMIN else 0
        elif isinstance(number := getattr(signal, f"SIG{plain}", None), signal.Signals):
            value = int(number)
    if 0 < value <= signal.SIGRTMAX:
        return value
    raise BadRequest(f"invalid signal: {name}")
