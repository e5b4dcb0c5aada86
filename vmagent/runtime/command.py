"""The console script `cove-runtime`: a protected interpreter first, then the command line (commandline.py).

Loads next to nothing: it runs twice for a command that enters a container. The second start is without `site`, since
the runtime needs the standard library and this package alone.
"""

from __future__ import annotations

import os
import sys

from vmagent.linux.interpreter import exec_protected, is_protected

_PROTECTED_MARK = "COVE_RUNTIME_PROTECTED"
_ENTERING = frozenset(("create", "run", "exec"))  # a process of these goes into a container
_CODE = "import sys; sys.path.append(sys.argv.pop(1)); from vmagent.runtime.command import entry; entry()"


def main(argv: list[str]) -> int:
    """Run one command; its exit status."""
    from vmagent.runtime.commandline import main as run_command

    return run_command(argv)


def entry() -> None:
    """See vmagent.linux.interpreter for what the first start is for."""
    is_exposed = not _ENTERING.isdisjoint(sys.argv) and not is_protected()
    if is_exposed and os.environ.get(_PROTECTED_MARK) != str(os.getpid()):
        env = {**os.environ, _PROTECTED_MARK: str(os.getpid())}
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        exec_protected([sys.executable, "-I", "-S", "-c", _CODE, root, *sys.argv[1:]], env)
    os.environ.pop(_PROTECTED_MARK, None)
    import gc

    gc.disable()
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # nothing is left to be undone; the interpreter's own end would take milliseconds


if __name__ == "__main__":
    entry()
