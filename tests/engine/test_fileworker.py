"""The process that reads and writes a container's files, by itself: a job on its command line, a report in a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.limits import HANG_S

LIMIT_S = HANG_S


def report(job: dict[str, Any]) -> dict[str, Any]:
    """Run a worker; the first line that it reports."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    with open(read_fd, "rb") as pipe:
        try:
            subprocess.run(
                [sys.executable, "-P", "-m", "vmagent.containers.fileworker", str(write_fd), json.dumps(job)],
                pass_fds=(write_fd,),
                stdin=subprocess.DEVNULL,
                timeout=LIMIT_S,
                check=False,
            )
        finally:
            os.close(write_fd)
        told: dict[str, Any] = json.loads(pipe.readline())
    return told


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
    assert report({"op": "stat", "path": "/deep", "root": root})["stat"]["size"] == 5


def test_a_separator_in_a_path_is_part_of_it(tmp_path: Path) -> None:
    lower, upper, target = folders(tmp_path, "a:b,c", "upper", "target")
    Path(lower, "file").write_bytes(b"123")
    root = {"target": target, "lowers": [lower], "upper": upper, "work": "", "writable": False, "mounts": []}
    assert report({"op": "stat", "path": "/file", "root": root})["stat"]["size"] == 3
