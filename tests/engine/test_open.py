"""Opening the data root: again after a failure, and after a kill."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S


def post_open(engine: NativeEngine) -> tuple[int, str]:
    """POST /cove/v1/open: status and message."""
    with closing(http.client.HTTPConnection("engine", timeout=HANG_S)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(engine.socket))
        connection.request("POST", "/cove/v1/open")
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body)["message"] if body else ""


class DeferredEngine(NativeEngine):
    """An engine that opens its data root only on request."""

    answers = 503


@pytest.fixture
def deferred() -> Iterator[NativeEngine]:
    engine = DeferredEngine("--defer-open")
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


@pytest.mark.logs("task.failed", "request.failed")
def test_an_open_that_failed_half_way_may_be_tried_again(deferred: NativeEngine, busybox_tar: Path) -> None:
    """Whatever the reason of the failure, and also with running containers: nothing is duplicated or lost."""
    data, exec_root = deferred.root / "data", deferred.root / "exec"
    data.mkdir()
    for part in ("images", "networks", "engine-id"):
        if part == "engine-id":
            (data / part).mkdir()
        else:
            (data / part).touch()
        status, message = post_open(deferred)
        assert status == 500, part
        assert part in message
        assert deferred.docker("ps", check=False).returncode == 1, "not open yet"
        (data / part).rmdir() if part == "engine-id" else (data / part).unlink()
    assert post_open(deferred) == (204, "")
    deferred.docker("import", str(busybox_tar), "busybox:latest")
    port = deferred.docker("run", "-d", "-p", "127.0.0.1::80", "--name", "kept", "busybox:latest", "httpd", "-f")
    published = deferred.docker("port", "kept", "80").stdout.strip()

    os.rename(data / "engine-id", data / "kept-id")
    (data / "engine-id").mkdir()
    os.rename(exec_root / "init-layer", exec_root / "former-init-layer")  # so the next one waits for the request
    os.kill(deferred.pid_of("cove-engine"), signal.SIGKILL)
    deferred.wait_until_answering()
    for _ in range(2):
        assert post_open(deferred)[0] == 500
    (data / "engine-id").rmdir()
    os.rename(data / "kept-id", data / "engine-id")
    assert post_open(deferred) == (204, "")
    assert post_open(deferred) == (204, "")
    assert deferred.docker("ps", "-q", "--no-trunc").stdout == port.stdout
    assert deferred.docker("exec", "kept", "echo", "lives").stdout == "lives\n"
    with pytest.raises(urllib.error.HTTPError, match="404"):  # it answers: there is no page
        urllib.request.urlopen(f"http://{published}", timeout=HANG_S)
    deferred.docker("run", "--rm", "--name", "new", "busybox:latest", "true")
    deferred.docker("rm", "-f", "kept")
    assert deferred.docker("ps", "-aq").stdout == ""


def test_half_made_records_of_a_kill_are_swept_everywhere(own_engine: NativeEngine) -> None:
    made = own_engine.docker("create", "--name", "kept", "busybox:latest").stdout.strip()
    data = own_engine.root / "data"
    container, [layer, *_] = data / "containers" / made, [*(data / "layers").iterdir()]
    assert own_engine.process is not None
    own_engine.process.send_signal(signal.SIGTERM)
    assert own_engine.process.wait(HANG_S) == 0
    half_made = [
        *(data / ".engine-id.abcd_123.tmp", data / "networks" / ".x.json.abcd_123.tmp", layer / ".x.abcd_123.tmp"),
        *(data / "images" / f".{name}.abcd_123.tmp" for name in ("references.json", "0a.json")),
        *(container / f".{name}.abcd_123.tmp" for name in ("config.json", "state.json")),
        own_engine.root / f".{own_engine.pidfile.name}.abcd_123.tmp",
    ]
    others = [container / "upper" / ".a.abcd_123.tmp", own_engine.root / ".other.abcd_123.tmp", data / "x.tmp"]
    for path in (*half_made, *others):
        path.write_text("half")
    own_engine.start()
    assert [path for path in half_made if path.exists()] == []
    assert [path for path in others if not path.exists()] == []
    assert own_engine.docker("ps", "-aq", "--no-trunc").stdout.strip() == made
