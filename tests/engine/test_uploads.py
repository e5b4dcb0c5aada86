"""A slow `docker cp` into a stopped container: which verbs wait for it, and which do not. Damaged archives."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import os
import signal
import socket
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli
from tests.support.waiting import wait_until

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
        own = os.readlink(f"/proc/{engine.pid_of('cove-engine')}/ns/mnt")
        wait_until(lambda: any(namespace != own for namespace in workers(engine).values()))
        yield upload


def workers(engine: NativeEngine) -> dict[int, str]:
    """The mount namespaces of the engine's file workers: one that has a job is in one of its own, or a container's."""
    engine_pid, found = engine.pid_of("cove-engine"), {}
    for child in Path(f"/proc/{engine_pid}/task/{engine_pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):  # it ends
            if Path(f"/proc/{child}/comm").read_text() == "cove-files\n":
                found[int(child)] = os.readlink(f"/proc/{child}/ns/mnt")
    return found


def test_a_client_that_announces_more_finds_a_worker_ready(own_engine: NativeEngine) -> None:
    with own_engine.client() as client:
        made = client.create({"Image": "busybox:latest", "Cmd": ["sleep", "1000"]})["Id"]
        client.start(made)

        def put(text: str, *, more: bool) -> None:
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w") as tar:
                info = tarfile.TarInfo("sent")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
            client.put_archive(made, "/", data.getvalue(), {"more": True} if more else None)

        def ready() -> int:
            wait_until(lambda: len(workers(own_engine)) == 1)
            return next(iter(workers(own_engine)))

        put("one", more=True)
        first = ready()
        put("two", more=True)
        second = ready()
        assert second != first, "the worker that was ready has done the second job"
        assert own_engine.docker("exec", made, "cat", "/sent").stdout == "two"
        os.kill(second, signal.SIGKILL)  # what is ready may end as any process
        wait_until(lambda: Path(f"/proc/{second}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        put("three", more=False)
        assert own_engine.docker("exec", made, "cat", "/sent").stdout == "three"
        assert not workers(own_engine)
        put("four", more=True)
        assert ready()  # and ends with the engine


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


def _two_members() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in ("one", "two"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"here"))
    return data.getvalue()


@pytest.mark.parametrize(
    ("damage", "is_refused"),
    [
        (lambda tar: tar[:1024] + bytes(100) + tar[1124:], True),  # the second header without its name: a wrong sum
        (lambda tar: tar[:1024] + b"x" * 512 + tar[1536:], True),
        (lambda tar: tar[:1200], True),  # in the second header
        (lambda tar: tar[:1537], True),  # in the second file
        (lambda tar: gzip.compress(tar)[:-30], True),
        (lambda tar: tar[:2048], False),  # whole, but for the blocks that mark the end: as Go's reader takes it
        (lambda tar: tar + b"behind the end", False),
    ],
    ids=["name", "header", "cut in a header", "cut in a file", "cut gzip", "no end", "behind the end"],
)
def test_an_archive_that_is_damaged_behind_its_first_member_is_refused(
    engine: NativeEngine, stopped: str, damage: Callable[[bytes], bytes], is_refused: bool
) -> None:
    done = subprocess.run(
        [docker_cli(), "cp", "-", f"{stopped}:/tmp"],
        input=damage(_two_members()),
        env={**os.environ, "DOCKER_HOST": engine.host},
        capture_output=True,
        timeout=HANG_S,
        check=False,
    )
    assert (done.returncode != 0, b"Error processing tar file" in done.stderr) == (is_refused, is_refused), done.stderr
