"""A program on a terminal of the test's own."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.limits import HANG_S

_LIMIT_S = HANG_S


def on_terminal(argv: Sequence[str | Path], *, until: bytes, env: Mapping[str, str] | None = None) -> tuple[bytes, int]:
    """Run `argv` on a terminal until it has said `until`, or its end closes: (what it said, its exit status)."""
    master, slave = pty.openpty()
    with subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env) as inner:
        os.close(slave)
        said = b""
        with contextlib.suppress(OSError):  # EIO: its other end is closed
            while until not in said:
                said += os.read(master, 4096)
        inner.wait(_LIMIT_S)
    os.close(master)
    return said, inner.returncode
