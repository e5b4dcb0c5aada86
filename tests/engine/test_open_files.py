"""The limit of open files in a container that was given none."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

from tests.support.engine import NativeEngine, running

DEFAULT = 1 << 20
LOW = (256, 4096)


class _FromAShellWithLowLimits(NativeEngine):
    prefix: tuple[str | Path, ...] = ("prlimit", f"--nofile={LOW[0]}:{LOW[1]}")


def test_it_does_not_depend_on_the_shell_that_started_the_engine(busybox_tar: Path) -> None:
    """The hard limit is the default unless this machine lets nobody raise one; the soft limit is never the shell's."""
    with running(_FromAShellWithLowLimits()) as engine:
        engine.docker("import", "-c", "ENV PATH=/bin", str(busybox_tar), "busybox:latest")
        shown = engine.docker("run", "--rm", "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn").stdout.split()
    wanted = DEFAULT if _may_raise_hard_limits() else LOW[1]
    assert shown == [str(wanted), str(wanted)]


def test_one_that_was_given_is_kept(engine: NativeEngine) -> None:
    own = ("--ulimit", "nofile=100:200")
    shown = engine.docker("run", "--rm", *own, "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn").stdout.split()
    assert shown == ["100", "200"]


def _may_raise_hard_limits() -> bool:
    """Whether a process of this user may raise its hard limit to the default: it needs CAP_SYS_RESOURCE."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = ["prlimit", f"--nofile={LOW[0]}:{LOW[1]}", "prlimit", f"--nofile={DEFAULT}:{DEFAULT}", "true"]
    raised = subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert hard > LOW[1], "the limits of the test must be lower than its own"
    return raised
