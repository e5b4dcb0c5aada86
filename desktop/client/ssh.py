"""An engine on another machine, by the program `ssh`: its command there carries one connection over its two streams.

As docker does for ssh:// hosts. Keys, known hosts, jumps and questions are ssh's own: ~/.ssh/config counts.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys

CONNECT_S, END_S = 30, 5.0
# Where Cove is on the other machine its engine is meant, else docker's.
_REMOTE = 'command -v cove >/dev/null 2>&1 && of=cove || of=docker; exec "$of" {0}system dial-stdio'


def connect(address: str, port: int, path: str) -> socket.socket:
    """One connection to the engine at `address`, [USER@]HOST. `port` 0: as ssh has it. `path`: of the engine's socket
    there, "" for the one that is used there. Raises OSError."""
    if sys.platform == "win32":
        raise OSError("ssh:// hosts cannot be used on Windows yet")
    user, at, host = address.rpartition("@")
    argv = ["ssh", "-o", f"ConnectTimeout={CONNECT_S}", "-T", *(["-l", user] if at else [])]
    argv += ["-p", str(port)] if port else []
    remote = _REMOTE.format(f"--host {shlex.quote(f'unix://{path}')} " if path else "")
    ours, theirs = socket.socketpair()
    try:
        argv += ["--", host, f"sh -c {shlex.quote(remote)}"]
        with theirs:
            child = subprocess.Popen(argv, stdin=theirs.fileno(), stdout=theirs.fileno())
        return _Dialed(ours, child)
    except FileNotFoundError as e:
        ours.close()
        raise OSError("the program ssh is not installed") from e


class _Dialed(socket.socket):
    """Our end; with it the program ends."""

    def __init__(self, end: socket.socket, child: subprocess.Popen[bytes]) -> None:
        super().__init__(end.family, end.type, end.proto, fileno=end.detach())
        self._child = child

    def close(self) -> None:
        super().close()
        try:
            self._child.wait(END_S)
        except subprocess.TimeoutExpired:
            self._child.terminate()
            self._child.wait()
