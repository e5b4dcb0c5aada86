"""`cove-supervisor`. The keeper starts it by `run`, isolated (-I -S), with one descriptor: its end of their socket."""

from __future__ import annotations

import gc
import os
import sys

from vmagent.linux.title import set_title


def entry() -> int:
    """The console script: the supervisor is of no use by hand."""
    sys.stderr.write("cove-supervisor is started by cove-agent, once per engine; there is nothing to start by hand.\n")
    return 1


def run(keeper_fd: int) -> None:
    """Be the supervisor until told to stop. `keeper_fd`: a SOCK_SEQPACKET socket whose other end is the keeper's."""
    from vmagent.linux.packets import Link, open_socket
    from vmagent.runtime.launch import prepare
    from vmagent.supervisor.supervisor import Supervisor

    set_title("cove-supervisor")
    os.umask(0o022)
    prepare()
    supervisor = Supervisor(Link(open_socket(keeper_fd)))
    # What is here now stays: no collection walks it again, in this process or in a child before its execve.
    gc.collect()
    gc.freeze()
    supervisor.run()
