"""Writes lines to standard error without ever blocking or failing: its reader may have ended, or may not read."""

from __future__ import annotations

import os
import select

# PIPE_BUF: a write of at most this size to a pipe that poll(2) reports as writable does not block.
_MAX_BYTES = 4096


def say(text: str) -> None:
    """Write one line; it is lost if standard error is closed, broken or full."""
    try:
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        if poll.poll(0):
            os.write(2, (text + "\n").encode(errors="backslashreplace")[:_MAX_BYTES])
    except OSError:
        return
