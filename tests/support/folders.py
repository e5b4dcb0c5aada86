"""Shared folders on this machine: the real client and server, with a socket between them in the tunnel's place.

The client mounts in a mount namespace of its own, so nothing is left of it when it ends. Paths lead there by its /proc.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from desktop.folders.wire import Operation
from tests.support.tools import ROOT
from tests.support.waiting import wait_until
from vmagent.native import binary


@contextmanager
def failing(*numbers: int) -> Iterator[None]:
    """The block must fail with one of these errors."""
    try:
        yield
    except OSError as e:
        if e.errno not in numbers:
            raise
    else:
        raise AssertionError("it did not fail")


class SharedFolder:
    """One folder of the host, and its mount. `close` ends both programs."""

    def __init__(self, limit_ms: int = 60_000) -> None:
        """`limit_ms`: how long requests wait for a host that is away."""
        self._home = Path(tempfile.mkdtemp(prefix="cvf-"))
        self.host = self._home / "host"
        self.mount = self._home / "mount"
        self.socket = self._home / "server.sock"
        self.host.mkdir()
        self.mount.mkdir()
        self.server = self.start_server()
        self.client = self._start_client(limit_ms)
        self.root = Path(f"/proc/{self.client.pid}/root{self.mount}")
        wait_until(self._is_mounted)
        self.mounted = Path(f"{self.root}{self.host}")

    def start_server(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.support.folderserver", str(self.socket), str(self.host)]
        self.server = subprocess.Popen(command, cwd=ROOT)
        return self.server

    def requests(self) -> Counter[str]:
        """How many requests of each kind the server has had."""
        counts = self.socket.with_suffix(".counts")
        counts.unlink(missing_ok=True)
        self.server.send_signal(signal.SIGUSR1)
        wait_until(counts.exists)
        return Counter({Operation(int(key)).name: count for key, count in json.loads(counts.read_text()).items()})

    @contextmanager
    def without_events(self) -> Iterator[None]:
        """The client hears of the host's changes, but no event is raised meanwhile."""
        children = Path(f"/proc/{self.client.pid}/task/{self.client.pid}/children").read_text().split()
        [replay] = map(int, children)
        os.kill(replay, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(replay, signal.SIGCONT)

    def kill_server(self) -> None:
        self.server.kill()
        self.server.wait()

    def close(self) -> None:
        for process in (self.client, self.server):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        self.client.wait()
        self.server.wait()
        shutil.rmtree(self._home)

    def _start_client(self, limit_ms: int) -> subprocess.Popen[bytes]:
        program = [str(binary("folders", os.uname().machine)), str(self.mount), str(self.socket), str(limit_ms)]
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "-m", *program])

    def _is_mounted(self) -> bool:
        assert self.client.poll() is None, "the client has ended"
        try:
            return self.root.stat().st_dev != self._home.stat().st_dev
        except OSError:
            return False
