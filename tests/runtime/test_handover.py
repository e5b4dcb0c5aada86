"""What cove-runtime passes on (descriptors, a service manager's sockets, readiness) and what it prints."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle
from tests.support.limits import HANG_S
from vmagent.runtime.hooks import KINDS


def _open(bundle: Bundle, text: str) -> int:
    path = bundle.folder / text
    path.write_text(text + "\n")
    return os.open(path, os.O_RDONLY)


def _run_with(bundle: Bundle, fds: list[int], flags: list[str], env: dict[str, str], *command: str) -> str:
    """`run` with `fds` as descriptors 3, 4, …"""
    bundle.process["args"] = list(command)
    bundle.write()
    moves = " ".join(f"{3 + n}<&{fd}" for n, fd in enumerate(fds))
    argv = bundle.argv("run", *flags, "--bundle", str(bundle.folder), bundle.id)
    script = ["bash", "-c", f'exec {moves}; exec "$@"' if fds else 'exec "$@"', "bash", *argv]
    done = bundle.external(script, pass_fds=fds, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_preserved_descriptors_are_there_and_no_others(bundle: Bundle) -> None:
    fds = [_open(bundle, name) for name in ("one", "two", "three")]
    try:
        said = _run_with(bundle, fds, ["--preserve-fds", "2"], {}, "sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd")
    finally:
        for fd in fds:
            os.close(fd)
    assert said.split() == ["one", "two", "0", "1", "2", "3", "4", "5"]  # 5 is the descriptor of ls


def test_no_descriptor_is_there_unless_it_is_asked_for(bundle: Bundle) -> None:
    fd = _open(bundle, "one")
    try:
        assert _run_with(bundle, [fd], [], {}, "ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]
    finally:
        os.close(fd)


def test_a_preserved_descriptor_that_is_not_open_is_an_error(bundle: Bundle) -> None:
    bundle.process["args"] = ["true"]
    bundle.write()
    done = bundle.command("run", "--preserve-fds", "9", "--bundle", str(bundle.folder), bundle.id)
    assert done.returncode == 1
    assert "is present" in done.stderr


def test_sockets_of_a_service_manager_come_with_their_number_and_our_pid(bundle: Bundle) -> None:
    fd = _open(bundle, "listening")
    try:
        script = "cat <&3; echo $LISTEN_FDS $LISTEN_PID $$ $LISTEN_FDNAMES"
        said = _run_with(bundle, [fd], [], {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}, "sh", "-c", script)
    finally:
        os.close(fd)
    assert said.split() == ["listening", "1", "1", "1", "web"]


def test_readiness_is_passed_on_with_the_hosts_pid(bundle: Bundle, tmp_path: Path) -> None:
    """The container has its own socket; its message goes to the host's, where the manager learns the main pid."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "manager"))
        manager.settimeout(HANG_S)
        tool = bundle.rootfs / "say"
        tool.write_bytes(b"")
        bundle.process["args"] = ["sh", "-c", "test -S $NOTIFY_SOCKET && touch /up; sleep 60"]
        env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "manager")}
        assert bundle.create(env=env).returncode == 0
        pid = bundle.state()["pid"]
        argv = bundle.argv("start", bundle.id)
        with subprocess.Popen(argv, stderr=subprocess.PIPE) as started:
            inside = Path(f"/proc/{pid}/root/run/notify/notify.sock")
            while not inside.exists() or not (bundle.rootfs / "up").exists():
                assert started.poll() is None
            assert stat.S_IMODE(inside.stat().st_mode) == 0o777
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
                own.sendto(b"STATUS=half way", str(inside))
                own.sendto(b"STATUS=done\nREADY=1", str(inside))
            assert manager.recv(4096).split() == [f"MAINPID={pid}".encode(), b"READY=1"]
            assert started.wait(HANG_S) == 0


def test_features_tell_what_is_known(bundle: Bundle) -> None:
    said = json.loads(bundle.command("features").stdout)
    assert (said["ociVersionMin"], said["ociVersionMax"]) == ("1.0.0", "1.2.1")
    assert said["hooks"] == list(KINDS)
    assert {"user", "time", "cgroup"} <= set(said["linux"]["namespaces"])
    assert {"rro", "idmap", "tmpcopyup"} <= set(said["mountOptions"])
    assert said["linux"]["apparmor"]["enabled"] is False
    assert "SCMP_ACT_NOTIFY" in said["linux"]["seccomp"]["actions"]


def test_list_and_ps_tell_of_what_runs(bundle: Bundle) -> None:
    pid = bundle.start("sleep", "60")
    assert bundle.command("list", "--quiet").stdout.split() == [bundle.id]
    assert json.loads(bundle.command("list", "--format", "json").stdout)[0]["pid"] == pid
    header, line = bundle.command("list").stdout.splitlines()
    assert header.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert line.split()[:3] == [bundle.id, str(pid), "running"]
    assert json.loads(bundle.command("ps", "--format", "json", bundle.id).stdout) == [pid]
    header, line = bundle.command("ps", bundle.id, "-o", "pid,args", "-e").stdout.splitlines()
    assert (header.split()[0], line.split()) == ("PID", [str(pid), "sleep", "60"])


def test_json_in_one_line_has_no_spaces_and_a_container_an_owner_and_its_moment(bundle: Bundle) -> None:
    """As runc writes it: some readers compare the text."""
    bundle.start("sleep", "60")
    for words in (
        ["list", "--format", "json"],
        ["events", "--stats", bundle.id],
        ["ps", "--format", "json", bundle.id],
    ):
        text = bundle.command(*words).stdout
        assert text == json.dumps(json.loads(text), separators=(",", ":")) + "\n"
    [listed] = json.loads(bundle.command("list", "--format", "json").stdout)
    for said in (listed, bundle.state()):
        assert said["owner"] == "root"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z", said["created"])
        assert said["created"] == listed["created"]
    assert bundle.command("list").stdout.splitlines()[1].split()[-2:] == [listed["created"], "root"]
    os.chown(bundle.root / bundle.id, 4321, 4321)
    assert bundle.state()["owner"] == "#4321", "a uid without a name"


def test_exec_has_runcs_flags(bundle: Bundle) -> None:
    bundle.start("sleep", "60")
    said = bundle.command(
        "exec", "-g", "77", "--cap", "CAP_SYS_TIME", bundle.id, "sh", "-c", "id -G; grep CapEff /proc/self/status"
    )
    groups, capabilities = said.stdout.splitlines()
    assert "77" in groups.split()
    assert int(capabilities.split()[1], 16) >> 25 & 1
    process = {"args": ["sh", "-c", "echo $0 $A", "x"], "cwd": "/", "env": ["PATH=/bin", "A=b"], "user": {"uid": 3}}
    (bundle.folder / "process.json").write_text(json.dumps(process))
    assert bundle.command("exec", "--process", str(bundle.folder / "process.json"), bundle.id).stdout == "x b\n"
    bundle.command("pause", bundle.id)
    assert "cannot exec in a paused container" in bundle.command("exec", bundle.id, "true").stderr
    bundle.command("resume", bundle.id)
    assert bundle.command("exec", "--apparmor", "x", bundle.id, "true").returncode == 255
    assert "sub cgroup" in bundle.command("exec", "--cgroup", "../x", bundle.id, "true").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--systemd-cgroup", "list"], "systemd"),
        (["checkpoint", "x"], "checkpoint and restore are not supported"),
        (["restore", "x"], "checkpoint and restore are not supported"),
        (["run", "--no-pivot", "x"], "no safe root without pivot_root"),
        (["run", "--console-socket", "/x", "--bundle", "{}", "x"], "cannot use console socket"),
    ],
)
def test_what_is_not_here_is_refused_in_clear_words(bundle: Bundle, words: list[str], said: str) -> None:
    bundle.process["args"] = ["true"]
    bundle.write()
    done = bundle.command(*(word.replace("{}", str(bundle.folder)) for word in words))
    assert done.returncode == 1
    assert said in done.stderr


def test_global_flags_of_runc_are_taken(bundle: Bundle) -> None:
    assert bundle.command("--debug", "--rootless", "false", "--log-format", "json", "list", "-q").returncode == 0
    assert "spec: 1.2.1" in bundle.command("--version").stdout


def test_the_rootless_example_has_a_user_namespace(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.command("spec", "--rootless", "--bundle", str(tmp_path)).returncode == 0
    linux = json.loads((tmp_path / "config.json").read_text())["linux"]
    assert {"type": "user"} in linux["namespaces"]
    assert linux["uidMappings"][0]["size"] == 1
