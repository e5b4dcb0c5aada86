"""The helper process that reads and writes a container's files, without an engine."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until
from vmagent.errors import EngineError
from vmagent.helpers.pool import SingleUse

MODULE = "vmagent.containers.fileworker"


class Failed(EngineError):
    """A failure as the worker reports it."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def result(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job. Raises Failed."""
    return asyncio.run(SingleUse(MODULE, Failed).run(job))


def folders(parent: Path, *names: str) -> list[str]:
    for name in names:
        (parent / name).mkdir(parents=True)
    return [str(parent / name) for name in names]


def test_an_image_of_many_layers_is_looked_into(tmp_path: Path) -> None:
    """mount(2) takes one page of options, which 60 layers by their paths exceed."""
    lowers = folders(tmp_path, *(f"{n:064}" for n in range(60)))
    Path(lowers[-1], "deep").write_bytes(b"12345")
    upper, target = folders(tmp_path, "upper", "target")
    root = {"target": target, "lowers": lowers, "upper": upper, "work": "", "writable": False, "mounts": []}
    assert result({"op": "stat", "path": "/deep", "root": root})["stat"]["size"] == 5


def test_a_worker_starts_without_what_takes_long_to_load() -> None:
    """Every copy into a container waits for its start, which is most of the time that `compose watch` takes."""
    slow = {"asyncio", "dataclasses", "inspect", "secrets", "hashlib", "subprocess"}
    code = f"import sys, vmagent.helpers.process, {MODULE}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert not slow & set(done.stdout.split())


def test_a_separator_in_a_path_is_part_of_it(tmp_path: Path) -> None:
    lower, upper, target = folders(tmp_path, "a:b,c", "upper", "target")
    Path(lower, "file").write_bytes(b"123")
    root = {"target": target, "lowers": [lower], "upper": upper, "work": "", "writable": False, "mounts": []}
    assert result({"op": "stat", "path": "/file", "root": root})["stat"]["size"] == 3


def test_a_failure_has_the_status_of_the_reply(tmp_path: Path) -> None:
    lower, upper, target = folders(tmp_path, "lower", "upper", "target")
    root = {"target": target, "lowers": [lower], "upper": upper, "work": "", "writable": False, "mounts": []}
    with pytest.raises(Failed) as missing:
        result({"op": "stat", "path": "/missing", "root": root})
    assert missing.value.kind == "404"
    with pytest.raises(Failed) as broken:
        result({"op": "stat", "path": "/x", "root": {**root, "target": f"{tmp_path}/none"}})
    assert broken.value.kind == "500"


_ENGINE = """
import asyncio, json, sys
from vmagent.errors import EngineError
from vmagent.helpers.pool import SingleUse

async def work():
    async with SingleUse("vmagent.containers.fileworker", lambda text, kind: EngineError(text)).worker() as worker:
        await worker.run(json.loads(sys.argv[2]), [int(sys.argv[1])])

asyncio.run(work())
"""


@pytest.mark.parametrize("is_remapped", [False, True])
def test_a_worker_ends_with_its_engine(tmp_path: Path, *, is_remapped: bool) -> None:
    """Also after it has changed its file-system ids, which clears PR_SET_PDEATHSIG."""
    lower, upper, work, target = folders(tmp_path, "lower", "upper", "work", "target")
    root: dict[str, Any] = {"target": target, "lowers": [lower], "upper": upper, "work": work, "writable": True}
    root |= {"mounts": [], "users": {"uid_map": [[0, 100000, 1000]], "gid_map": [[0, 100000, 1000]]}}
    if not is_remapped:
        del root["users"]
    job = {"op": "put", "path": "/", "root": root, "owner": None, "no_overwrite_dir_non_dir": False}
    reader, writer = os.pipe()  # stays open here: the worker does not see the end of its input
    try:
        arguments = [sys.executable, "-c", _ENGINE, str(reader), json.dumps(job)]
        with subprocess.Popen(arguments, pass_fds=[reader]) as engine:
            try:
                os.write(writer, b"a part of a tar")
                wait_until(lambda: _unread(reader) == 0 or engine.poll() is not None)
                worker = int(Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text())
            finally:
                engine.kill()
        wait_until(lambda: not _is_alive(worker))
    finally:
        os.close(writer)
        os.close(reader)


def _unread(pipe: int) -> int:
    """Bytes in a pipe: FIONREAD."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
