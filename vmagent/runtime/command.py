"""The console script `cove-runtime`: runs the command line (commandline.py), a second time if it must be protected.

It imports almost nothing itself.
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
    """Open the null device as each standard stream that the caller has closed.

    Otherwise the next file that we open would get that number, and the container would have a file of the host as its
    stream.
    """
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)  # open takes the lowest free number: `fd`
            setattr(sys, name, os.fdopen(fd, "w" if fd else "r", encoding="utf-8", closefd=False))


def entry() -> None:
    """The console script; vmagent.runtime.exposure says why a command may be started a second time."""
    import gc

    gc.disable()
    _fill_streams()
    try:
        status = main(sys.argv[1:])
    except Exposed:
        start_protected()
    sys.stdout.flush()
    os._exit(status)  # nothing is left to clean up, and the interpreter's own finalization takes milliseconds


if __name__ == "__main__":
    entry()
