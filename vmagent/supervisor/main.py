"""`cove-supervisor`. The keeper starts it by `run`, in an isolated interpreter (-I -S), with a socket to itself."""

from __future__ import annotations

import gc
import os
import sys

from vmagent.linux.title import set_title


def entry() -> int:
    """The console script. It only prints that the supervisor cannot be started by hand; returns exit status 1."""
    sys.stderr.write("cove-supervisor is started by cove-agent, once per engine; there is nothing to start by hand.\n")
    return 1


def run(keeper_fd: int) -> None:
    """Run the supervisor until the keeper stops it. `keeper_fd`: a SOCK_SEQPACKET socket connected to the keeper."""
    from vmagent.linux.packets import Link, open_socket
    from vmagent.runtime.launch import prepare
    from vmagent.supervisor.supervisor import Supervisor

    set_title("cove-supervisor")
    os.umask(0o022)
    prepare()
    supervisor = Supervisor(Link(open_socket(keeper_fd)))
    # The objects so far live as long as the process. Exclude them from garbage collection: a collection would touch and
    # so copy their memory pages, also in a forked child before its execve.
    gc.collect()
    gc.freeze()
    supervisor.run()
