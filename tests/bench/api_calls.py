"""How long the Engine API's calls take, one by one: a container's life, execs, a burst, a log read back.

    sudo .venv/bin/python tests/bench/api_calls.py [--rounds 40] [--peer docker=unix:///run/docker.sock …]

Starts an engine of its own, and does the same with each peer, in turn, round by round: machines are noisy, so trust
ratios in one run. A peer needs the image busybox:latest. Printed are median and smallest, in milliseconds. Three ways
to start are told apart, because each has its own trap (docs/start-breakdown.md): one after the other, after 0.2 s of
quiet (a write to cgroup.procs would wait for RCU then), and while 20 network namespaces are being torn down.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from desktop.client.engine import EngineClient
from desktop.client.http import Endpoint
from tests.support.engine import measured_engine
from tests.support.tools import busybox_tar

IMAGE = "busybox:latest"
QUIET_S = 0.2
LINES = 200_000
Times = dict[str, list[float]]


class Stopwatch:
    """Adds the milliseconds since the last look to the list of `name`."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._times.setdefault(name, []).append((now - self._last) * 1000)
        self._last = now


def make(client: EngineClient, *command: str, network: str = "none") -> str:
    return str(client.create({"Image": IMAGE, "Cmd": list(command), "HostConfig": {"NetworkMode": network}})["Id"])


def life(client: EngineClient, times: Times, network: str) -> None:
    began = time.perf_counter()
    watch = Stopwatch(times)
    container = make(client, "true", network=network)
    watch.lap("  create")
    client.start(container)
    watch.lap("  start")
    client.wait(container)
    watch.lap("  wait")
    client.remove(container, force=True, volumes=True)
    watch.lap("  delete")
    times.setdefault("all four", []).append((time.perf_counter() - began) * 1000)


def after_quiet(client: EngineClient, times: Times) -> None:
    time.sleep(QUIET_S)
    life(client, times, "bridge")


def in_teardown(client: EngineClient, times: Times) -> None:
    """Twenty containers are removed, and their namespaces fall while the next starts."""
    running = [make(client, "sleep", "100", network="bridge") for _ in range(20)]
    for container in running:
        client.start(container)
    for container in running:
        client.remove(container, force=True)
    life(client, times, "bridge")


def execs(client: EngineClient, times: Times) -> None:
    container = make(client, "sleep", "100")
    client.start(container)
    for _ in range(20):
        watch = Stopwatch(times)
        execution = client.exec_create(container, {"Cmd": ["true"]})
        client.exec_start_detached(execution)
        watch.lap("exec running")
        while client.exec_inspect(execution)["Running"]:
            continue
        watch.lap("exec's end seen")
    client.remove(container, force=True)


def attached_execs(client: EngineClient, times: Times) -> None:
    container = make(client, "sleep", "100")
    client.start(container)
    for _ in range(20):
        watch = Stopwatch(times)
        execution = client.exec_create(container, {"Cmd": ["echo", "hi"], "AttachStdout": True, "AttachStderr": True})
        with client.exec_start(execution) as stream:
            while stream.read() is not None:
                continue
        watch.lap("exec's output read")
        assert client.exec_inspect(execution)["ExitCode"] == 0
    client.remove(container, force=True)


def burst(client: EngineClient, times: Times) -> None:
    """50 containers from 8 threads."""

    def start(_: int) -> str:
        with closing(EngineClient(client.endpoint)) as own:
            container = make(own, "sleep", "100", network="bridge")
            own.start(container)
            return container

    def remove(container: str) -> None:
        with closing(EngineClient(client.endpoint)) as own:
            own.remove(container, force=True)

    with ThreadPoolExecutor(8) as threads:
        watch = Stopwatch(times)
        containers = list(threads.map(start, range(50)))
        watch.lap("50 started")
        list(threads.map(remove, containers))
        watch.lap("50 removed")


def log(client: EngineClient, times: Times) -> None:
    watch = Stopwatch(times)
    container = make(client, "seq", str(LINES))
    client.start(container)
    client.wait(container)
    watch.lap(f"{LINES} lines written")
    size = sum(frame.data.count(b"\n") for frame in client.logs(container))
    assert size == LINES, size
    watch.lap("read back")
    client.remove(container)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure only what has this text in its title")
    options = parser.parse_args()
    kinds: dict[str, tuple[Callable[[EngineClient, Times], None], int]] = {
        "life, bridge": (lambda client, times: life(client, times, "bridge"), options.rounds),
        "life, network none": (lambda client, times: life(client, times, "none"), options.rounds),
        f"life, bridge, after {QUIET_S} s of quiet": (after_quiet, options.rounds // 2),
        "life, bridge, while 20 networks go": (in_teardown, options.rounds // 5),
        "execs": (execs, options.rounds // 20),
        "execs, attached": (attached_execs, options.rounds // 20),
        "burst": (burst, options.rounds // 10),
        "log": (log, options.rounds // 10),
    }
    with ExitStack() as stack:
        engine = stack.enter_context(measured_engine())
        tar = busybox_tar(Path(stack.enter_context(tempfile.TemporaryDirectory()), "busybox.tar"))
        engine.docker("import", "-c", "ENV PATH=/bin", str(tar), IMAGE)
        peers = dict(peer.split("=", 1) for peer in options.peer) | {"cove": engine.host}
        clients = {
            name: stack.enter_context(closing(EngineClient(Endpoint.parse(url), timeout_s=120)))
            for name, url in peers.items()
        }
        for title, (work, rounds) in kinds.items():
            if options.only not in title:
                continue
            results: dict[str, Times] = {name: {} for name in clients}
            for number in range(max(2, rounds) + 1):
                for name, client in clients.items():
                    work(client, results[name] if number else {})  # the first warms up
            print(title)
            for step in results["cove"]:
                cells = [
                    f"{name} {statistics.median(times[step]):8.2f} min {min(times[step]):8.2f}"
                    for name, times in results.items()
                ]
                print(f"  {step:24}{'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
