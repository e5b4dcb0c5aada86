"""How long it takes from the save of a file until its new content is in a container that `compose watch` syncs.

    sudo .venv/bin/python tests/bench/watch.py [--saves 50]

Starts an engine of its own in namespaces of their own, and `cove compose watch` on a project with one service. Saves
are made as editors make them: every other one writes the file in place, the others write another file and rename it.
The content is read through the container's root folder, as /proc has it, every half millisecond. Printed: median, 99th
percentile and worst in milliseconds, and the machine's load.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.security.peers import own_namespaces
from tests.support.engine import NativeEngine, measured_engine
from tests.support.limits import HANG_S
from tests.support.tools import busybox_tar, docker_cli

PROJECT = """\
name: watchbench
services:
  web:
    image: busybox
    command: [sh, -c, 'mkdir -p /app; exec sleep 100000']
    init: true
    develop: {watch: [{path: ./src, action: sync, target: /app}]}
"""


def wait_for(file: Path, content: str) -> float:
    """The moment at which `file` has `content`. Raises TimeoutError."""
    end = time.monotonic() + HANG_S
    while time.monotonic() < end:
        try:
            if file.read_text() == content:
                return time.monotonic()
        except FileNotFoundError:
            pass
        time.sleep(0.0005)
    raise TimeoutError(f"{file} does not get {content!r}")


def delays(engine: NativeEngine, folder: Path, saves: int) -> list[float]:
    """Milliseconds of each save."""
    program, environment = Path(sys.executable).with_name("cove"), {**os.environ, "COVE_HOST": engine.host}
    subprocess.run([program, "compose", "up", "-d"], cwd=folder, env=environment, check=True, capture_output=True)
    with engine.client() as client:
        root = Path(f"/proc/{client.inspect('watchbench-web-1')['State']['Pid']}/root/app")
    file, found = folder / "src" / "file", []
    with subprocess.Popen(
        [program, "compose", "watch", "--no-up"], cwd=folder, env=environment, stdout=-3, stderr=-3
    ) as watching:
        try:
            for number in range(-3, saves):  # the first ones wait for the watch itself
                text = f"save {number}\n"
                time.sleep(1 if number < 0 else random.uniform(0.2, 0.6))
                if number == -3:
                    first = time.monotonic()
                    while time.monotonic() < first + HANG_S and not (root / "file").exists():
                        file.write_text(text)
                        time.sleep(0.5)
                    continue
                began = time.monotonic()
                if number % 2:
                    file.write_text(text)
                else:
                    other = folder / "src" / ".file.swp"
                    other.write_text(text)
                    other.rename(file)
                took = wait_for(root / "file", text) - began
                if number >= 0:
                    found.append(took * 1000)
        finally:
            watching.send_signal(signal.SIGINT)
            watching.wait(HANG_S)
    subprocess.run(
        [program, "compose", "down", "-t", "0"], cwd=folder, env=environment, check=True, capture_output=True
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=50)
    chosen = parser.parse_args()
    docker_cli()  # what it downloads is not reached from the namespaces
    own_namespaces()
    with tempfile.TemporaryDirectory(prefix="cvb-") as name, measured_engine() as engine:
        folder = Path(name)
        (folder / "src").mkdir()
        (folder / "compose.yaml").write_text(PROJECT)
        with busybox_tar(folder / "busybox.tar").open("rb") as tar:
            words: list[str | Path] = [docker_cli(), "-H", engine.host, "import", "-c", "ENV PATH=/bin", "-", "busybox"]
            subprocess.run(words, stdin=tar, check=True, capture_output=True)
        found = sorted(delays(engine, folder, chosen.saves))
        p99 = found[min(len(found) - 1, int(len(found) * 0.99))]
        print(f"{len(found)} saves, milliseconds until the container has it")
        print(f"median {statistics.median(found):.0f}, p99 {p99:.0f}, worst {found[-1]:.0f}")
        print("load averages at the end: " + " ".join(f"{one:.1f}" for one in os.getloadavg()))


if __name__ == "__main__":
    main()
