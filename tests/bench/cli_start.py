"""How long commands take from process start to exit: docker's client, `cove` with a warm server, and started plainly.

    .venv/bin/python -m tests.bench.cli_start [ROUNDS]

One engine serves all, in turn; medians and the fastest. A program, not a test: a test of a time fails on a busy
machine. What the plain start imports is held by tests/cli/test_start.py.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.engine import measured_engine
from tests.support.tools import busybox_tar, docker_cli

ROUNDS = 20
VERBS = (("version",), ("ps",), ("run", "--rm", "busybox", "true"), ("exec", "idle", "true"))


def measure(command: list[str], environment: dict[str, str]) -> float:
    """Milliseconds. Raises CalledProcessError."""
    began = time.perf_counter()
    subprocess.run(command, env=environment, capture_output=True, check=True)
    return (time.perf_counter() - began) * 1000


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    cove = str(Path(sys.executable).with_name("cove"))
    with tempfile.TemporaryDirectory() as folder, measured_engine() as engine:
        tar = Path(folder) / "busybox.tar"
        busybox_tar(tar)
        engine.docker("import", "-c", "ENV PATH=/bin", str(tar), "busybox")
        engine.docker("run", "-d", "--name", "idle", "busybox", "sleep", "100000")
        environment = {**os.environ, "DOCKER_HOST": engine.host, "COVE_HOST": engine.host}
        peers = {
            "docker": (str(docker_cli()), environment),
            "cove": (cove, environment | {"COVE_WARM": "1"}),
            "cove, plain": (cove, environment | {"COVE_WARM": "0"}),
        }
        measure([cove, "version"], peers["cove"][1])
        time.sleep(2)  # the server loads
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {rounds} rounds; median (fastest), ms")
        print(f"{'':12}" + "".join(f"{name:>20}" for name in peers) + f"{'cove/docker':>14}")
        for verb in VERBS:
            times: dict[str, list[float]] = {name: [] for name in peers}
            for _ in range(rounds):
                for name, (program, variables) in peers.items():
                    times[name].append(measure([program, *verb], variables))
            medians = {name: statistics.median(found) for name, found in times.items()}
            cells = [f"{medians[name]:.1f} ({min(found):.1f})" for name, found in times.items()]
            ratio = medians["cove"] / medians["docker"]
            print(f"{verb[0]:12}" + "".join(f"{cell:>20}" for cell in cells) + f"{ratio:>14.2f}")
        print(f"load {os.getloadavg()[0]:.1f}")
        engine.docker("rm", "-f", "idle")
    return 0


if __name__ == "__main__":
    sys.exit(main())
