"""An engine on another machine, by the program `ssh`: its command there carries one connection over its two streams.

As docker does for ssh:// hosts. Keys, known hosts, jumps and questions are ssh's own: ~/.ssh/config counts. What it
says of a failure stands on the terminal; where stderr is none (the window, a script), it is in the error.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from typing import IO

CONNECT_S, END_S = 30, 1.0
_MOST_WORDS = 4096
# Where Cove is on the other machine its engine is meant, else docker's.
_REMOTE = 'command -v cove >/dev/null 2>&1 && of=cove || of=docker; exec "$of" {0}system dial-stdio'
# Ctrl-C reaches all programs of the terminal, but `cove` may pass it on to the container and go on: it ends ssh itself.
_UNINTERRUPTED = 'trap "" INT QUIT; exec "$0" "$@"'


def connect(address: str, port: int, path: str) -> socket.socket:
    """One connection to the engine at `address`, [USER@]HOST. `port` 0: as ssh has it. `path`: of the engine's socket
    there, "" for the one that is used there. Raises OSError."""
    if sys.platform == "win32":
        raise OSError("ssh:// hosts cannot be used on Windows yet")
    if (program := shutil.which("ssh")) is None:
        raise OSError("the program ssh is not installed")
    user, at, host = address.rpartition("@")
    argv = ["sh", "-c", _UNINTERRUPTED, program, "-T", "-o", f"ConnectTimeout={CONNECT_S}"]
    argv += ["-l", user] if at else []
    argv += ["-p", str(port)] if port else []
    remote = _REMOTE.format(f"--host {shlex.quote(f'unix://{path}')} " if path else "")
    argv += ["--", host.strip("[]"), f"sh -c {shlex.quote(remote)}"]
    with contextlib.ExitStack() as undo:
        ours, theirs = map(undo.enter_context, socket.socketpair())
        said = None if os.isatty(2) else undo.enter_context(tempfile.TemporaryFile())
        child = subprocess.Popen(argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=said)
        theirs.close()
        undo.pop_all()
        return _Dialed(ours, child, said)


class _Dialed(socket.socket):
    """Our end; with it the program ends. `said`: what it writes to stderr, None if that is a terminal's."""

    def __init__(self, end: socket.socket, child: subprocess.Popen[bytes], said: IO[bytes] | None) -> None:
        super().__init__(end.family, end.type, end.proto, fileno=end.detach())
        self._child, self._said = child, said

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Raises OSError also if ssh, or the command over there, has failed."""
        try:
            data = super().recv(bufsize, flags)
        except ConnectionResetError:
            data = b""
        if not data:
            self._check()
        return data

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override]  # all that is sent is bytes
        """Raises OSError, with what ssh has said if it has failed."""
        try:
            super().sendall(data, flags)
        except BrokenPipeError:
            self._check()
            raise

    def _check(self) -> None:
        """Raises OSError if the program has failed. Waits for its end: its side is closed."""
        try:
            status = self._child.wait(END_S)
        except subprocess.TimeoutExpired:
            return  # it has closed its streams, and ends when the connection is closed
        if status:
            words = b""
            if self._said is not None:
                self._said.seek(0)
                words = self._said.read(_MOST_WORDS).strip()
            raise OSError(words.decode(errors="replace") or f"ssh ended with exit status {status}")

    def close(self) -> None:
        super().close()
        try:
            self._child.wait(END_S)
        except subprocess.TimeoutExpired:
            pass  # it still connects, or the command over there goes on
        finally:  # also after a second Ctrl-C
            if self._child.poll() is None:
                self._child.terminate()
                self._child.wait()
            if self._said is not None:
                self._said.close()
