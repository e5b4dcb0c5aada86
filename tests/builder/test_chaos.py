"""Builds that meet a SIGKILL of the engine, or a full disk, at a random moment.

Afterwards the store is whole, nothing of the build is left, and the next build continues after the steps that had
ended. COVE_CHAOS sets the number of kills, and two fifths of it is the number of full disks (50 kills and 20 full disks
take some 10 minutes); the default is lower, to keep the suite short.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.builder.test_cut_short import leftovers
from tests.support import storecheck
from tests.support.engine import MountedEngine, NativeEngine
from tests.support.tools import docker_cli, docker_config
from tests.support.waiting import wait_until

KILLS = int(os.environ.get("COVE_CHAOS", "5"))
FULL_DISKS = max(3, KILLS * 2 // 5) if "COVE_CHAOS" in os.environ else 3
pytestmark = pytest.mark.timeout(max(900, 60 * KILLS))
DISK_BYTES = 256 << 20  # a tenth of it has room for a build's cache, so that the cache's limit removes nothing
WRITTEN_BYTES = 3 << 20  # by a build, in each of its larger parts
DOCKERFILE = """\
FROM busybox AS side
RUN echo {n} >/side && dd if=/dev/zero of=/zero bs=64k count=48
FROM busybox
COPY data /data
RUN echo {n} >/one; for i in 1 2 3 4 5 6 7 8; do echo line $i; done
WORKDIR /w{n}
RUN --mount=type=cache,target=/c cp /data /c/data && cp /data /two
COPY --from=side /side /zero /from/
RUN ln /two /three && rm /one && echo {n} >/four
LABEL n={n}
"""
_STEP = re.compile(r"^#(\d+) (\[(?:side|stage-1) \d/\d\] (?!FROM).*)$")
_END = re.compile(r"^#(\d+) (DONE|CACHED)")


@dataclass
class Output:
    """What a build has said: the steps that ended, and those that came from the cache."""

    done: set[str] = field(default_factory=set)
    cached: set[str] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)

    def add(self, line: str) -> None:
        if found := _STEP.match(line):
            self._names[found[1]] = found[2]
        elif (found := _END.match(line)) and found[1] in self._names:
            (self.done if found[2] == "DONE" else self.cached).add(self._names[found[1]])


class Building:
    """Builds of one engine, each of other content but for the first steps."""

    def __init__(self, engine: NativeEngine, folder: Path) -> None:
        self._engine, self._folder = engine, folder

    def prepare(self, number: int) -> None:
        (self._folder / "Dockerfile").write_text(DOCKERFILE.format(n=number))
        (self._folder / "data").write_bytes(number.to_bytes(4, "big") * (WRITTEN_BYTES // 4))

    def start(self, number: int) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "DOCKER_HOST": self._engine.host,
            "DOCKER_CONFIG": str(docker_config()),
        }
        words: list[str | Path] = [docker_cli(), "build", "--progress=plain", "-t", f"chaos:{number}", self._folder]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    def build(self, number: int) -> tuple[int, Output, str]:
        """Exit status, what was said, and all of it."""
        output, text = Output(), []
        with self.start(number) as process:
            assert process.stderr is not None
            for line in process.stderr:
                output.add(line)
                text.append(line)
        return process.returncode, output, "".join(text)


def check(engine: NativeEngine) -> None:
    """Nothing of a build is left, and the store is whole. Waits for what is removed in the background."""
    wait_until(lambda: not leftovers(engine) and not list((engine.root / "data" / "trash").iterdir()))
    mounts = Path(f"/proc/{engine.pid_of('cove-engine')}/mounts").read_text()
    assert "/ingest/" not in mounts
    assert storecheck.faults(engine.root / "data") == []


def continues(building: Building, number: int, before: Output, engine: NativeEngine) -> None:
    """The next build succeeds, and takes from the cache what had ended."""
    status, after, text = building.build(number)
    assert status == 0, text
    assert before.done | before.cached <= after.cached, text
    shown = engine.docker("run", "--rm", "--network", "none", f"chaos:{number}", "cat", "/four", "/from/side").stdout
    assert shown == f"{number}\n{number}\n"
    engine.docker("rmi", f"chaos:{number}")


def test_builds_go_on_after_kills_of_the_engine(own_engine: NativeEngine, tmp_path: Path) -> None:
    chance = random.Random(5)
    building = Building(own_engine, tmp_path)
    building.prepare(0)
    status, _, text = building.build(0)  # how many lines a build has
    assert status == 0, text
    lines = text.count("\n")
    interrupted = 0
    for number in range(1, KILLS + 1):
        building.prepare(number)
        after_lines, delay_s = chance.randrange(lines), chance.random() * 0.05
        output = Output()
        with building.start(number) as process:
            assert process.stderr is not None
            for count, line in enumerate(process.stderr):
                output.add(line)
                if count == after_lines:
                    time.sleep(delay_s)
                    os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
        interrupted += process.returncode != 0
        own_engine.wait_until_answering()
        check(own_engine)
        continues(building, number, output, own_engine)
        print(f"kill {number} after line {after_lines} of {lines}, {len(output.done)} steps done", flush=True)
    print(f"{KILLS} kills, {interrupted} of them before the client had its image")
    assert interrupted >= KILLS // 3


@pytest.fixture
def small_disk(busybox_tar: Path) -> Iterator[NativeEngine]:
    engine = MountedEngine("data", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs")
    try:
        engine.start()
        engine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), "busybox:latest")
        yield engine
    finally:
        engine.stop()


@pytest.mark.logs("build_cache.not_saved", "build_history.not_saved")
def test_builds_go_on_after_a_full_disk(small_disk: NativeEngine, tmp_path: Path) -> None:
    chance = random.Random(7)
    building = Building(small_disk, tmp_path)
    filler = small_disk.root / "data" / "filler"
    failed = 0
    for number in range(FULL_DISKS):
        building.prepare(number)
        disk = os.statvfs(filler.parent)
        left = chance.randrange(5 * WRITTEN_BYTES)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - left))
        status, output, text = building.build(number)
        # The command's own words are lost with its output, and what it had written may be removed by then.
        expected = ("no space left on device", "did not complete successfully")
        assert status == 0 or any(words in text.lower() for words in expected), text
        failed += status != 0
        filler.unlink()
        check(small_disk)
        continues(building, number, output, small_disk)
        small_disk.docker("builder", "prune", "-af")
    print(f"{FULL_DISKS} full disks, {failed} of them ended the build")
    assert failed >= FULL_DISKS // 3
