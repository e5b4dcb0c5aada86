"""A power cut: an engine opens a copy of the disk that has only what was flushed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import MountedEngine, NativeEngine, running
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until

NEVER = "commit=3000"  # in seconds: the journal's own commits come long after a wait counts as a hang
IMAGE = "busybox:latest"


def on_disk(disk: Path) -> contextlib.AbstractContextManager[NativeEngine]:
    """An engine whose data root is the file system in `disk`."""
    return running(MountedEngine("data", "-o", f"loop,{NEVER}", disk))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 64 << 20)
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    return path


def flushed(disk: Path, mirror: Path, file: str) -> bytes:
    """The content of `file` that is on the disk now; b"" if it is missing. `mirror` becomes a copy of the disk."""
    shutil.copyfile(disk, mirror)
    place = mirror.with_name("place")
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", f"loop,{NEVER}", mirror, place], check=True)
    try:
        return (place / file).read_bytes() if (place / file).exists() else b""
    finally:
        subprocess.run(["umount", place], check=True)


def test_who_ran_for_a_second_has_exited_after_a_power_cut(disk: Path, tmp_path: Path, busybox_tar: Path) -> None:
    mirror = tmp_path / "mirror"
    with on_disk(disk) as engine:
        engine.docker("import", "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        container_id = engine.docker("run", "-d", "--name", "cut", IMAGE, "sleep", "1000").stdout.strip()
        [told] = json.loads(engine.docker("inspect", "cut").stdout)
        wait_until(lambda: b"running" in flushed(disk, mirror, f"containers/{container_id}/state.json"))
        engine.docker("rm", "-f", "cut")
    with on_disk(mirror) as engine:
        assert engine.docker("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (255) ")
        [found] = json.loads(engine.docker("inspect", "cut").stdout)
        assert found["State"]["StartedAt"] == told["State"]["StartedAt"]
        engine.docker("start", "cut")
        engine.docker("rm", "-f", "cut")


@pytest.mark.parametrize("left", [b"", b"\0" * 100], ids=["empty", "zeros"])
def test_a_state_whose_bytes_were_lost_is_a_run_that_was_lost(own_engine: NativeEngine, left: bytes) -> None:
    """A file that was renamed but not flushed: ext4 leaves it empty, XFS leaves zeros."""
    container_id = own_engine.docker("run", "-d", "--name", "cut", IMAGE, "true").stdout.strip()
    own_engine.docker("wait", "cut")
    assert own_engine.process is not None
    own_engine.process.send_signal(signal.SIGTERM)
    assert own_engine.process.wait(HANG_S) == 0
    (own_engine.root / "data" / "containers" / container_id / "state.json").write_bytes(left)
    own_engine.start()
    assert own_engine.docker("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (255) ")
    assert own_engine.docker("inspect", "-f", "{{.State.StartedAt}}", "cut").stdout[:2] == "20", "about then"
    own_engine.docker("start", "cut")
    assert own_engine.docker("wait", "cut").stdout == "0\n"
