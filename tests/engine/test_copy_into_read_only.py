"""docker cp into a container with a read-only root: writable mounts take it, also through links; the rest refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine

IMAGE = "busybox:latest"
ROOT = "container rootfs is marked read-only"
VOLUME = "mounted volume is marked read-only"


@pytest.fixture(scope="module")
def linked(engine: NativeEngine) -> Iterator[str]:
    """An image with links to the places where the tests mount something."""
    script = "mkdir -p /data/ro /host /locked; ln -s /data /link; ln -s ../data /rlink; ln -s /etc /data/out"
    engine.docker("run", "--name", "cvt-linked", IMAGE, "sh", "-c", script)
    engine.docker("commit", "cvt-linked", "linked:1")
    engine.docker("rm", "cvt-linked")
    yield "linked:1"
    engine.docker("rmi", "linked:1")


@pytest.fixture
def name(engine: NativeEngine, linked: str, tmp_path: Path) -> Iterator[str]:
    """A running container with a read-only root, writable and read-only volumes, a bind and a tmpfs."""
    (tmp_path / "host").mkdir()
    (tmp_path / "new").write_text("new")
    mounts = (
        "-v", "cvt-ro-data:/data", "-v", "cvt-ro-inner:/data/ro:ro", "-v", f"{tmp_path}/host:/host",
        "-v", "cvt-ro-locked:/locked:ro", "--tmpfs", "/tmp",
    )  # fmt: skip
    engine.docker("run", "-d", "--name", "cvt-read-only", "--read-only", *mounts, linked, "sleep", "600")
    yield "cvt-read-only"
    engine.docker("rm", "-f", "cvt-read-only")
    engine.docker("volume", "rm", "cvt-ro-data", "cvt-ro-inner", "cvt-ro-locked")


def test_a_writable_mount_takes_what_is_copied_and_the_rest_refuses(
    engine: NativeEngine, name: str, tmp_path: Path
) -> None:
    def copy(to: str) -> str:
        return engine.docker("cp", "-q", str(tmp_path / "new"), f"{name}:{to}", check=False).stderr

    for state in ("running", "stopped"):
        if state == "stopped":
            engine.docker("stop", "-t0", name)
        for to in ("/data/", f"/data/{state}1", "/link/", f"/link/{state}2", "/rlink/", f"/rlink/{state}3", "/host/"):
            assert copy(to) == "", (state, to)
        for to in ("/etc/", "/", "/etc/new", "/data/out/", "/link/out/new"):
            assert ROOT in copy(to), (state, to)
        for to in ("/locked/", "/locked/new", "/data/ro/", "/link/ro/new"):
            assert VOLUME in copy(to), (state, to)
        assert (ROOT in copy("/tmp/")) is (state == "stopped")  # a tmpfs is there as long as the container runs
    engine.docker("start", name)
    listed = engine.docker("exec", name, "ls", "/data", "/host").stdout.split()
    assert listed == [
        "/data:", "new", "out", "ro", *(f"{state}{n}" for state in ("running", "stopped") for n in (1, 2, 3)),
        "/host:", "new",
    ]  # fmt: skip


def test_a_read_only_volume_of_a_writable_root_refuses(engine: NativeEngine, linked: str, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    engine.docker("create", "--name", "cvt-writable", "-v", "cvt-ro-locked:/locked:ro", linked)
    try:
        for to, words in (("/locked/new", VOLUME), ("/etc/new", "")):
            done = engine.docker("cp", "-q", str(tmp_path / "new"), f"cvt-writable:{to}", check=False)
            assert words in done.stderr
            assert done.returncode == bool(words)
    finally:
        engine.docker("rm", "-f", "cvt-writable")
        engine.docker("volume", "rm", "cvt-ro-locked")
