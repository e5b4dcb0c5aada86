"""Images moved by dockerd and by us, with layers kept as tars and as folders, side by side in one run.

    sudo .venv/bin/python tests/bench/images.py [--rounds 5] [--only pull_big,push_big,save_many] [--packages]

Starts dockerd (the system's; with --packages trixie's, unpacked beside it), two engines of ours and a registry in
namespaces of their own, and does the same with each, round by round: machines are noisy, so trust ratios in one run,
and on a busy one the processor seconds of each server. Their roots are below $TMPDIR (/tmp). `big` is one layer with
a file of 200 MB, `many` are 12 layers of 2,000 files.

pull: of an image that is removed first. push: of a pulled image to a new registry. save: to a file. load: of what was
saved, just removed. commit: of a container that has written the file of 200 MB.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.processors import cpu_seconds
from tests.images.kit import Entry, MadeImage, tar_of
from tests.security.peers import dockerd as running_dockerd
from tests.security.peers import own_namespaces
from tests.support.engine import measured_engine
from tests.support.registry import registry
from tests.support.tools import busybox_tar, docker_cli, dockerd

BIG = 200 << 20
LAYERS, FILES = 12, 2000


class Measured(NamedTuple):
    """Seconds of the clock, and of the server's processors."""

    took: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine under measurement."""

    name: str
    host: str
    root: int  # the process above all of the server's

    def docker(self, *args: str | Path) -> None:
        done = subprocess.run(
            [docker_cli(), *args],
            env={**os.environ, "DOCKER_HOST": self.host, "DOCKER_CLI_HINTS": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: docker {' '.join(map(str, args))}: {done.stderr[-800:]}")

    def measured(self, *commands: Sequence[str | Path]) -> Measured:
        before, began = cpu_seconds(self.root), time.perf_counter()
        for command in commands:
            self.docker(*command)
        return Measured(time.perf_counter() - began, cpu_seconds(self.root) - before)


def _text(chance: random.Random, words: list[bytes], size: int) -> bytes:
    """Bytes that compress to about the half."""
    count = -(-size // 72)
    return b"".join(part for word in chance.choices(words, k=count) for part in (word, chance.randbytes(24)))[:size]


def _images(address: str) -> None:
    chance = random.Random(7)
    words = [chance.randbytes(48) for _ in range(4096)]

    def packed(data: bytes) -> bytes:
        return gzip.compress(data, 6, mtime=0)

    MadeImage(tar_of(Entry("data.bin", _text(chance, words, BIG))), pack=packed).put(address, "bench/big", "latest")
    layers = [
        tar_of(
            *(
                Entry(f"usr/lib/l{n}/d{i % 40}/f{i}.py", _text(chance, words, 2000 + i * 37 % 6000))
                for i in range(FILES)
            )
        )
        for n in range(LAYERS)
    ]
    MadeImage(*layers, pack=packed).put(address, "bench/many", "latest")


class Work:
    """The jobs; each returns what its part that counts has taken."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address, self._folder = address, folder
        self._number = itertools.count()

    def jobs(self) -> dict[str, Callable[[Peer], Measured]]:
        found: dict[str, Callable[[Peer], Measured]] = {}
        for name in ("big", "many"):
            for verb in (self.pull, self.push, self.save, self.load):
                found[f"{verb.__name__}_{name}"] = lambda peer, verb=verb, name=name: verb(  # type: ignore[misc]
                    peer, f"{self._address}/bench/{name}:latest"
                )
        return {**found, "commit": self.commit}

    def pull(self, peer: Peer, reference: str) -> Measured:
        """With the removal before it, as both are waited for."""
        peer.docker("pull", "-q", reference)
        return peer.measured(("rmi", "-f", reference), ("pull", "-q", reference))

    def push(self, peer: Peer, reference: str) -> Measured:
        peer.docker("pull", "-q", reference)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder, registry(Path(folder)) as address:
            other = f"{address}/pushed/{next(self._number)}:1"  # nothing is mounted from another repository there
            peer.docker("tag", reference, other)
            took = peer.measured(("push", "-q", other))
            peer.docker("rmi", other)
        return took

    def save(self, peer: Peer, reference: str) -> Measured:
        peer.docker("pull", "-q", reference)
        return peer.measured(("save", "-o", self._folder / "saved.tar", reference))

    def load(self, peer: Peer, reference: str) -> Measured:
        self.save(peer, reference)
        peer.docker("rmi", "-f", reference)
        return peer.measured(("load", "-q", "-i", self._folder / "saved.tar"))

    def commit(self, peer: Peer) -> Measured:
        name = f"source-{next(self._number)}"
        peer.docker("run", "--name", name, "busybox:latest", "sh", "-c", f"head -c {BIG} /dev/urandom >/big")
        took = peer.measured(("commit", name, f"{name}:1"))
        peer.docker("rm", name)
        peer.docker("rmi", f"{name}:1")
        return took


@contextmanager
def peers(folder: Path, program: str | Path) -> Iterator[list[Peer]]:
    tar = busybox_tar(folder / "busybox.tar")
    with ExitStack() as stack:
        host = stack.enter_context(running_dockerd(folder, program))
        found = [Peer("docker", host, int((folder / "d.pid").read_text()))]
        for kind in ("tar", "dir"):
            os.environ["COVE_LAYERS"] = kind
            engine = stack.enter_context(measured_engine())
            assert engine.process is not None
            found.append(Peer(f"cove {kind}", engine.host, engine.process.pid))
        for peer in found:
            peer.docker("import", "-c", "ENV PATH=/bin", tar, "busybox:latest")
        yield found


def run(rounds: int, only: list[str], *, with_packages: bool) -> None:
    docker_cli()  # what is downloaded is not reached from the namespaces
    program = dockerd() if with_packages else "dockerd"
    own_namespaces()
    with tempfile.TemporaryDirectory(prefix="cvp-") as made, registry(Path(made)) as address:
        _images(address)
        work = Work(address, Path(made))
        with peers(Path(made), program) as all_peers:
            print(" " * 12 + "".join(f"{peer.name:>20}" for peer in all_peers) + f"   ratios to {all_peers[0].name}")
            for name, job in work.jobs().items():
                if only and name not in only:
                    continue
                found: dict[str, list[Measured]] = {peer.name: [] for peer in all_peers}
                for number in range(rounds + 1):
                    for peer in all_peers:
                        measured = job(peer)
                        if number:  # the first one is not counted: modules load, caches fill
                            found[peer.name].append(measured)
                show(name, [Measured(*map(statistics.median, zip(*each, strict=True))) for each in found.values()])
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(made):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)


def show(name: str, medians: list[Measured]) -> None:
    first, *others = medians
    cells = "".join(f"{one.took:9.3f} ({one.cpu:5.2f} CPU)" for one in medians)
    ratios = "  ".join(f"{one.took / first.took:.3f} ({one.cpu / max(first.cpu, 0.01):.3f})" for one in others)
    print(f"{name:12}{cells}   {ratios}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--packages", action="store_true", help="trixie's dockerd instead of the system's")
    wanted = parser.parse_args()
    run(wanted.rounds, [name for name in wanted.only.split(",") if name], with_packages=wanted.packages)


if __name__ == "__main__":
    main()
