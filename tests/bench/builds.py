"""Builds by buildx and by the classic client, here and by dockerd (BuildKit and classic), side by side in one run.

    sudo .venv/bin/python tests/bench/builds.py [--rounds 3] [--only steps,cached,files,sleep] [--kind tar|dir]

Starts dockerd (Debian trixie's, unpacked beside the system; it needs the system's runc) and an engine of its own, in
namespaces of their own, and does the same with each, round by round: machines are noisy, so trust ratios in one run.
The roots of both are below $TMPDIR (/tmp).
Printed for each: the median of the seconds that the client took, of those that were the server's (tests/bench/turns.py:
each builder is reached through a relay that tells whose turn it was), and of the CPU seconds that the server and its
children took (user and system, of all processes below it and of its cgroups). `--kind dir`: an engine whose layers are
folders, as where the kernel is too old.

steps: ten RUN and COPY steps, none cached. cached: the same again, all cached. files: a context of 20,000 small files,
sent again with one of them changed (`files first` is the first time). sleep: four stages that sleep for a second each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.processors import cpu_seconds
from tests.bench.turns import Turns, watched
from tests.security.peers import dockerd as running_dockerd
from tests.security.peers import own_namespaces
from tests.support.engine import measured_engine
from tests.support.tools import busybox_tar, docker_cli, docker_config, dockerd

FILES = 20_000
IMAGE = "busybox:latest"


@dataclass(frozen=True, slots=True)
class Peer:
    """One builder under measurement. `root` is the process above all of the server's."""

    name: str
    host: str
    by_buildx: bool
    root: int
    turns: Turns

    def docker(self, *args: str | Path) -> None:
        environment = {
            **os.environ,
            "DOCKER_HOST": self.host,
            "DOCKER_BUILDKIT": "1" if self.by_buildx else "0",
            "DOCKER_CONFIG": str(docker_config()),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            "DOCKER_CLI_HINTS": "false",
        }
        done = subprocess.run([docker_cli(), *args], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name}: docker {' '.join(map(str, args))}: {done.stderr[-800:]}")

    def cpu_s(self) -> float:
        """What the server's processes and those of theirs that ended have used so far."""
        return cpu_seconds(self.root)


class Work:
    """The four jobs, with contexts below one folder. Each returns nothing; the caller measures."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rounds: dict[str, int] = {}
        self._steps, self._many, self._sleep = (folder / name for name in ("steps", "many", "sleep"))
        for one in (self._steps, self._many, self._sleep):
            one.mkdir()
        lines = "".join(f"COPY f{n} /f{n}\nRUN cat /f{n} > /g{n}\n" for n in range(5))
        (self._steps / "Dockerfile").write_text(f"FROM {IMAGE}\n{lines}")
        self._change_steps()
        (self._many / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY . /src\n")
        for n in range(FILES):
            path = self._many / f"d{n // 200}" / f"f{n}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"file {n}\n" * 20)

    def steps(self, peer: Peer) -> None:
        self._change_steps()
        self.cached(peer)

    def _change_steps(self) -> None:
        for n in range(5):
            (self._steps / f"f{n}").write_bytes(os.urandom(8))

    def cached(self, peer: Peer) -> None:
        peer.docker("build", "-q", "-t", "bench:steps", self._steps)

    def files(self, peer: Peer) -> None:
        (self._many / "d7" / "f1400").write_bytes(os.urandom(8))
        peer.docker("build", "-q", "-t", "bench:many", self._many)

    def sleep(self, peer: Peer) -> None:
        mark = os.urandom(8).hex()
        stages = "".join(f"FROM {IMAGE} AS s{n}\nRUN sleep 1 && echo {mark} >/f{n}\n" for n in range(4))
        copies = "".join(f"COPY --from=s{n} /f{n} /f{n}\n" for n in range(4))
        (self._sleep / "Dockerfile").write_text(f"{stages}FROM {IMAGE}\n{copies}")
        peer.docker("build", "-q", "-t", "bench:sleep", self._sleep)


Measured = tuple[float, float, float]  # seconds, of these the server's, CPU seconds of the server


def measure(peer: Peer, job: Callable[[Peer], None]) -> Measured:
    peer.turns.begin()
    before, began = peer.cpu_s(), time.perf_counter()
    job(peer)
    took = time.perf_counter() - began
    return took, peer.turns.server_s, peer.cpu_s() - before


@contextmanager
def peers(folder: Path) -> Iterator[list[Peer]]:
    """The four builders, each with the image busybox."""
    tar = busybox_tar(folder / "busybox.tar")
    with ExitStack() as stack:
        theirs, their_turns = stack.enter_context(
            watched(stack.enter_context(running_dockerd(folder, dockerd())), folder / "d.relay")
        )
        engine = stack.enter_context(measured_engine())
        ours, our_turns = stack.enter_context(watched(engine.host, folder / "e.relay"))
        docker_pid = int((folder / "d.pid").read_text())
        assert engine.process is not None
        found = [
            Peer("BuildKit", theirs, by_buildx=True, root=docker_pid, turns=their_turns),
            Peer("Cove, buildx", ours, by_buildx=True, root=engine.process.pid, turns=our_turns),
            Peer("docker classic", theirs, by_buildx=False, root=docker_pid, turns=their_turns),
            Peer("Cove, classic", ours, by_buildx=False, root=engine.process.pid, turns=our_turns),
        ]
        for peer in (found[0], found[1]):
            peer.docker("import", "-c", "ENV PATH=/bin", tar, IMAGE)
        yield found


def run(rounds: int, only: list[str], kind: str) -> None:
    for fetch in (dockerd, docker_cli, docker_config):  # what they download is not reached from the namespaces
        fetch()
    own_namespaces()
    with tempfile.TemporaryDirectory(prefix="cvp-") as made:
        os.environ["COVE_LAYERS"] = kind
        folder = Path(made)
        work = Work(folder)
        with peers(folder) as all_peers:
            for name, by_buildx_only in (("steps", False), ("cached", False), ("files", True), ("sleep", True)):
                if only and name not in only:
                    continue
                those = [peer for peer in all_peers if peer.by_buildx or not by_buildx_only]
                job = getattr(work, name)
                first = {peer.name: measure(peer, job) for peer in those}  # not counted: modules load, caches fill
                times: dict[str, list[Measured]] = {peer.name: [] for peer in those}
                for _ in range(rounds):
                    for peer in those:
                        times[peer.name].append(measure(peer, job))
                if name == "files":
                    show("files first", {key: [value] for key, value in first.items()})
                show(name, times)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(made):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)


def show(title: str, times: dict[str, list[Measured]]) -> None:
    """A line for each peer; for ours also its share of the one of docker's on the same wire."""
    medians = {
        name: [statistics.median(column) for column in zip(*pairs, strict=True)] for name, pairs in times.items()
    }
    for name, (took, server, cpu) in medians.items():
        theirs = medians.get({"Cove, buildx": "BuildKit", "Cove, classic": "docker classic"}.get(name, ""))
        share = f"   {took / theirs[0]:5.2f} of its time, {server / theirs[1]:5.2f} of its server's" if theirs else ""
        if theirs and theirs[2]:  # less than a tick of the clock is counted as nothing
            share += f", {cpu / theirs[2]:5.2f} of its CPU"
        print(f"{title:12} {name:15} {took:7.3f} s  server {server:7.3f} s  CPU {cpu:5.2f} s{share}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--kind", choices=("tar", "dir"), default="tar", help="of the layers that the engine makes")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} at the beginning", flush=True)
    run(options.rounds, [name for name in options.only.split(",") if name], options.kind)
    print(f"load {os.getloadavg()[0]:.1f} at the end", flush=True)


if __name__ == "__main__":
    main()
