"""The real VM for the session: the guest image of this checkout, a host agent of the tests' own, QEMU under whatever
accelerator works here. Booted once, at the first test that needs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.client.engine import EngineClient
from desktop.client.host import HostClient, HostState
from desktop.client.http import ConnectionFailed, Endpoint
from desktop.client.starting import ensure_vm, host_client
from desktop.paths import HostPaths, host_paths
from desktop.vm.image import host_architecture
from tests.support.limits import HANG_S
from tests.support.tools import ROOT, docker_cli

ARCHITECTURES = ("amd64", "arm64")
BUILD_LIMIT_S = 600
COMMAND_LIMIT_S = HANG_S


class Vm:
    """One home with its host agent, which is a child of the test. `cove` and `docker` run the real programs."""

    def __init__(self, home: Path | None = None) -> None:
        """`home`: an empty folder, removed at the end; a new one if None."""
        self.home = home or Path(tempfile.mkdtemp(prefix="cvv-"))
        self.environ = {**os.environ, "COVE_HOME": str(self.home)}
        for name in ("COVE_HOST", "COVE_CONTEXT", "DOCKER_HOST"):
            self.environ.pop(name, None)
        self.paths: HostPaths = host_paths(self.environ, sys.platform)
        self.agent: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """The engine's address, as DOCKER_HOST takes it."""
        return f"unix://{self.paths.engine_socket}"

    def start_agent(self) -> None:
        """Start `cove host` and wait until it answers."""
        with (self.home / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(
                [Path(sys.executable).with_name("cove"), "host"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = 400
        while deadline:
            with contextlib.suppress(ConnectionFailed), host_client(self.paths) as client:
                client.state()
                return
            if self.agent.poll() is not None:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.agent.wait(0.05)  # no event announces a socket
            deadline -= 1
        raise AssertionError(f"the host agent does not answer: {(self.home / 'agent.log').read_text()}")

    def start(self) -> HostState:
        """Start the VM if it does not run; returns its state."""
        return ensure_vm(self.paths, lambda state: None)

    def client(self) -> HostClient:
        return host_client(self.paths)

    def state(self) -> HostState:
        with self.client() as client:
            return client.state()

    @property
    def agent_pid(self) -> int:
        """The host agent's process, whoever has started it. Raises OSError, ValueError."""
        return int(self.paths.agent_lock.read_text())

    def clock_s(self) -> float:
        """What the guest's clock says: Unix time."""
        said = self.cove("vm", "ssh", "adjtimex | sed -n 's/^ *time.tv_u\\{0,1\\}sec: *//p'").stdout.split()
        return int(said[0]) + int(said[1]) / 1e6

    def engine(self) -> EngineClient:
        return EngineClient(Endpoint.local(self.paths.engine_socket), timeout_s=HANG_S)

    def cove(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run([str(Path(sys.executable).with_name("cove")), "--context", "vm", *map(str, words)], check)

    def docker(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run([str(docker_cli()), "-H", self.host, *map(str, words)], check)

    def _run(self, command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        if check and done.returncode:
            console = self.paths.console_log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}\n{console}")
        return done

    def close(self) -> None:
        """Stop the VM and the agent cleanly, and check that nothing of them is left."""
        qemu = None
        if self.agent is not None:
            with contextlib.suppress(ConnectionFailed):
                qemu = self.state().qemu_pid
            self.agent.terminate()
            try:
                status = self.agent.wait(HANG_S)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
                status = -1
            log = (self.home / "agent.log").read_text()
        if qemu is not None and is_running(qemu):
            os.kill(qemu, signal.SIGKILL)
            raise AssertionError(f"QEMU {qemu} outlived its host agent's orderly end")
        sockets = [path for path in (self.paths.host_socket, self.paths.engine_socket) if path.exists()]
        shutil.rmtree(self.home)
        assert not sockets, f"left behind: {sockets}"
        if self.agent is not None:
            assert (status, log) == (0, ""), f"the host agent ended with {status}: {log}"


def is_running(pid: int) -> bool:
    """False for a zombie too: a QEMU whose agent was killed is a child of init, and some inits reap no children."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def build_image(architecture: str) -> Path:
    """The folder of the guest image for `architecture`, built from these sources as far as they have changed. Raises
    CalledProcessError."""
    make = ["make", "-s", "-C", str(ROOT / "guest"), f"PYTHON={sys.executable}", f"ARCH={architecture}"]
    subprocess.run(make, check=True, timeout=BUILD_LIMIT_S)
    return ROOT / "guest" / "build" / architecture


@pytest.fixture(scope="session", params=ARCHITECTURES)
def each_image(request: pytest.FixtureRequest) -> Path:
    """The guest image of each architecture in turn."""
    return build_image(str(request.param))


@pytest.fixture(scope="session")
def guest_image() -> Path:
    """The folder of the guest image, built from these sources as far as they have changed."""
    return build_image(host_architecture())


@pytest.fixture(scope="session")
def session_vm(guest_image: Path) -> Iterator[Vm]:
    made = Vm()
    try:
        made.start_agent()
        yield made
    finally:
        made.close()


@pytest.fixture
def busybox(vm: Vm, busybox_tar: Path) -> str:
    """The name of an image of busybox that the running VM has."""
    name = "busybox:latest"
    if vm.docker("image", "inspect", name, check=False).returncode:
        vm.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", busybox_tar, name)
    return name


@pytest.fixture
def vm(session_vm: Vm, busybox_tar: Path) -> Vm:
    """The session's VM, running, with the image busybox:latest.

    A test may stop, kill or reset it: the next one finds it started again, and the image in it.
    """
    session_vm.start()
    with session_vm.engine() as engine:
        names = [name for image in engine.images() for name in image["RepoTags"]]
    if "busybox:latest" not in names:
        session_vm.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", busybox_tar, "busybox:latest")
    return session_vm
