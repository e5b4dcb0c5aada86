"""Builds that end in the middle: the client leaves, the engine is killed, the disk is full."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import MountedEngine, NativeEngine
from tests.support.tools import docker_cli
from tests.support.waiting import wait_until

DOCKERFILE = "FROM busybox\nRUN echo first > /first\nRUN --mount=type=cache,target=/c echo begun; sleep 1000\n"


def _begin(engine: NativeEngine, folder: Path) -> subprocess.Popen[str]:
    """Start a build, and wait until its second command runs."""
    (folder / "Dockerfile").write_text(DOCKERFILE)
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_BUILDKIT": "0"}
    process = subprocess.Popen(
        [docker_cli(), "build", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "begun\n":
            return process
    raise AssertionError("the command did not run")


def leftovers(engine: NativeEngine) -> list[str]:
    """What a build may have left: folders, processes in cgroups, files in memory."""
    data, run = engine.root / "data", engine.root / "exec"
    found = [str(path) for path in (data / "ingest").iterdir()]
    found += [str(path) for path in (run / "builds").iterdir()]
    found += [str(path) for path in (run / "containers").iterdir() if path.name.endswith("-step")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob("*/cove/*-step")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob("cove/*-step")]
    return found


def test_a_client_that_leaves_ends_the_command(own_engine: NativeEngine, tmp_path: Path) -> None:
    with _begin(own_engine, tmp_path) as process:
        assert leftovers(own_engine)
        process.kill()
    wait_until(lambda: not leftovers(own_engine))


def test_the_build_after_a_kill_of_the_engine_goes_on_from_the_cache(
    own_engine: NativeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    with _begin(own_engine, tmp_path) as process:
        os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
        process.wait()
    own_engine.wait_until_answering()
    wait_until(lambda: not leftovers(own_engine))
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("sleep 1000", "cat /first"))
    done = own_engine.docker("build", "-t", "again", str(tmp_path))
    assert done.stdout.count("Using cache") == 1
    assert "first" in done.stdout.splitlines()


def test_a_full_disk_fails_the_step_and_the_next_build_works(
    busybox_tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    engine = MountedEngine("data", "-t", "tmpfs", "-o", "size=24m", "tmpfs")
    try:
        engine.start()
        engine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), "busybox:latest")
        dockerfile = tmp_path / "Dockerfile"
        dockerfile.write_text("FROM busybox\nRUN echo first\nRUN dd if=/dev/zero of=/big bs=1M count=40\n")
        done = engine.docker("build", str(tmp_path), check=False)
        assert "returned a non-zero code: 1" in done.stderr
        (tmp_path / "large").write_bytes(bytes(40 << 20))
        done = engine.docker("build", str(tmp_path), check=False)
        assert done.returncode == 1
        assert "no space left on device" in done.stderr.lower()
        (tmp_path / "large").unlink()
        wait_until(lambda: not leftovers(engine))
        dockerfile.write_text("FROM busybox\nRUN echo first\nRUN echo second > /small\n")
        done = engine.docker("build", str(tmp_path))
        assert done.stdout.count("Using cache") == 1
    finally:
        engine.stop()
