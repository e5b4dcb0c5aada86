"""Waiting for what has no event of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.limits import HANG_S

LIMIT_S = HANG_S  # a limit for broken code, far above what a busy machine needs
_LOOK_EVERY_S = 0.02


def wait_until(holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Return as soon as `holds()` is true. Raises AssertionError after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen within {limit_s:.0f} s"
        time.sleep(_LOOK_EVERY_S)
