"""docker-py and the docker CLI on the API of the real engine: what hangs on how the bytes come and go."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import select
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli

IMAGE = "busybox:latest"
LIMIT_S = HANG_S


@pytest.fixture
def client(engine: NativeEngine) -> Iterator[docker.DockerClient]:
    """docker-py on the session's engine; its containers go with it."""
    with contextlib.closing(docker.DockerClient(base_url=engine.host, timeout=HANG_S)) as made:
        yield made
        for container in made.containers.list(all=True, filters={"label": "api-test"}):
            container.remove(force=True, v=True)


def sleeper(client: docker.DockerClient, **kwargs: object) -> Container:
    return client.containers.run(IMAGE, ["sleep", "600"], detach=True, labels=["api-test"], **kwargs)


def test_run_returns_what_was_printed(client: docker.DockerClient) -> None:
    assert client.containers.run(IMAGE, ["sh", "-c", "echo out; echo err >&2"], remove=True) == b"out\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run(IMAGE, ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"why\n")


def test_exec_output_is_never_lost_with_the_head(client: docker.DockerClient) -> None:
    container = sleeper(client)
    for number in range(30):
        assert container.exec_run(["echo", str(number)]).output == f"{number}\n".encode()
    code, (out, err) = container.exec_run(["sh", "-c", "echo o; echo e >&2; exit 9"], demux=True)
    assert (code, out, err) == (9, b"o\n", b"e\n")


def test_exec_by_socket_ends_its_input_by_half_close(client: docker.DockerClient) -> None:
    container = sleeper(client)
    made = client.api.exec_create(container.id, ["sh", "-c", "wc -c; echo end"], stdin=True)
    with bare(client.api.exec_start(made["Id"], socket=True)) as raw:
        raw.sendall(b"x" * 3_000_000)
        raw.shutdown(socket.SHUT_WR)
        got = read_all(raw)
    assert b"3000000\n" in got
    assert got.endswith(b"end\n")
    assert client.api.exec_inspect(made["Id"])["ExitCode"] == 0


def test_an_exec_is_left_by_the_keys_that_it_was_made_with(client: docker.DockerClient) -> None:
    container = sleeper(client)
    made = client.api.exec_create(container.id, ["cat"], stdin=True, tty=True, detach_keys="ctrl-x")
    with bare(client.api.exec_start(made["Id"], tty=True, socket=True)) as raw:
        raw.sendall(b"\x18")
        assert read_all(raw) == b""
    assert client.api.exec_inspect(made["Id"])["Running"]


def test_files_go_in_and_come_out(client: docker.DockerClient) -> None:
    container = client.containers.create(IMAGE, ["true"], labels=["api-test"])
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("big")
        info.size = 5_000_000
        archive.addfile(info, io.BytesIO(os.urandom(1000) * 5000))
    assert container.put_archive("/tmp", tar.getvalue())
    chunks, stat = container.get_archive("/tmp/big")
    assert (stat["name"], stat["size"]) == ("big", 5_000_000)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        assert archive.getmember("big").size == 5_000_000
    with pytest.raises(docker.errors.NotFound, match="Could not find the file"):
        container.get_archive("/nope")
    with pytest.raises(docker.errors.APIError) as refused:
        container.put_archive("/tmp/big", tar.getvalue())
    assert refused.value.status_code == 400


def test_events_tell_a_life_in_order(client: docker.DockerClient) -> None:
    since = time.time()
    container = client.containers.create(IMAGE, ["sh", "-c", "exit 3"], labels={"api-test": "", "who": "me"})
    stream = client.events(since=f"{since:.6f}", decode=True, filters={"label": "who=me"})
    container.start()
    assert container.wait()["StatusCode"] == 3
    container.remove()
    events = []
    for event in stream:
        events.append(event)
        if event["Action"] == "destroy":
            break
    stream.close()
    assert [event["Action"] for event in events] == ["create", "start", "die", "destroy"]
    assert events[2]["Actor"]["Attributes"]["exitCode"] == "3"
    assert all(event["id"] == container.id for event in events)


def test_a_stats_stream_ticks_and_ends_with_the_container(client: docker.DockerClient) -> None:
    container = sleeper(client)
    samples = container.stats(decode=True, stream=True)
    first, second = next(samples), next(samples)
    assert first["preread"] == "0001-01-01T00:00:00Z"
    assert second["preread"] == first["read"]
    assert second["precpu_stats"]["cpu_usage"] == first["cpu_stats"]["cpu_usage"]
    container.remove(force=True)
    list(samples)


def test_networks_and_volumes(client: docker.DockerClient) -> None:
    network = client.networks.create("api-test-net", labels={"api-test": "1"})
    volume = client.volumes.create("api-test-volume", labels={"api-test": "1"})
    try:
        container = sleeper(client, network="api-test-net", volumes={"api-test-volume": {"bind": "/d", "mode": "rw"}})
        network.reload()
        assert network.containers == [container]
        with pytest.raises(docker.errors.APIError, match="volume is in use"):
            volume.remove()
        with pytest.raises(docker.errors.APIError, match="active endpoints"):
            network.remove()
        container.remove(force=True)
        assert [v.name for v in client.volumes.list(filters={"label": "api-test=1"})] == ["api-test-volume"]
    finally:
        network.remove()
        volume.remove()
    with pytest.raises(docker.errors.NotFound):
        client.networks.get("api-test-net")


def test_an_upload_passes_through_the_engine_without_staying(
    engine: NativeEngine, client: docker.DockerClient, tmp_path: Path
) -> None:
    container = client.containers.create(IMAGE, ["true"], labels=["api-test"])
    big = tmp_path / "big.tar"
    with tarfile.open(big, "w") as archive:
        info = tarfile.TarInfo("zeros")
        info.size = 200 << 20
        with open("/dev/zero", "rb") as zeros:
            archive.addfile(info, zeros)
    status = Path(f"/proc/{engine.pid_of('cove-engine')}/status")

    def resident_kb() -> int:
        return int(status.read_text().partition("VmHWM:")[2].split()[0])

    before = resident_kb()
    with big.open("rb") as body:
        assert container.put_archive("/", body)
    assert resident_kb() - before < 32 << 10, "the engine held the upload in memory"


@contextlib.contextmanager
def bare(stream: Any) -> Iterator[socket.socket]:
    """The socket below what docker-py gives for a hijacked connection."""
    with contextlib.closing(stream), stream._sock as raw:
        raw.settimeout(LIMIT_S)
        yield raw


def read_all(raw: socket.socket) -> bytes:
    parts = []
    while data := raw.recv(65536):
        parts.append(data)
    return b"".join(parts)


class Terminal:
    """The docker CLI on a pseudo-terminal."""

    def __init__(self, engine: NativeEngine, *args: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [docker_cli(), *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CLI_HINTS": "false"},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + LIMIT_S
        while text not in self.seen:
            assert select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0], self.seen
            self.seen += os.read(self.master, 65536)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_a_terminal_is_left_by_its_detach_keys_and_entered_again(
    engine: NativeEngine, client: docker.DockerClient
) -> None:
    run = ("run", "-it", "--name", "api-tty", "--label", "api-test", IMAGE, "sh")
    with contextlib.closing(Terminal(engine, *run)) as terminal:
        terminal.wait_for(b"# ")
        terminal.type(b"echo $((40+2))\n")
        terminal.wait_for(b"42\r\n")
        terminal.type(b"\x10\x11")
        assert terminal.process.wait(LIMIT_S) == 0
    assert client.containers.get("api-tty").status == "running"
    with contextlib.closing(Terminal(engine, "attach", "api-tty")) as again:
        again.type(b"exit 5\n")
        assert again.process.wait(LIMIT_S) == 5


def test_the_engine_too_knows_the_detach_keys(engine: NativeEngine, client: docker.DockerClient) -> None:
    container = client.containers.run(
        IMAGE, ["cat"], detach=True, tty=True, stdin_open=True, labels=["api-test"], name="api-keys"
    )
    since = time.time()
    params = {"stdin": 1, "stdout": 1, "stream": 1, "detachKeys": "ctrl-x,x"}
    with bare(container.attach_socket(params=params)) as raw:
        raw.sendall(b"hello\n\x18")
        assert raw.recv(65536).startswith(b"hello")
        raw.sendall(b"x")
        read_all(raw)
    container.reload()
    assert container.status == "running"
    events = client.events(since=f"{since:.6f}", decode=True, filters={"container": "api-keys"})
    assert next(e for e in events if e["Action"] in ("detach", "die"))["Action"] == "detach"
    events.close()


def test_a_reader_that_stops_reading_stops_nobody(engine: NativeEngine, client: docker.DockerClient) -> None:
    container = client.containers.create(IMAGE, ["sh", "-c", "seq 400000; echo all"], labels=["api-test"])
    with bare(container.attach_socket(params={"stdout": 1, "stream": 1})) as lazy:
        container.start()
        assert container.wait(timeout=HANG_S)["StatusCode"] == 0
        logs = container.logs()
        assert logs.endswith(b"400000\nall\n")
        got = read_all(lazy)
    assert got.endswith(b"all\n")
    assert len(got) > len(logs)  # frames too
