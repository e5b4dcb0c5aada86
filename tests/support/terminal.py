"""A program on a terminal of the test's own."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.limits import HANG_S


def on_terminal(
    argv: Sequence[str | Path], *, until: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> tuple[bytes, int]:
    """Run `argv` on a terminal until it says `until` (if any), or its end closes: (what it said, its exit status)."""
    master, slave = pty.openpty()
    with subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=cwd) as inner:
        os.close(slave)
        said = b""
        with contextlib.suppress(OSError):  # EIO: its other end is closed
            while not until or until not in said:
                if not select.select([master], [], [], HANG_S)[0]:
                    break
                said += os.read(master, 65536)
        inner.wait(HANG_S)
    os.close(master)
    return said, inner.returncode
