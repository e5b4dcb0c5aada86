"""Starts that can't succeed: the real programs refuse each in one line, with what helps, and leave no QEMU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from desktop.platform import platform_for
from desktop.vm.disk import ensure_disk, mark_used
from desktop.vm.errors import VmError
from desktop.vm.image import host_architecture
from desktop.vm.qemu import find_qemu
from tests.support.limits import HANG_S
from tests.support.serving import serving
from tests.vm.conftest import Vm

COVE = Path(sys.executable).with_name("cove")


class Refused:
    """One `cove vm start` in a home of its own, which ends the agent that it has started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {**os.environ, "COVE_HOME": str(home)}
        for name in ("COVE_HOST", "COVE_CONTEXT", "DOCKER_HOST"):
            self.environ.pop(name, None)

    def start(self) -> list[str]:
        """The lines that it says."""
        return self.says("vm", "start")

    def says(self, *words: str, status: int = 1) -> list[str]:
        """The lines that `cove` says as it fails with `status`."""
        done = subprocess.run(
            [COVE, *words], env=self.environ, capture_output=True, text=True, timeout=HANG_S, check=False
        )
        assert (done.returncode, done.stdout) == (status, ""), done.stdout + done.stderr
        return [line for line in done.stderr.splitlines() if not line.startswith(("Starting", "  "))]

    def close(self) -> None:
        lock = self.home / "host.lock"
        if lock.is_file() and lock.read_text().strip():
            agent = int(lock.read_text())
            handle = os.pidfd_open(agent)
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            os.waitid(os.P_PIDFD, handle, os.WEXITED) if _is_child(agent) else _await_end(handle)
            os.close(handle)


def _is_child(pid: int) -> bool:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1]) == os.getpid()


def _await_end(handle: int) -> None:
    import select

    assert select.select([handle], [], [], HANG_S)[0], "the agent does not end"


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[Refused]:
    made = Refused(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


def test_without_qemu_it_says_how_to_install_it(refused: Refused, guest_image: Path) -> None:
    refused.environ["COVE_QEMU"] = str(refused.home)
    said = refused.start()
    assert said == [
        "QEMU is missing: no qemu-system-x86_64 on this machine",
        platform_for("linux").qemu_hint,
    ]


def test_a_damaged_image_is_named(refused: Refused, guest_image: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    shutil.copytree(guest_image, image)
    with (image / "initrd").open("r+b") as file:
        file.write(b"damage")
    refused.environ["COVE_GUEST"] = str(image)
    said = refused.start()
    assert said[0] == f"the VM's image is damaged: {image}/initrd has another content than it should"
    assert len(said) == 2


def test_a_home_that_is_a_file_or_of_another_user_is_refused_at_once(refused: Refused) -> None:
    refused.home.write_text("letters")
    assert refused.start() == [
        f"{refused.home} is a file, and Cove needs a folder there",
        "Move it away, or set COVE_HOME to another folder",
    ]
    assert refused.says("ps") == [
        f"{refused.home} is a file, and Cove needs a folder there: move it away, or set COVE_HOME to another folder"
    ]
    refused.home.unlink()
    refused.home.mkdir()
    os.chown(refused.home, 65534, 65534)
    said = refused.start()
    assert said[0] == f"{refused.home} belongs to another user (number 65534)"
    assert said[1].startswith(f"Give it back: sudo chown -R {os.getuid()} {refused.home}")


def test_what_a_killed_agent_left_is_no_obstacle(refused: Refused, tmp_path: Path) -> None:
    """A pid that another process has by now, and sockets that nobody serves."""
    run = refused.home / "run"
    run.mkdir(parents=True, mode=0o700)
    refused.home.chmod(0o700)
    for name in ("host", "cove-engine", "qmp", "control", "tunnel"):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(run / f"{name}.sock"))
    with subprocess.Popen(["sleep", "1000"]) as innocent:
        record = {
            "schema": 2, "pid": innocent.pid, "qmp": str(run / "qmp.sock"), "control": str(run / "control.sock"),
            "tunnel": str(run / "tunnel.sock"), "ssh_port": 1, "accelerator": {"name": "tcg", "why": ""},
            "memory_mb": 512, "cpus": 1, "fits": {}, "ran": True,
        }  # fmt: skip
        (run / "vm.json").write_text(json.dumps(record))
        (run / "qemu.pid").write_text(f"{innocent.pid}\n")
        refused.environ["COVE_GUEST"] = str(tmp_path / "no image")
        assert "the VM's image is missing" in refused.start()[0]
        assert innocent.poll() is None, "it was left alone"
        innocent.kill()


def test_an_agent_that_hangs_is_named(refused: Refused, tmp_path: Path) -> None:
    refused.environ["COVE_GUEST"] = str(tmp_path / "no image")
    assert "the VM's image is missing" in refused.start()[0]
    agent = int((refused.home / "host.lock").read_text())
    told = [
        f"the host agent (process {agent}) does not reply",
        f"If it stays so: kill -9 {agent}. The VM goes on, and the next command takes it over",
    ]
    os.kill(agent, signal.SIGSTOP)
    try:
        for words in (("vm", "start"), ("vm", "stop"), ("vm", "restart"), ("--context", "vm", "ps")):
            assert refused.says(*words) == told, words
        assert refused.says("vm", "ssh", "true", status=255) == told
    finally:
        os.kill(agent, signal.SIGCONT)


class _Told(BaseHTTPRequestHandler):
    """A host agent whose VM is paused because the disk is full."""

    def do_GET(self) -> None:
        error = {"message": "this machine's disk is full", "hint": "Free some space", "lines": []}
        silence = "QEMU has stopped its processor (io-error)"
        state = {"state": "running", "since": 1.0, "steps": [], "error": error, "silence": silence}
        body = json.dumps(state).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None: ...


def test_a_known_cause_is_told_instead_of_the_silence_that_it_makes(refused: Refused) -> None:
    run = refused.home / "run"
    run.mkdir(parents=True)
    with serving(socketserver.UnixStreamServer(str(run / "host.sock"), _Told)):
        done = subprocess.run(
            [COVE, "vm", "status"], env=refused.environ, capture_output=True, text=True, timeout=HANG_S, check=False
        )
    assert done.returncode == 4
    assert [line.split(": ", 1)[-1].strip() for line in done.stdout.splitlines()[:3]] == [
        "not answering", "this machine's disk is full", "Free some space"
    ]  # fmt: skip


def test_settings_that_cannot_be_read_are_named(refused: Refused) -> None:
    refused.home.mkdir(mode=0o700)
    (refused.home / "config.json").write_text('{"vm": ')
    said = refused.start()
    assert said[0].startswith(f"the settings can't be read: {refused.home}/config.json: ")
    assert said[1] == "Mend the file, or move it away: then the defaults hold"


def test_a_forced_accelerator_that_does_not_work_is_refused(refused: Refused, guest_image: Path) -> None:
    """There is no HVF here."""
    refused.home.mkdir(mode=0o700)
    (refused.home / "config.json").write_text(json.dumps({"vm": {"accelerator": "hvf"}}))
    said = refused.start()
    assert said[0].startswith("the accelerator hvf, which the settings ask for, does not work here: QEMU can't use hvf")
    assert said[1] == f"Remove vm.accelerator from {refused.home}/config.json: then the best that works is chosen"


def test_a_disk_that_another_qemu_holds_is_named(refused: Refused, guest_image: Path) -> None:
    (refused.home / "vm").mkdir(parents=True, mode=0o700)
    refused.home.chmod(0o700)
    config = {"vm": {"accelerator": "tcg", "memory_mb": 512, "cpus": 1, "disk_gb": 1}}
    (refused.home / "config.json").write_text(json.dumps(config))
    disk = refused.home / "vm" / "data.qcow2"
    qemu = find_qemu(platform_for("linux"), os.environ, "amd64")
    ensure_disk(qemu, disk, disk.with_name("data.json"), 1)
    drive = f"if=none,format=qcow2,file={disk}"
    holder = [str(qemu.system), "-S", "-display", "none", "-M", "none", "-drive", drive, "-monitor", "stdio"]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()  # its monitor greets: the disk is open
        said = refused.start()
        other.kill()
    assert said[0] == f"another QEMU (process {other.pid}) uses the VM's disk {disk}"
    assert said[1] == f"End it: kill {other.pid}; or choose another COVE_HOME"


PANICS_ONCE = """#!/bin/sh
# QEMU, whose guest finds nothing to start at the first boot
case "$*" in *-pidfile*)
  if [ -e {flag} ]; then
    rm {flag}
    for word; do
      shift
      case $word in *panic=-1*) word="$word rdinit=/none root=/dev/none";; esac
      set -- "$@" "$word"
    done
  fi
esac
exec {qemu} "$@"
"""


@pytest.mark.vm
def test_a_boot_that_ends_with_a_panic_is_tried_once_more(guest_image: Path, tmp_path: Path) -> None:
    qemu = find_qemu(platform_for("linux"), os.environ, host_architecture())
    (tmp_path / "qemu-img").symlink_to(qemu.img)
    wrapper, flag = tmp_path / qemu.system.name, tmp_path / "flag"
    wrapper.write_text(PANICS_ONCE.format(flag=flag, qemu=qemu.system))
    wrapper.chmod(0o755)
    flag.touch()
    vm = Vm()
    vm.environ["COVE_QEMU"] = str(tmp_path)
    try:
        vm.start_agent()
        state = vm.start()
        assert not flag.exists()
        assert (state.state, state.way) == ("running", "cold")
        [dropped] = state.dropped
        assert dropped.startswith("the first boot failed: the VM's kernel panicked: ")
        assert dropped in vm.cove("vm", "status").stdout
        assert [step.name for step in state.steps].count("kernel") == 2
    finally:
        vm.close()


def test_a_lost_disk_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    qemu = find_qemu(platform_for("linux"), os.environ, "amd64")
    disk, made = tmp_path / "data.qcow2", tmp_path / "disk.json"
    assert ensure_disk(qemu, disk, made, 1) == ("made, 1 GB", True)
    assert ensure_disk(qemu, disk, made, 1).is_new, "it was never mounted"
    mark_used(made)
    disk.rename(tmp_path / "elsewhere")
    with pytest.raises(VmError, match=r"the VM's disk is missing: .*data\.qcow2") as e:
        ensure_disk(qemu, disk, made, 1)
    assert "cove vm reset" in e.value.hint
    assert not disk.exists()
    (tmp_path / "elsewhere").rename(disk)
    assert ensure_disk(qemu, disk, made, 1).did.endswith("of 1 GB used")
    made.unlink()
    ensure_disk(qemu, disk, made, 1)
    assert made.exists(), "a home of an earlier version gets its mark"
