"""One container, made by the spawner and by the Python child: its output and the files that it left, in both cases.

    python -m tests.runtime.alike CGROUP SCRATCH  <cases

A case is a line of JSON, {"spec", "plan": more arguments of `compile_plan`, "lower": the root file system}; the answer
is one too: [outcome by the spawner, outcome by the interpreter]. A process of its own, because the interpreter's child
is a fork that has to be small.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.limits import HANG_S
from vmagent.linux import compact_json
from vmagent.runtime.cgroups import tree
from vmagent.runtime.failure import LaunchError, launch_error
from vmagent.runtime.launch import launch, prepare, receive_master
from vmagent.runtime.plan import compile_plan
from vmagent.runtime.plantypes import Overlay
from vmagent.runtime.spawner import Spawner

LIMIT_S = HANG_S


def outcome(case: dict[str, Any], cgroup: str, folder: Path, spawner: Spawner | None) -> dict[str, Any]:
    """Start the container and wait for its end; its output, status or failure, and the files that were made."""
    for name in ("root", "upper", "work"):
        (folder / name).mkdir(parents=True)
    overlay = Overlay((case["lower"],), str(folder / "upper"), str(folder / "work"))
    spec = json.loads(json.dumps(case["spec"]).replace("@SCRATCH@", str(folder)))
    spec["root"]["path"] = str(folder / "root")
    reader, writer = os.pipe2(os.O_CLOEXEC)
    said: dict[str, Any] = {}
    try:
        plan = compile_plan(spec, container_id="alike", cgroup_path=cgroup, overlay=overlay, **case["plan"])
        launched = launch(plan, stdout_fd=writer, stderr_fd=writer, spawner=spawner, needs_spawner=spawner is not None)
    except LaunchError as e:
        return {"refused": [e.kind, str(e)]}
    finally:
        os.close(writer)
    launched.go()
    output = _read(reader)
    report = _read(launched.report_fd)
    master = -1
    if launched.console_fd >= 0:
        try:
            master = receive_master(launched.console_fd)
        except (EOFError, BlockingIOError):
            said["terminal"] = "none came"
        os.close(launched.console_fd)
    _, status = os.waitpid(launched.pid, 0)
    os.close(launched.pidfd)
    if master >= 0:
        os.close(master)  # not earlier: closing it sends SIGHUP
    for line in report.splitlines():
        words = compact_json.loads(line.decode("utf-8", "surrogateescape"))
        if "error" in words:
            error = launch_error(words)
            said["failure"] = [error.kind, str(error)]
    said["status"] = os.waitstatus_to_exitcode(status)
    said["output"] = output.decode("utf-8", "surrogateescape")
    said["files"] = _files(folder / "upper")
    text = json.dumps(said).replace(str(folder), "@SCRATCH@")
    tree().at(cgroup).remove()
    result: dict[str, Any] = json.loads(text)
    return result


def _read(fd: int) -> bytes:
    parts: list[bytes] = []
    while select.select([fd], [], [], LIMIT_S)[0]:
        if not (part := os.read(fd, 65536)):
            os.close(fd)
            return b"".join(parts)
        parts.append(part)
    raise TimeoutError(f"nothing more came after {parts!r}")


def _files(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        where = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
        found.append(f"{where} {info.st_mode:o} {info.st_uid}:{info.st_gid} {info.st_rdev:x}")
    return found


def main() -> int:
    cgroup, scratch = sys.argv[1], Path(sys.argv[2])
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    prepare()
    spawner = Spawner()
    try:
        for number, line in enumerate(sys.stdin):
            case = json.loads(line)
            outcomes = []
            for name, who in (("spawner", spawner), ("interpreter", None)):
                signal.alarm(int(LIMIT_S))
                folder = scratch / f"{number}-{name}"
                try:
                    outcomes.append(outcome(case, f"{cgroup}/{number}", folder, who))
                except Exception as e:  # noqa: BLE001  (the test says which case it was)
                    outcomes.append({"exception": re.sub(str(scratch), "", repr(e))})
                subprocess.run(["rm", "-rf", str(folder)], check=True)  # deeper than rmtree recurses
            sys.stdout.write(json.dumps(outcomes) + "\n")
            sys.stdout.flush()
    finally:
        spawner.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
