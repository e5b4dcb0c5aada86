"""A native engine for tests, with roots, bridge and socket of its own; `stop` checks that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from desktop.client.engine import EngineClient
from desktop.client.http import Endpoint
from tests.support.blocking import BlockingReport
from tests.support.ending import ENDS_WITH_US
from tests.support.limits import HANG_S
from tests.support.logs import LOGS
from tests.support.tools import docker_cli, docker_config
from vmagent.blocking import ENVIRONMENT
from vmagent.containers.records import CONFIG

_SUBNETS = itertools.count(1)
START_LIMIT_S = HANG_S


class NativeEngine:
    """`cove-agent` as a child of the test. `docker(...)` and `cove(...)` run the real programs against it."""

    prefix: tuple[str | Path, ...] = ()  # a command that executes the agent
    answers = 200  # the HTTP status of a ping once the engine serves
    detects_blocking = True  # with the detector of calls that block the loop; its audit hook takes time
    started: ClassVar[list[NativeEngine]] = []  # by this process, and not stopped yet

    def __init__(self, *flags: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="cvt-"))
        self.socket = self.root / "e.sock"
        self.host = f"unix://{self.socket}"
        self.pidfile = self.root / "keeper.pid"
        self._bip = f"10.2{os.getpid() % 40 + 10}.{next(_SUBNETS)}.1/24"
        self._flags = flags
        self.log = self.root / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.blocking = BlockingReport(self.root / "blocking")

    def start(self) -> None:
        """Start it and wait until it answers. Raises AssertionError with its log."""
        LOGS.watch(self.log)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *ENDS_WITH_US,
                    *self.prefix,
                    Path(sys.executable).with_name("cove-agent"),
                    *("-H", self.host, "--pidfile", self.pidfile, "--bip", self._bip),
                    *("--data-root", self.root / "data", "--exec-root", self.root / "exec"),
                    *self._flags,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, ENVIRONMENT: str(self.blocking.path) if self.detects_blocking else ""},
            )
        if self not in self.started:
            self.started.append(self)
        self.wait_until_answering()

    def wait_until_answering(self, limit_s: float = START_LIMIT_S) -> None:
        deadline = time.monotonic() + limit_s
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(max(0.1, deadline - time.monotonic()))
                sock.connect(str(self.socket))
                sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n")
                if b" %d " % self.answers in sock.recv(64):
                    return
            if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                raise AssertionError(f"the engine does not answer:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)  # there is no event to wait for before the socket exists

    def pid_of(self, name: str) -> int:
        """The process id of `cove-engine` or `cove-supervisor` below the keeper, or of `cove-spawner` below that."""
        assert self.process is not None
        parent = self.process.pid if name != "cove-spawner" else self.pid_of("cove-supervisor")
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == name:
                    return int(child)
        raise AssertionError(f"no {name} among the children {children}")

    def container_folders(self) -> list[Path]:
        """The folders of containers on the disk, without those that are for containers to come."""
        folders = (self.root / "data" / "containers").iterdir()
        return [folder for folder in folders if not (record := folder / CONFIG).exists() or record.stat().st_size]

    def client(self, timeout_s: float = HANG_S) -> EngineClient:
        return EngineClient(Endpoint.parse(self.host), timeout_s=timeout_s)

    def docker(self, *args: str, check: bool = True, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """Run trixie's docker CLI against this engine; text streams captured."""
        return run([docker_cli(), *args], {"DOCKER_HOST": self.host, "DOCKER_CLI_HINTS": "false"}, check, **kwargs)

    def buildx(
        self, *args: str | Path, check: bool = True, env_more: Mapping[str, str] | None = None, **kwargs: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run trixie's docker CLI with buildx against this engine; text streams captured."""
        environment = {"DOCKER_HOST": self.host, "DOCKER_CLI_HINTS": "false", "DOCKER_CONFIG": str(docker_config())}
        return run([docker_cli(), *args], environment | dict(env_more or {}), check, **kwargs)

    def cove(self, *args: str, check: bool = True, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """Run the `cove` command line against this engine; text streams captured."""
        return run([Path(sys.executable).with_name("cove"), *args], {"COVE_HOST": self.host}, check, **kwargs)

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line against this engine, as pasted into a shell."""
        return run(["sh", "-c", command], {"COVE_HOST": self.host}, check=True)

    def stop(self) -> None:
        """Send SIGTERM to the keeper, and wait for its end. Raises AssertionError for anything left behind."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                status = self.process.wait(HANG_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise AssertionError(f"the keeper did not stop:\n{self.log.read_text()[-4000:]}") from None
            assert status == 0, f"the keeper ended with {status}:\n{self.log.read_text()[-4000:]}"
        if self in self.started:
            self.started.remove(self)
        self.blocking.check()
        mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {self.root}" in line]
        assert not mounts, f"mounts left behind: {mounts}"
        LOGS.end(self.log)
        shutil.rmtree(self.root)


class MountedEngine(NativeEngine):
    """One whose `part`, "data" or "exec", is a file system of its own: `what` are mount's arguments for it."""

    def __init__(self, part: str, *what: str | Path) -> None:
        super().__init__()
        self.place = self.root / part
        self.place.mkdir()
        subprocess.run(["mount", *what, self.place], check=True)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(HANG_S)
        subprocess.run(["umount", self.place], check=True)
        super().stop()


def run(
    command: list[str | Path], environment: Mapping[str, str], check: bool, **kwargs: Any
) -> subprocess.CompletedProcess[str]:
    kwargs.setdefault("timeout", HANG_S)
    if "input" not in kwargs:
        kwargs.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, **kwargs
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@contextlib.contextmanager
def native_engine(*flags: str) -> Iterator[NativeEngine]:
    """A running engine; stopped in order at the end."""
    with running(NativeEngine(*flags)) as engine:
        yield engine


@contextlib.contextmanager
def measured_engine(*flags: str) -> Iterator[NativeEngine]:
    """A running engine as users have it, for what measures its speed or size; stopped in order at the end."""
    made = NativeEngine(*flags)
    made.detects_blocking = False
    with running(made) as engine:
        yield engine


@contextlib.contextmanager
def running(engine: NativeEngine) -> Iterator[NativeEngine]:
    """Start `engine`; stopped in order at the end."""
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
