"""Whether this interpreter may itself become a container's process: only from a read-only mount (CVE-2019-5736).

A script starts `cove-runtime`, so its interpreter is an ordinary file. That is safe as long as the spawner, which is
protected, makes the container's process. If the spawner cannot, `launch` raises `Exposed`, everything but the cgroup is
undone, and the command runs again in a protected interpreter.
"""

from __future__ import annotations

import os
import sys

from vmagent.linux.interpreter import exec_protected, is_protected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_MARK = "COVE_RUNTIME_PROTECTED"
_CODE = "import sys; sys.path.append(sys.argv.pop(1)); from vmagent.runtime.command import entry; entry()"
# The mark says that this process was executed again from a read-only copy of the interpreter, so it does not check a
# second time. The variable is removed so that no child inherits it.
_is_second = os.environ.pop(_MARK, "") == str(os.getpid())


def is_second_start() -> bool:
    """The spawner could not make this command's process, or there is none."""
    return _is_second


class Exposed(Exception):
    """This process would have to fork itself into a container."""


def is_exposed() -> bool:
    return not _is_second and not is_protected()


def start_protected() -> NoReturn:
    """Execute the same command again in a protected interpreter; without `site`, which it does not need."""
    env = {**os.environ, _MARK: str(os.getpid())}
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    exec_protected([sys.executable, "-I", "-S", "-c", _CODE, root, *sys.argv[1:]], env)
