"""`cove-runtime` as OCI engines use it (runtime.md, Lifecycle and Operations)."""

from __future__ import annotations

import array
import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Bundle
from tests.support.limits import HANG_S
from vmagent.runtime.cgroups import tree

# The spawner does not run startContainer hooks, so the program starts itself a second time, protected, and forks.
ONCE_AND_TWICE = pytest.mark.parametrize(
    "hooks", [{}, {"startContainer": [{"path": "/bin/true"}]}], ids=["once", "twice"]
)


@pytest.mark.spec("runtime.md, Lifecycle")
def test_create_start_kill_delete(bundle: Bundle) -> None:
    bundle.process["args"] = ["sh", "-c", "trap 'exit 3' TERM; echo up >/up; while :; do sleep 0.1; done"]
    bundle.write()
    words = ["create", "--bundle", str(bundle.folder), "--pid-file", f"{bundle.folder}/pid", bundle.id]
    created = bundle.command(*words, capture_output=False)
    assert created.returncode == 0
    state = bundle.state()
    assert state["status"] == "created"
    assert state["pid"] == int((bundle.folder / "pid").read_text())
    assert not (bundle.rootfs / "up").exists(), "the command runs only after `start`"
    again = bundle.command("create", "--bundle", str(bundle.folder), bundle.id)
    assert "already exists" in again.stderr
    assert bundle.command("start", bundle.id).returncode == 0
    assert bundle.state()["status"] == "running"
    refused = bundle.command("delete", bundle.id)
    assert "is not stopped: running" in refused.stderr
    assert bundle.command("pause", bundle.id).returncode == 0
    assert bundle.state()["status"] == "paused"
    assert bundle.command("resume", bundle.id).returncode == 0
    assert bundle.command("kill", bundle.id, "KILL").returncode == 0
    tree().at(bundle.cgroup_path).kill_all()  # waits for the kill to be done
    assert bundle.state()["status"] == "stopped"
    assert "not running" in bundle.command("kill", bundle.id, "KILL").stderr
    assert bundle.command("delete", bundle.id).returncode == 0
    assert "does not exist" in bundle.command("state", bundle.id).stderr


def test_run_gives_the_status_and_leaves_nothing(bundle: Bundle) -> None:
    assert bundle.run("sh", "-c", "exit 7").returncode == 7
    done = bundle.run("sh", "-c", "echo out; echo err >&2; cat", input="in\n", stdin=None)
    assert (done.stdout, done.stderr) == ("out\nin\n", "err\n")


def test_exec_joins_the_container(bundle: Bundle) -> None:
    pid = bundle.start("sleep", "60")
    script = "pwd; echo $A; ps; for n in /proc/self/ns/*; do readlink $n; done; cat /proc/self/cgroup"
    said = bundle.command("exec", "--env", "A=1", "--cwd", "/tmp", bundle.id, "sh", "-c", script)
    assert said.stdout.startswith("/tmp\n1\n")
    assert "sleep 60" in said.stdout
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") in said.stdout
    assert {line.rpartition(":")[2] for line in said.stdout.splitlines() if re.match(r"\d+:\S*:/", line)} == {"/"}
    assert bundle.command("exec", bundle.id, "sh", "-c", "exit 9").returncode == 9
    missing = bundle.command("exec", bundle.id, "nosuch")
    assert missing.returncode == 255
    assert "executable file not found in $PATH" in missing.stderr
    unknown = bundle.command("exec", "--user", "nosuch", bundle.id, "id")
    assert "unable to find user nosuch: no matching entries in passwd file" in unknown.stderr
    assert bundle.command("exec", "--user", "user", bundle.id, "id", "-G").stdout.split() == ["1000", "50"]
    assert bundle.command("exec", "--tty", bundle.id, "tty").stdout.startswith("/dev/pts/")


@pytest.mark.spec("runc's --console-socket: the terminal's master as SCM_RIGHTS")
def test_a_terminal_is_handed_to_the_console_socket(bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    bundle.process["consoleSize"] = {"height": 33, "width": 77}
    bundle.process["args"] = ["sh", "-c", "tty; stty size; ls -l /dev/console; echo end"]
    bundle.write()
    path = str(bundle.folder / "console.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(HANG_S)
        words = ["create", "--bundle", str(bundle.folder), "--console-socket", path, bundle.id]
        assert bundle.command(*words).returncode == 0
        peer, _ = listener.accept()
        with peer:
            _, ancillary, _, _ = peer.recvmsg(64, socket.CMSG_SPACE(4))
    fds = array.array("i")
    fds.frombytes(ancillary[0][2])
    with os.fdopen(fds[0], "rb", buffering=0) as master:
        assert bundle.command("start", bundle.id).returncode == 0
        said = b""
        while b"end" not in said:
            said += master.read(4096)
    assert said.startswith(b"/dev/pts/0\r\n33 77\r\n")
    assert b"136," in said, "/dev/console is the terminal"


def test_errors_go_to_the_log_that_engines_read(bundle: Bundle) -> None:
    bundle.process["args"] = ["nosuch"]
    bundle.write()
    log = bundle.folder / "log.json"
    done = bundle.command("--log", str(log), "--log-format", "json", "run", "--bundle", str(bundle.folder), bundle.id)
    assert done.returncode == 1
    assert json.loads(log.read_text())["msg"].endswith('exec: "nosuch": executable file not found in $PATH')


def test_spec_writes_an_example_that_validates(tmp_path: Path, bundle: Bundle) -> None:
    assert bundle.command("spec", "--bundle", str(tmp_path)).returncode == 0
    assert json.loads((tmp_path / "config.json").read_text())["process"]["args"] == ["sh"]
    assert "File exists" in bundle.command("spec", "--bundle", str(tmp_path)).stderr


def test_an_update_by_all_resources_leaves_the_devices(bundle: Bundle) -> None:
    """Podman and containerd's CRI send all resources of the specification, which deny every device."""
    bundle.start("sleep", "60")
    resources = {**bundle.linux["resources"], "pids": {"limit": 33}, "memory": {"limit": 0}}
    assert resources["devices"] == [{"allow": False, "access": "rwm"}]
    done = bundle.command("update", "--resources", "-", bundle.id, stdin=None, input=json.dumps(resources))
    assert done.returncode == 0, done.stderr
    done = bundle.command("exec", bundle.id, "sh", "-c", "echo >/dev/null && cat /sys/fs/cgroup/pids*/pids.max")
    assert done.stdout == "33\n", done.stderr


@ONCE_AND_TWICE
@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_the_null_device(bundle: Bundle, hooks: dict[str, Any], closed: str) -> None:
    """It is not the next file of the host that the command line opens, which would get the closed stream's number."""
    bundle.spec["hooks"] = hooks
    bundle.process["args"] = ["sh", "-c", "for n in 0 1 2; do readlink /proc/self/fd/$n >>/streams; done; exit 3"]
    bundle.write()
    argv = bundle.argv("run", "--bundle", str(bundle.folder), bundle.id)
    done = bundle.external(["sh", "-c", f'exec "$@" {closed}', "sh", *argv])
    assert (done.returncode, done.stderr) == (3, "")
    expected = ["/dev/null" if sign in closed else "pipe" for sign in ("<&-", "2>&-")]
    streams = [line.partition(":")[0] for line in (bundle.rootfs / "streams").read_text().splitlines()]
    assert [streams[0], streams[2]] == expected


@ONCE_AND_TWICE
def test_a_cgroup_that_the_caller_has_made_keeps_its_settings(bundle: Bundle, hooks: dict[str, Any]) -> None:
    tree().create(bundle.cgroup_path, {"pids": {"limit": 55}})
    bundle.spec["hooks"] = hooks
    bundle.linux.pop("resources")
    assert bundle.shell("cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null || true") == "55\n"
