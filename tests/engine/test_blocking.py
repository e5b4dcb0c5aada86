"""Blocking calls on the engine's loop: the detector finds them, in every engine that a test starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.blocking import BlockingReport
from tests.support.engine import NativeEngine
from vmagent.blocking import ENVIRONMENT
from vmagent.linux.mounts import TMPFS_MAGIC, filesystem_type

PROGRAM = """
import asyncio, fcntl, os, sys, time
from vmagent.blocking import watch_if_asked

def reads(path):
    with open(path, "rb", buffering=0) as file:
        os.pread(file.fileno(), 10, 0)

def flushes(fd):
    os.fsync(fd)

def waits_for_a_lock(fd):
    fcntl.flock(fd, fcntl.LOCK_EX)

async def main(path, memory):
    watch_if_asked()
    fd = await asyncio.to_thread(os.open, path, os.O_RDONLY)
    await asyncio.to_thread(os.pread, fd, 10, 0)  # so that it is cached
    os.preadv(fd, [bytearray(10)], 0, os.RWF_NOWAIT)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    await asyncio.to_thread(reads, path)
    await asyncio.to_thread(time.sleep, 0)
    reads("/proc/self/stat")
    os.stat(memory)
    with open(memory, "w") as file:
        file.write("x")
        file.flush()
        os.fsync(file.fileno())
    await asyncio.sleep(0)
    os.stat(path)
    reads(path)
    flushes(fd)
    waits_for_a_lock(fd)
    time.sleep(0)
    os.listdir(os.path.dirname(path))
    for _ in range(2):
        os.listdir(os.path.dirname(path))

asyncio.run(main(*sys.argv[1:]))
"""


def findings(tmp_path: Path) -> BlockingReport:
    """The findings for PROGRAM, which reads this file."""
    with open(__file__, "rb") as file:
        if filesystem_type(file.fileno()) == TMPFS_MAGIC:
            pytest.skip("the repository lies in memory")
    report = tmp_path / "report"
    memory = Path(f"/dev/shm/cove-test-{os.getpid()}")
    memory.touch()
    try:
        subprocess.run(
            [sys.executable, "-c", PROGRAM, __file__, memory],
            env={**os.environ, ENVIRONMENT: str(report)},
            check=True,
            timeout=120,
        )
    finally:
        memory.unlink()
    return BlockingReport(report)


def test_calls_that_may_wait_are_found_and_others_are_not(tmp_path: Path) -> None:
    report = findings(tmp_path)
    found = report.findings()
    assert [finding.split()[0] for finding in found] == [
        "os.stat", "open", "os.pread", "os.fsync", "fcntl.flock", "time.sleep", "os.listdir", "os.listdir",
    ]  # fmt: skip
    assert all(__file__ in finding for finding in found[:5])
    assert "reads" in found[1].splitlines()[-1]
    assert report.findings() == []


def test_a_finding_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"(?s)blocking calls on the engine's loop:.*os\.fsync .*flushes"):
        findings(tmp_path).check()


def test_every_engine_is_watched(own_engine: NativeEngine) -> None:
    before = own_engine.pid_of("cove-engine")
    assert own_engine in NativeEngine.started
    assert own_engine.blocking.path.exists()
    environment = Path(f"/proc/{before}/environ").read_bytes().split(b"\0")
    assert f"{ENVIRONMENT}={own_engine.blocking.path}".encode() in environment
