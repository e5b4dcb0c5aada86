"""A slow `docker cp` into a stopped container: which verbs wait for it, and which do not."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli

LIMIT_S = HANG_S  # for verbs that must not wait


class Upload:
    """A PUT of an archive of which one half was sent."""

    def __init__(self, engine: NativeEngine, name: str) -> None:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            info = tarfile.TarInfo("uploaded")
            info.size = 4
            tar.addfile(info, io.BytesIO(b"here"))
        self._rest = data.getvalue()
        self.connection = http.client.HTTPConnection("engine", timeout=HANG_S)
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.settimeout(HANG_S)
        self.connection.sock.connect(str(engine.socket))
        self.connection.putrequest("PUT", f"/containers/{name}/archive?path=/tmp")
        self.connection.putheader("Content-Type", "application/x-tar")
        self.connection.putheader("Content-Length", str(len(self._rest)))
        self.connection.endheaders()

    def finish(self) -> int:
        """Send the rest. Returns the status."""
        self.connection.send(self._rest)
        return self.status()

    def status(self) -> int:
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


@pytest.fixture
def stopped(engine: NativeEngine) -> Iterator[str]:
    name = f"up-{uuid.uuid4().hex[:8]}"
    engine.docker("create", "--name", name, "busybox:latest", "sh", "-c", "cat /tmp/uploaded; exec sleep 1000")
    yield name
    engine.docker("rm", "-f", name, check=False)


@contextlib.contextmanager
def upload_under_way(engine: NativeEngine, name: str) -> Iterator[Upload]:
    """An upload whose worker is running, so that no start can begin."""
    upload = Upload(engine, name)
    with contextlib.closing(upload.connection):
        engine_pid = engine.pid_of("cove-engine")
        worker = ["pgrep", "-f", f"vmagent.helpers.process .* {engine_pid} vmagent.containers.fileworker"]
        deadline = time.monotonic() + LIMIT_S
        while subprocess.run(worker, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, "no file worker"
        yield upload


def test_no_other_verb_waits_for_an_upload(engine: NativeEngine, stopped: str) -> None:
    with upload_under_way(engine, stopped) as upload:
        engine.docker("inspect", stopped, timeout=LIMIT_S)
        engine.docker("stop", stopped, timeout=LIMIT_S)
        refused = engine.docker("kill", stopped, check=False, timeout=LIMIT_S)
        assert "is not running" in refused.stderr
        engine.docker("update", "--cpu-shares", "100", stopped, timeout=LIMIT_S)
        engine.docker("rename", stopped, f"{stopped}-2", timeout=LIMIT_S)
        engine.docker("rename", f"{stopped}-2", stopped, timeout=LIMIT_S)
        engine.docker("rm", stopped, timeout=LIMIT_S)
        assert upload.status() == 409
    assert engine.docker("ps", "-aqf", f"name={stopped}").stdout == ""


def test_a_start_waits_for_an_upload_and_finds_what_it_brought(engine: NativeEngine, stopped: str) -> None:
    with upload_under_way(engine, stopped) as upload:
        command: list[str | Path] = [docker_cli(), "-H", engine.host, "start", stopped]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as starting:
            with pytest.raises(subprocess.TimeoutExpired):
                starting.wait(0.2)
            assert upload.finish() == 200
            assert starting.wait(HANG_S) == 0
    engine.docker("exec", stopped, "test", "-f", "/tmp/uploaded")
    assert engine.docker("logs", stopped).stdout == "here"


def test_a_volume_of_a_container_that_was_never_started_takes_and_gives_files(
    engine: NativeEngine, tmp_path: Path
) -> None:
    (tmp_path / "seed").write_text("seed")
    (tmp_path / "bound").mkdir()
    (tmp_path / "bound" / "here").write_text("bound")
    binds = ("-v", "seeded:/data/deep", "-v", f"{tmp_path}/bound:/bound:ro")
    engine.docker("create", "--name", "seeder", *binds, "busybox", "cat", "/data/deep/seed")
    try:
        engine.docker("cp", "seeder:/bound/here", str(tmp_path / "got"))  # reading changes nothing in the container
        assert (tmp_path / "got").read_text() == "bound"
        assert engine.docker("diff", "seeder").stdout == ""
        engine.docker("cp", str(tmp_path / "seed"), "seeder:/data/deep/")
        assert engine.docker("run", "--rm", "-v", "seeded:/v", "busybox", "cat", "/v/seed").stdout == "seed"
        assert engine.docker("start", "-a", "seeder").stdout == "seed"
    finally:
        engine.docker("rm", "-f", "seeder")
        engine.docker("volume", "rm", "seeded")
