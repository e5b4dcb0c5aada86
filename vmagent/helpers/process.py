"""A helper process: `python -m vmagent.helpers.process FD NICE ENGINE_PID MODULE`.

It receives jobs from the engine over the socket FD (`vmagent.linux.packets`), each with at most two descriptors.
MODULE, or the module that a job names in "module", does the job: it implements `Operations`. The reply to a job is any
number of events, then {"done": result} or {"failed": message, "kind"}. The process ends when the engine closes its end
of the socket, or dies.

An exception for which `failure` returns None ends the process with a traceback on stderr; the engine reports that.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from vmagent.linux import packets
from vmagent.linux.packets import PeerLost
from vmagent.linux.process import end_with_parent, set_name

# Walks through a tree of files call themselves for each folder in a folder. A path that the kernel takes at once has at
# most 2,048 names (PATH_MAX); a walk needs up to four calls for each of them. Such calls do not use the C stack.
_CALLS = 12_000

Message = dict[str, Any]
Emit = Callable[[Message], None]


class Operations(Protocol):
    """The names that a module with operations for helper processes must define."""

    TITLE: str  # the name of the process

    def run(self, job: Message, fds: Sequence[int], emit: Emit) -> Message:
        """Do a job and return its result. The caller closes `fds`. `emit` sends an event; it may raise PeerLost."""

    def failure(self, error: Exception) -> Message | None:
        """The reply {"failed": message, "kind"} for an exception of `run`; None if it is a programming error."""


def operations(name: str) -> Operations:
    return cast("Operations", importlib.import_module(name))


def serve(sock: socket.socket, default: str) -> None:
    """Do jobs until the engine closes its end: raises PeerLost."""

    def emit(event: Message) -> None:
        packets.send(sock, event)

    while True:
        job, fds = packets.receive(sock)
        module = operations(job.get("module", default))
        try:
            reply: Message = {"done": module.run(job, fds, emit)}
        except Exception as e:
            failure = module.failure(e)
            if failure is None:
                raise
            reply = failure
        finally:
            for fd in fds:
                os.close(fd)
        packets.send(sock, reply)


def main(argv: list[str]) -> int:
    """Serve the engine until it closes its end of the socket; returns the exit status 0."""
    fd, nice, engine_pid, module = int(argv[0]), int(argv[1]), int(argv[2]), argv[3]
    if not end_with_parent(engine_pid):
        return 0
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine handles a ^C of the terminal
    set_name(operations(module).TITLE)
    os.umask(0o077)
    sys.setrecursionlimit(_CALLS)
    if nice:
        os.nice(nice)
    with socket.socket(fileno=fd) as sock:
        try:
            serve(sock, module)
        except PeerLost:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
