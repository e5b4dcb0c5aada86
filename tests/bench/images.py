"""Images moved by dockerd and by us, with layers kept as tars and as folders, side by side in one run.

    sudo .venv/bin/python tests/bench/images.py [--rounds 5] [--only pull_big,push_big,save_many] [--packages]

Starts dockerd (the system's; with --packages trixie's, unpacked beside it), two engines of ours and a registry in
namespaces of their own, and does the same with each, round by round: machines are noisy, so trust ratios in one run.
Their roots are below $TMPDIR (/tmp). `big` is one layer with a file of 200 MB, `many` are 12 layers of 2,000 files.

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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.images.kit import Entry, MadeImage, tar_of
from tests.security.peers import dockerd as running_dockerd
from tests.security.peers import own_namespaces
from tests.support.engine import native_engine
from tests.support.registry import registry
from tests.support.tools import busybox_tar, docker_cli, dockerd

BIG = 200 << 20
LAYERS, FILES = 12, 2000


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine under measurement."""

    name: str
    host: str

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

    def seconds(self, *args: str | Path) -> float:
        began = time.perf_counter()
        self.docker(*args)
        return time.perf_counter() - began


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
    """The jobs; each returns the seconds that count."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address, self._folder = address, folder
        self._number = itertools.count()

    def jobs(self) -> dict[str, Callable[[Peer], float]]:
        found: dict[str, Callable[[Peer], float]] = {}
        for name in ("big", "many"):
            for verb in (self.pull, self.push, self.save, self.load):
                found[f"{verb.__name__}_{name}"] = lambda peer, verb=verb, name=name: verb(  # type: ignore[misc]
                    peer, f"{self._address}/bench/{name}:latest"
                )
        return {**found, "commit": self.commit}

    def pull(self, peer: Peer, reference: str) -> float:
        """With the removal before it, as both are waited for."""
        peer.docker("pull", "-q", reference)
        began = time.perf_counter()
        peer.docker("rmi", "-f", reference)
        peer.docker("pull", "-q", reference)
        return time.perf_counter() - began

    def push(self, peer: Peer, reference: str) -> float:
        peer.docker("pull", "-q", reference)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder, registry(Path(folder)) as address:
            other = f"{address}/pushed/{next(self._number)}:1"  # nothing is mounted from another repository there
            peer.docker("tag", reference, other)
            took = peer.seconds("push", "-q", other)
            peer.docker("rmi", other)
        return took

    def save(self, peer: Peer, reference: str) -> float:
        peer.docker("pull", "-q", reference)
        return peer.seconds("save", "-o", self._folder / "saved.tar", reference)

    def load(self, peer: Peer, reference: str) -> float:
        self.save(peer, reference)
        peer.docker("rmi", "-f", reference)
        return peer.seconds("load", "-q", "-i", self._folder / "saved.tar")

    def commit(self, peer: Peer) -> float:
        name = f"source-{next(self._number)}"
        peer.docker("run", "--name", name, "busybox:latest", "sh", "-c", f"head -c {BIG} /dev/urandom >/big")
        took = peer.seconds("commit", name, f"{name}:1")
        peer.docker("rm", name)
        peer.docker("rmi", f"{name}:1")
        return took


@contextmanager
def peers(folder: Path, program: str | Path) -> Iterator[list[Peer]]:
    tar = busybox_tar(folder / "busybox.tar")
    with ExitStack() as stack:
        found = [Peer("docker", stack.enter_context(running_dockerd(folder, program)))]
        for kind in ("tar", "dir"):
            os.environ["COVE_LAYERS"] = kind
            found.append(Peer(f"cove {kind}", stack.enter_context(native_engine()).host))
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
            print(
                f"{'seconds':14}"
                + "".join(f"{peer.name:>12}" for peer in all_peers)
                + f"   ratio to {all_peers[0].name}"
            )
            for name, job in work.jobs().items():
                if only and name not in only:
                    continue
                times: dict[str, list[float]] = {peer.name: [] for peer in all_peers}
                for number in range(rounds + 1):
                    for peer in all_peers:
                        took = job(peer)
                        if number:  # the first one is not counted: modules load, caches fill
                            times[peer.name].append(took)
                medians = [statistics.median(taken) for taken in times.values()]
                ratios = "  ".join(f"{median / medians[0]:.3f}" for median in medians[1:])
                print(f"{name:14}" + "".join(f"{median:12.3f}" for median in medians) + f"   {ratios}", flush=True)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(made):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--packages", action="store_true", help="trixie's dockerd instead of the system's")
    wanted = parser.parse_args()
    run(wanted.rounds, [name for name in wanted.only.split(",") if name], with_packages=wanted.packages)


if __name__ == "__main__":
    main()
