"""A helper process: `python -m vmagent.helpers.process FD NICE ENGINE_PID MODULE`.

It takes jobs from the engine over descriptor FD (`vmagent.linux.packets`), with at most two descriptors, and has them
done by MODULE, or by the module that the job names in "module". The reply is any number of events, then
{"done": result} or {"failed": message, "kind"}. It ends when the engine closes its end, or dies.

A module has `TITLE` (the process's name), `run(job, fds, emit)` and `failure(error)`. An exception that `failure`
does not know ends the process with its traceback on stderr; the engine reports that.
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

Message = dict[str, Any]
Emit = Callable[[Message], None]


class Operations(Protocol):
    """What a module of operations has."""

    TITLE: str

    def run(self, job: Message, fds: Sequence[int], emit: Emit) -> Message:
        """Do a job and return its result. `fds` stay the caller's; `emit` sends an event and raises PeerLost."""

    def failure(self, error: Exception) -> Message | None:
        """{"failed": message, "kind"} for what `run` raised; None: a programming error."""


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
    """Returns 0 when the engine has closed its end."""
    fd, nice, engine_pid, module = int(argv[0]), int(argv[1]), int(argv[2]), argv[3]
    if not end_with_parent(engine_pid):
        return 0
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine handles a ^C of the terminal
    set_name(operations(module).TITLE)
    os.umask(0o077)
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
