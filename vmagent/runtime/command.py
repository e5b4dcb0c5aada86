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


def entry() -> None:
    """See vmagent.runtime.exposure for what the second start is for."""
    import gc

    gc.disable()
    try:
        status = main(sys.argv[1:])
    except Exposed:
        start_protected()
    sys.stdout.flush()
    os._exit(status)  # nothing is left to be undone; the interpreter's own end would take milliseconds


if __name__ == "__main__":
    entry()
