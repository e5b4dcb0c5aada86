"""Lines on standard error that never stop the writer: the reader may be gone, or not reading."""

from __future__ import annotations

import os
import select

# A pipe that polls writable takes this much at once (PIPE_BUF): such a write does not block.
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
