"""A home on a file system of its own, whose agent is started by `cove` as a user starts it, and what is seen of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from desktop.client.http import ConnectionFailed
from tests.vm.conftest import Vm, is_running

# A step of the host's clock: Python programs of this home take the time from here. The machine's own clock stays.
_CLOCK = """\
import os, time
_wall, _wall_ns = time.time, time.time_ns
def _shift():
    try:
        return int(open(os.environ["COVE_BENCH_SHIFT"]).read() or 0)
    except (KeyError, OSError, ValueError):
        return 0
time.time = lambda: _wall() + _shift()
time.time_ns = lambda: _wall_ns() + _shift() * 10**9
"""
TOLD_LIMIT_S = 60.0
BACK_LIMIT_S = 300.0
_LOOK_EVERY_S = 0.1


class Missed(Exception):
    """What should have happened did not."""


class Home(Vm):
    """A VM whose parts may be killed at any time."""

    def __init__(self, mount: Path, settings: dict[str, Any]) -> None:
        super().__init__(mount / "home")
        self.home.mkdir()
        site = mount / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(_CLOCK)
        self._shift = mount / "shift"
        self.environ["PYTHONPATH"] = str(site)
        self.environ["COVE_BENCH_SHIFT"] = str(self._shift)
        self.mount = mount
        self.paths.config_file.write_text(json.dumps(settings))

    @property
    def qemu_pid(self) -> int:
        pid = self.state().qemu_pid
        if pid is None:
            raise Missed("there is no QEMU")
        return pid

    def in_guest(self, shell: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """`cove vm ssh`, in the background."""
        command: list[str | Path] = [Path(sys.executable).with_name("cove"), "vm", "ssh", shell]
        nothing = subprocess.DEVNULL
        return subprocess.Popen(command, env=self.environ, stdin=nothing, stdout=stdout, stderr=nothing, text=True)

    def shift_clock(self, by_s: int) -> None:
        self._shift.write_text(str(by_s))

    def status(self) -> dict[str, Any]:
        """What `cove vm status` says."""
        done = self.cove("vm", "status", "--format", "json", check=False)
        try:
            told: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return {"state": f"status ended with {done.returncode}: {done.stderr}"}
        return told

    def until_told(self, pattern: str, since: float) -> float:
        """Wait until the state tells `pattern`; the seconds since `since` (monotonic). Raises Missed."""
        seen: list[str] = []
        while time.monotonic() - since < TOLD_LIMIT_S:
            status = self.status()
            said = json.dumps([status["state"], status.get("error"), status.get("last_end"), status.get("start")])
            if re.search(pattern, said):
                return time.monotonic() - since
            if said not in seen:
                seen.append(said)
            time.sleep(_LOOK_EVERY_S)
        raise Missed(f"not told within {TOLD_LIMIT_S:.0f} s: {pattern}; but {seen[-3:]}")

    def until_back(self, since: float) -> float:
        """Wait until the VM runs and its engine replies; the seconds since `since`. Raises Missed."""
        said = ""
        while time.monotonic() - since < BACK_LIMIT_S:
            status = self.status()
            if status["state"] == "running":
                done = self.docker("ps", "-q", check=False)
                if not done.returncode:
                    return time.monotonic() - since
                said = done.stderr.strip()
            else:
                said = status["state"]
            time.sleep(_LOOK_EVERY_S)
        raise Missed(f"the VM is not back within {BACK_LIMIT_S:.0f} s: {said}")

    def close(self) -> None:
        """End agent and VM, in order if that is possible."""
        agent = self.agent_pid
        qemu = self.status().get("qemu_pid")
        with contextlib.suppress(ConnectionFailed, OSError), self.client() as client:
            client.quit()
        deadline = time.monotonic() + 60
        while is_running(agent) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in (agent, qemu):
            if pid is not None and is_running(pid):
                print(f"process {pid} had to be killed")
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def home(size_mb: int, settings: dict[str, Any]) -> Iterator[Home]:
    """A home on a tmpfs of `size_mb`, which is gone afterwards."""
    mount = Path(tempfile.mkdtemp(prefix="cvf-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=700", "tmpfs", mount], check=True)
    try:
        made = Home(mount, settings)
        try:
            yield made
        finally:
            made.close()
            logs = made.home / "logs"
            kept = Path(tempfile.gettempdir()) / "vm_faults-logs"
            shutil.rmtree(kept, ignore_errors=True)
            if logs.exists():
                shutil.copytree(logs, kept)
    finally:
        subprocess.run(["umount", "-l", mount], check=True)
        mount.rmdir()
