"""An image with the attacker's tools, and containers of it, which are removed when the test ends."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.security.probing import image_tar, program
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli
from vmagent.runtime.cgroups import tree
from vmagent.runtime.example import example_spec

IMAGE = "attacker:latest"
LOADER = "/lib64/ld-linux-x86-64.so.2"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The programs of these tests are written for one machine."""
    if os.uname().machine != "x86_64":
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="the attacker's programs are for x86_64"))


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket, for requests that no client would make."""

    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=HANG_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(HANG_S)
        self.sock.connect(self._path)


class Attacker:
    """Runs commands in containers of its own on one engine."""

    def __init__(self, engine: NativeEngine) -> None:
        self.engine = engine
        self._made: list[str] = []

    def run(self, *words: str, options: tuple[str, ...] = (), **more: object) -> subprocess.CompletedProcess[str]:
        """`docker run` of `words` with default options and `options`; whatever its exit status."""
        return self.engine.docker("run", "--rm", *options, IMAGE, *words, check=False, **more)

    def shell(self, script: str, *options: str) -> str:
        """What a script says, errors included."""
        return self.run("sh", "-c", f"exec 2>&1; {script}", options=options).stdout

    def start(self, *words: str, options: tuple[str, ...] = ()) -> str:
        """The name of a container in the background."""
        name = f"cvs-{uuid.uuid4().hex[:12]}"
        self._made.append(name)
        self.engine.docker("run", "-d", "--name", name, *options, IMAGE, *words)
        return name

    def start_until(self, ready: str, *words: str, options: tuple[str, ...] = ()) -> str:
        """As `start`, and it has printed the line `ready`."""
        name = self.start(*words, options=options)
        with subprocess.Popen(
            [docker_cli(), "logs", "-f", name],
            env={**os.environ, "DOCKER_HOST": self.engine.host}, stdout=subprocess.PIPE,
        ) as logs:  # fmt: skip
            assert logs.stdout is not None
            is_ready = any(ready.encode() in line for line in logs.stdout)
            logs.kill()
        assert is_ready, "it ended before it was ready"
        return name

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """(status, content) of a request whose path is sent as it is."""
        connection = _Connection(self.engine.socket)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def get_archive(self, name: str, path: str) -> tuple[int, bytes]:
        return self.call("GET", f"/containers/{name}/archive?path={urllib.parse.quote(path)}")

    def put_archive(self, name: str, path: str, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> tuple[int, bytes]:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for info, data in members:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return self.call("PUT", f"/containers/{name}/archive?path={urllib.parse.quote(path)}", buffer.getvalue())

    def pid(self, name: str) -> int:
        return int(self.engine.docker("inspect", "-f", "{{.State.Pid}}", name).stdout)

    def end(self) -> None:
        if self._made:
            self.engine.docker("rm", "-fv", *self._made)


@pytest.fixture(scope="session")
def attacker_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """busybox, the probe, and the attacks: as a program, and in place of the loader of the host's programs."""
    attack = program("attack")
    path = tmp_path_factory.mktemp("attacker") / "attacker.tar"
    image_tar(path, {"/probe": program("probe"), "/attack": attack, LOADER: attack})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("bait")
        link.type, link.linkname = tarfile.SYMTYPE, "/proc/self/exe"
        tar.addfile(link)
    return path


@pytest.fixture(scope="session")
def attacked_engine(engine: NativeEngine, attacker_tar: Path) -> NativeEngine:
    engine.docker("import", "-c", "ENV PATH=/bin", str(attacker_tar), IMAGE)
    return engine


@pytest.fixture
def attacker(attacked_engine: NativeEngine) -> Iterator[Attacker]:
    made = Attacker(attacked_engine)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def forbidden(tmp_path: Path) -> Callable[[], None]:
    """A check that `tmp_path`/outside, a folder of the host with a file in it, is unchanged."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("the host's secret")

    def untouched() -> None:
        assert sorted(os.listdir(folder)) == ["secret"]
        assert (folder / "secret").read_text() == "the host's secret"

    return untouched


@pytest.fixture
def runtime(tmp_path: Path, attacker_tar: Path) -> Iterator[Callable[..., list[str]]]:
    """Makes a bundle that runs the words given, and the command line that runs it."""
    (tmp_path / "rootfs").mkdir()
    subprocess.run(["tar", "-xf", attacker_tar, "-C", tmp_path / "rootfs"], check=True)

    def command(*words: str) -> list[str]:
        spec = example_spec()
        spec["process"].update(terminal=False, args=list(words), env=["PATH=/bin"])
        spec["linux"]["cgroupsPath"] = f"/cove-security/{os.getpid()}"
        (tmp_path / "config.json").write_text(json.dumps(spec))
        program = [sys.executable, "-P", "-m", "vmagent.runtime.command", "--root", str(tmp_path / "state")]
        return [*program, "run", "--bundle", str(tmp_path), f"security-{os.getpid()}"]

    yield command
    tree().at("/cove-security").remove()
