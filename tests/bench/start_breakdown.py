"""Where the time of one start goes below the engine: the supervisor's part, and each step of the child before execve.

    sudo .venv/bin/python tests/bench/start_breakdown.py [ROUNDS]

Compiles the plan that the engine would send for `docker run busybox true`, launches it as the supervisor does, and
takes times around the functions of vmagent.runtime that the child runs (the child reports them with its own timings).
This process is larger than the supervisor (40 MB against 12), so its clone3 takes 0.4 ms longer; the child's steps are
the same. Median and smallest, in milliseconds. tests/bench/api_calls.py has the calls of the API around it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.tools import busybox_tar
from vmagent.containers import configure
from vmagent.containers.model import Container, ContainerId, now_ns
from vmagent.containers.spec import StartInputs, build_spec
from vmagent.engine.launching import make_init_layer
from vmagent.runtime import cgroups, launch, rootfs
from vmagent.runtime.plan import compile_plan
from vmagent.runtime.plantypes import Overlay, Plan
from vmagent.runtime.spawn import Report
from vmagent.runtime.spawner import Spawner

PARENT = "/cove-breakdown"
WARM_UP = 3
STEPS: list[tuple[ModuleType, str, str]] = [
    (rootfs, "open_bind_sources", "copies of what is bound in"),
    (rootfs, "enter_root", "the overlay"),
    (rootfs, "mount_all", "mounts: proc, dev, pts, sys, cgroup, mqueue, shm, 3 files"),
    (rootfs, "make_devices", "device nodes and links"),
    (rootfs, "mask", "masked paths"),
    (rootfs, "make_read_only", "read-only paths"),
    (rootfs, "pivot", "pivot_root, the old root detached"),
    (launch, "look_up", "user and groups, by the container's own files"),
]
Laps = dict[str, list[float]]
marks: dict[str, float] = {}


def timed(function: Callable[..., Any], title: str) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            marks[title] = (time.perf_counter() - began) * 1000

    return call


def instrument() -> None:
    """Time the steps; the marks go with the line that the child sends before execve."""
    for module, name, title in STEPS:
        setattr(module, name, timed(getattr(module, name), title))
    cgroup = type(cgroups.tree().at(PARENT))
    cgroup.enter = timed(cgroup.enter, "entering the cgroups")  # type: ignore[method-assign]
    say = Report.say

    def say_more(report: Any, what: dict[str, Any]) -> None:
        say(report, {**what, **marks})

    Report.say = say_more  # type: ignore[assignment,method-assign]


def plan(work: Path, image: Path, number: int, laps: Laps) -> Plan:
    """What the engine sends to the supervisor for one start."""
    folder = work / str(number)
    for name in ("upper", "work", "rootfs", "host"):
        (folder / name).mkdir(parents=True)
    for name in ("hosts", "hostname", "resolv.conf"):
        (folder / "host" / name).write_text("127.0.0.1 localhost\n")
    container_id = f"{number:064x}"
    began = time.perf_counter()
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    asked = configure.complete(body, {"Env": ["PATH=/bin"]}, container_id, api_version=(1, 41))
    completed = time.perf_counter()
    record = Container(
        id=ContainerId(container_id),
        name="x",
        created_ns=now_ns(),
        image_id="sha256:0",
        image_ref="busybox",
        platform="linux",
        argv=asked.argv,
        config=asked.config,
        host_config=asked.host_config,
        endpoints=asked.endpoints,
        mounts=[],
    )
    inputs = StartInputs(
        rootfs=folder / "rootfs",
        host_files=folder / "host",
        cgroup_path=f"{PARENT}/{container_id}",
        own_network=True,
        pid_of={},
    )
    compiled = compile_plan(
        build_spec(record, inputs),
        container_id=container_id,
        cgroup_path=f"{PARENT}/{container_id}",
        overlay=Overlay((str(work / "init"), str(image)), str(folder / "upper"), str(folder / "work")),
        netns_fd=True,
    )
    laps.setdefault("engine: the request completed", []).append((completed - began) * 1000)
    laps.setdefault("engine: specification built, plan compiled", []).append((time.perf_counter() - completed) * 1000)
    return compiled


def start(compiled: Plan, netns_fd: int, spawner: Spawner | None, laps: Laps) -> None:
    """One whole start, until nothing is left of it: by the spawner, or by a fork of this process."""
    began = last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        laps.setdefault(name, []).append((now - last) * 1000)
        last = now

    launched = launch.launch(compiled, netns_fd=netns_fd, spawner=spawner)
    lap("supervisor: cgroups made and limited, clone3")
    launched.go()
    text = b""
    while part := os.read(launched.report_fd, 65536):
        text += part
    lap("the child, until execve is done")
    select.select([launched.pidfd], [], [])
    os.waitid(os.P_PIDFD, launched.pidfd, os.WEXITED)
    lap("`true` runs, exits and is reaped")
    cgroups.tree().at(compiled.cgroup).remove()
    lap("supervisor: cgroups removed")
    laps.setdefault("all of it", []).append((time.perf_counter() - began) * 1000)
    os.close(launched.pidfd)
    os.close(launched.report_fd)
    said = json.loads(text)
    if "error" in said:
        raise SystemExit(said["error"])
    for title, ms in said.items():
        if not title.endswith("_ms"):
            laps.setdefault(f"  child: {title}", []).append(ms)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    instrument()
    laps: Laps = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        image = work / "image"
        image.mkdir()
        subprocess.run(["tar", "-xf", busybox_tar(work / "busybox.tar"), "-C", image], check=True)
        make_init_layer(work / "init")
        netns_fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        launch.prepare()
        plans = [plan(work, image, number, laps) for number in range(rounds + WARM_UP)]
        gc.collect()
        gc.freeze()
        gc.disable()
        spawner = Spawner()
        by_spawner: Laps = {}
        for compiled in plans:
            start(compiled, netns_fd, spawner, by_spawner)
        spawner.close()
        again = [plan(work, image, number, {}) for number in range(len(plans), 2 * len(plans))]
        for compiled in again:
            start(compiled, netns_fd, None, laps)
    for heading, table in (("by the spawner", by_spawner), ("by a fork of the interpreter", laps)):
        print(heading)
        for title, times in table.items():
            kept = times[WARM_UP:]
            print(f"  {title:72}{statistics.median(kept):8.3f} min {min(kept):8.3f}")
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        empty = hierarchy / PARENT[1:]
        if empty.is_dir():
            empty.rmdir()


if __name__ == "__main__":
    main()
