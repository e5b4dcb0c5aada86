"""The console script `cove-runtime`: the command line (commandline.py), once more if it has to be protected.

Loads next to nothing by itself.
"""

from __future__ import annotations

import os
import sys

from vmagent.runtime.exposure import Exposed, start_protected


def main(argv: list[str]) -> int:
    """Run one command; its exit status. Raises Exposed."""
    from vmagent.runtime.commandline import main as run_command

    return run_command(argv)


def _fill_streams() -> None:
    """Open those of the standard streams that the caller has closed, on the null device.

    Else the next file of ours got such a number, and the container had it as its stream: one of the host's.
    """
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(fd, "w" if fd else "r", encoding="utf-8", closefd=False))


def entry() -> None:
    """See vmagent.runtime.exposure for what the second start is for."""
    import gc

    gc.disable()
    _fill_streams()
    try:
        status = main(sys.argv[1:])
    except Exposed:
        start_protected()
    sys.stdout.flush()
    os._exit(status)  # nothing is left to be undone; the interpreter's own end would take milliseconds


if __name__ == "__main__":
    entry()
