"""A project of 30 services: up, up without a change, and down, by `cove compose` and docker compose, side by side.

    sudo .venv/bin/python tests/bench/compose.py [--rounds 3] [--services 30]

Starts dockerd (Debian trixie's, unpacked beside the system; it needs the system's runc) and an engine of its own in
namespaces of their own. Each client does the same with each engine that it is measured on, round by round: machines are
noisy, so trust ratios in one run. Printed: the median of the seconds that each command took, and the machine's load.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.security.peers import dockerd as running_dockerd
from tests.security.peers import own_namespaces
from tests.support.engine import measured_engine
from tests.support.tools import busybox_tar, docker_cli, docker_config, dockerd

IMAGE = "busybox:latest"
STEPS = (("up", ("up", "-d")), ("no-change up", ("up", "-d")), ("down", ("down", "-t", "0")))


@dataclass(frozen=True, slots=True)
class Peer:
    """One client with one engine."""

    name: str
    host: str
    program: Path

    def compose(self, folder: Path, *args: str) -> float:
        """The seconds that the command took. Raises RuntimeError."""
        environment = {
            **os.environ,
            "DOCKER_HOST": self.host,
            "COVE_HOST": self.host,
            "DOCKER_CONFIG": str(docker_config()),
            "DOCKER_CLI_HINTS": "false",
        }
        words: list[str | Path] = [self.program, "compose", *args]
        began = time.monotonic()
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(args)}: {done.stderr[-800:]}")
        return took


def project_text(services: int) -> str:
    """Services in three layers: each depends on one of the layer below."""
    lines = ["name: benchmark", "services:"]
    for number in range(services):
        below = number - services // 3
        depends = f", depends_on: [s{below}]" if below >= 0 else ""
        lines.append(f"  s{number}: {{image: {IMAGE}, command: sleep 1000, init: true{depends}}}")
    return "\n".join(lines) + "\n"


def measure(peers: list[Peer], folder: Path, rounds: int) -> None:
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for peer in peers:
            for step, words in STEPS:
                times.setdefault((peer.name, step), []).append(peer.compose(folder, *words))
    print(f"{'seconds, median of ' + str(rounds):32}" + "".join(f"{step:>14}" for step, _ in STEPS))
    for peer in peers:
        row = "".join(f"{statistics.median(times[peer.name, step]):14.2f}" for step, _ in STEPS)
        print(f"{peer.name:32}{row}")
    print("load averages at the end: " + " ".join(f"{one:.1f}" for one in os.getloadavg()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--services", type=int, default=30)
    chosen = parser.parse_args()
    for fetch in (dockerd, docker_cli, docker_config):  # what they download is not reached from the namespaces
        fetch()
    own_namespaces()
    with tempfile.TemporaryDirectory(prefix="cvb-") as name:
        folder = Path(name)
        (folder / "compose.yaml").write_text(project_text(chosen.services))
        tar = busybox_tar(folder / "busybox.tar")
        cove = Path(sys.executable).with_name("cove")
        with running_dockerd(folder, dockerd()) as docker_host, measured_engine() as engine:
            for host in (docker_host, engine.host):
                words: list[str | Path] = [
                    docker_cli(),
                    "-H",
                    host,
                    "import",
                    "-c",
                    'CMD ["sh"]',
                    "-c",
                    "ENV PATH=/bin",
                    tar,
                    IMAGE,
                ]
                subprocess.run(words, check=True, capture_output=True)
            peers = [
                Peer("cove compose on cove", engine.host, cove),
                Peer("docker compose on cove", engine.host, docker_cli()),
                Peer("docker compose on dockerd", docker_host, docker_cli()),
                Peer("cove compose on dockerd", docker_host, cove),
            ]
            measure(peers, folder, chosen.rounds)


if __name__ == "__main__":
    main()
