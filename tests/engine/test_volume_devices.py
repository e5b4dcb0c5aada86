"""Volumes of the local driver with a file system of their own: options type, device and o."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until
from vmagent.errors import BadRequest
from vmagent.linux import mounts
from vmagent.volumes.devices import Device, check_options, device_of


def make(engine: NativeEngine, name: str) -> None:
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=5m,uid=1000,noexec")
    engine.docker("volume", "create", *options, name)


def mounted(engine: NativeEngine, name: str) -> bool:
    folder = engine.docker("volume", "inspect", "-f", "{{.Mountpoint}}", name).stdout.strip()
    return os.path.ismount(folder)


@pytest.fixture
def shared(engine: NativeEngine) -> Iterator[str]:
    make(engine, "shared")
    yield "shared"
    engine.docker("rm", "-f", "one", "two", check=False)
    engine.docker("volume", "rm", "shared")


def test_it_is_mounted_for_all_that_run_and_unmounted_after_the_last(engine: NativeEngine, shared: str) -> None:
    for name in ("one", "two"):
        engine.docker("run", "-d", "--name", name, "-v", f"{shared}:/data", "busybox", "sleep", "600")
    shown = engine.docker("exec", "one", "grep", " /data ", "/proc/mounts").stdout
    assert shown.startswith("tmpfs /data tmpfs ")
    assert "noexec" in shown
    assert "size=5120k" in shown
    engine.docker("exec", "one", "sh", "-c", "echo text >/data/file")
    assert engine.docker("exec", "two", "cat", "/data/file").stdout == "text\n"
    refused = engine.docker("volume", "rm", shared, check=False).stderr
    assert "volume is in use" in refused
    engine.docker("rm", "-f", "one")
    assert engine.docker("exec", "two", "cat", "/data/file").stdout == "text\n"
    assert mounted(engine, shared)
    engine.docker("rm", "-f", "two")
    assert not mounted(engine, shared)


def test_what_is_copied_to_a_volume_that_is_not_mounted_is_refused(
    engine: NativeEngine, shared: str, tmp_path: Path
) -> None:
    (tmp_path / "new").write_text("new")
    engine.docker("create", "--name", "one", "-v", f"{shared}:/data", "busybox", "sleep", "600")
    refused = engine.docker("cp", str(tmp_path / "new"), "one:/data/", check=False).stderr
    assert "mounted volume is marked read-only" in refused
    engine.docker("start", "one")
    engine.docker("cp", str(tmp_path / "new"), "one:/data/")
    assert engine.docker("exec", "one", "cat", "/data/new").stdout == "new"


def test_a_mount_that_fails_is_told_and_leaves_nothing(engine: NativeEngine) -> None:
    engine.docker("volume", "create", "-o", "type=nosuchfs", "-o", "device=x", "-o", "o=a=b", "wrong")
    try:
        done = engine.docker("run", "--name", "one", "-v", "wrong:/data", "busybox", "true", check=False)
        assert "failed to mount local volume: mount x:" in done.stderr
        assert "data: a=b: no such device" in done.stderr
    finally:
        engine.docker("rm", "-f", "one", check=False)
        engine.docker("volume", "rm", "wrong")


def test_the_next_engine_knows_who_uses_it(own_engine: NativeEngine) -> None:
    make(own_engine, "kept")
    make(own_engine, "left")
    own_engine.docker("run", "-d", "--name", "one", "-v", "kept:/data", "busybox", "sleep", "600")
    own_engine.docker("run", "-d", "--name", "two", "-v", "left:/data", "busybox", "sleep", "600")
    ended = own_engine.docker("inspect", "-f", "{{.State.Pid}}", "two").stdout
    os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
    os.kill(int(ended), signal.SIGKILL)
    own_engine.wait_until_answering()
    wait_until(lambda: not mounted(own_engine, "left"))
    assert mounted(own_engine, "kept")
    own_engine.docker("rm", "-f", "one")
    assert not mounted(own_engine, "kept")


def test_mounts_and_unmounts_are_events(engine: NativeEngine, shared: str) -> None:
    engine.docker("run", "--name", "one", "-v", f"{shared}:/data:ro", "busybox", "true")
    shown = '{{.Action}} {{index .Actor.Attributes "destination"}} {{index .Actor.Attributes "read/write"}}'

    def events() -> list[str]:
        wanted = ("--since", "1", "--until", str(time.time()), "--filter", f"volume={shared}")
        return [line.strip() for line in engine.docker("events", *wanted, "--format", shown).stdout.splitlines()]

    wait_until(lambda: "unmount" in events())  # a client that waits is answered before the clean-up
    assert events()[-2:] == ["mount /data false", "unmount"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "tmpfs"}, 'missing required option: "type"'),
        ({"o": "size=1m"}, 'missing required option: "device"'),
        ({"type": "none", "device": "x"}, 'type=none needs "bind"'),
        ({"o": "bind", "device": "relative"}, "an absolute path as device"),
        ({"size": "1m"}, 'invalid option: "size"'),
    ],
)
def test_incomplete_options_are_refused(options: dict[str, str], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        check_options("v", options)


def test_words_of_o_are_flags_or_the_file_systems_own() -> None:
    given = {"type": "nfs", "device": ":/export", "o": "addr=localhost,ro,soft,suid,nosuid,,nolock"}
    check_options("v", given)
    flags = mounts.MS_RDONLY | mounts.MS_NOSUID
    assert device_of(given) == Device("nfs", ":/export", flags, "addr=localhost,soft,nolock")
    assert device_of({"type": "none", "o": "bind,ro", "device": "/x"}) is None
