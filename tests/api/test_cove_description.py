"""Our own calls keep to their own OpenAPI description."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

from tests.api.conftest import read_all
from tests.support.description import conforms
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

TIMELINE = "/cove/v1/containers/{id}/timeline"


def test_the_timeline_has_its_described_shape_in_every_state(own_engine: NativeEngine) -> None:
    docker = own_engine.docker

    def timeline() -> dict[str, Any]:
        with own_engine.client() as client:
            told = client.timeline("one")
        conforms(told, "GET", TIMELINE, 200)
        return told

    docker("create", "--name", "one", "busybox:latest", "sleep", "1000")
    created = timeline()
    assert created["create_ms"] > 0
    assert [name for name, value in created.items() if value is None] == [
        "prepare_ms", "mount_ms", "setup_ms", "start_ms",
    ]  # fmt: skip
    assert (created["layers"], created["pid"]) == (1, 0)

    docker("start", "one")
    running = timeline()
    assert running["start_ms"] > running["mount_ms"] > 0
    assert running["pid"] == int(docker("inspect", "-f", "{{.State.Pid}}", "one").stdout)
    docker("pause", "one")
    assert timeline() == running

    os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
    own_engine.wait_until_answering()
    assert timeline() == dict.fromkeys(running, None) | {"layers": 1, "pid": running["pid"], "ended_by": ""}

    docker("kill", "one")
    assert timeline()["ended_by"] == "user"
    docker("rm", "-f", "one")
    docker("run", "--name", "one", "busybox:latest", "true")
    ended = timeline()
    assert None not in ended.values()
    assert (ended["pid"], ended["ended_by"]) == (0, "")


def test_the_timeline_tells_a_stop_with_the_engine_from_an_end_of_its_own(own_engine: NativeEngine) -> None:
    own_engine.docker("run", "-d", "--name", "long", "busybox:latest", "sleep", "1000")
    own_engine.docker("run", "--name", "short", "busybox:latest", "false", check=False)
    assert own_engine.process is not None
    own_engine.process.terminate()
    own_engine.process.wait(HANG_S)
    own_engine.start()
    with own_engine.client() as client:
        assert client.timeline("long")["ended_by"] == "engine"
        assert client.timeline("short")["ended_by"] == ""
        client.start("long")
        assert client.timeline("long")["ended_by"] == ""
    own_engine.docker("rm", "-f", "long", "short")


def test_errors_have_their_described_shape(engine: NativeEngine) -> None:
    for path, described, status in (
        ("/cove/v1/containers/none/timeline", TIMELINE, 404),
        ("/cove/v1/stats?interval_ms=1", "/cove/v1/stats", 400),
        ("/cove/v1/stats?containers=none", "/cove/v1/stats", 404),
        ("/cove/v1/containers/none/usage", "/cove/v1/containers/{id}/usage", 404),
    ):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(engine.socket))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            reply = read_all(sock)
        assert reply.startswith(b"HTTP/1.1 %d " % status)
        conforms(json.loads(reply.partition(b"\r\n\r\n")[2]), "GET", described, status)
