"""The work in the VM that faults must not harm: what is there before a fault, and what must be there after it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import random
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.faults.home import Home, Missed
from tests.support.tools import busybox_tar, docker_config
from tests.support.waiting import wait_until

IMAGE = "busybox:latest"
COUNTERS = ("plain", "always")
HEALTH_EVERY_S = 10
# Output of the last seconds before a loss of power is lost: see docs/decisions/0071.
LOSS_LIMIT_S = 6.0
POLICY_LIMIT_S = 60.0
_COUNT = "trap 'exit 3' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.5; done"
_FILES = 8
_FILE_BYTES, _JOB_FILES, _JOB_FILE_BYTES = 100_000, 6, 400_000
_IMAGE = "{{.ID}} {{.Repository}}:{{.Tag}}"
_SUMS = "cd /v && sha256sum -c sums >/dev/null && cat last"
JOBS = ("pull", "load", "build")


class Line(NamedTuple):
    at: float  # Unix time
    number: int


@dataclass
class Before:
    """What was there at one moment."""

    containers: dict[str, Any] = field(default_factory=dict)  # by name, as `docker inspect` shows them
    things: dict[str, set[str]] = field(default_factory=dict)  # by kind: identifiers
    logs: dict[str, list[Line]] = field(default_factory=dict)
    last: str = ""  # content of the volume's newest file


class Job(threading.Thread):
    """A pull, load or build, in the background."""

    def __init__(self, work: Work, what: str) -> None:
        super().__init__(name=what)
        self._work, self.what = work, what
        self.failed = ""

    def run(self) -> None:
        self.failed = self._work.job(self.what)


class Work:
    """Containers that count, a stopped one, images, a volume, a network; and jobs."""

    def __init__(self, vm: Home, folder: Path, registry: str, rng: random.Random) -> None:
        self._vm, self._folder, self._rng = vm, folder, rng
        self._pulled = f"10.0.2.2:{registry.rpartition(':')[2]}/cvt/job:1"
        self._saved = folder / "job.tar"
        self._context = folder / "context"
        self._number = 0
        vm.environ |= {"DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(docker_config())}

    # What is there -----------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        docker = self._vm.docker
        docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", busybox_tar(self._folder / "bb.tar"), IMAGE)
        self._write_context()
        docker("build", "-q", "-t", self._pulled, self._context)
        docker("push", "-q", self._pulled)
        docker("save", "-o", self._saved, self._pulled)
        self.drop_job()
        docker("tag", IMAGE, "other:1")
        docker("volume", "create", "data")
        docker("network", "create", "net")
        self._vm.docker("run", "--name", "stopped", IMAGE, "sh", "-c", "echo kept >/kept; echo 1; exit 7", check=False)
        self.run_counters()

    def run_counters(self) -> None:
        """Those that do not run are made anew."""
        health = ("--health-cmd", "true", "--health-interval", f"{HEALTH_EVERY_S}s")
        for name in COUNTERS:
            done = self._vm.docker("inspect", "-f", "{{.State.Running}}", name, check=False)
            if done.stdout.strip() == "true":
                continue
            self._vm.docker("rm", "-f", name, check=False)
            more = ("--restart", "always", *health) if name == "always" else ("--network", "net")
            self._vm.docker("run", "-d", "--name", name, *more, IMAGE, "sh", "-c", _COUNT)

    def before(self, *, counts: bool = True) -> Before:
        """Write into the volume, make a record, and note all that is there. `counts`: while containers count."""
        if counts:
            self.run_counters()
        self._number += 1
        name, last = f"f{self._number % _FILES}", str(self._number)
        write = (
            f"cd /v && head -c {_FILE_BYTES} /dev/urandom >{name} && echo {last} >last && "
            "sha256sum f* last >sums.new && mv sums.new sums && sync"
        )
        self._vm.docker("run", "--rm", "--network", "none", "-v", "data:/v", IMAGE, "sh", "-c", write)
        self._make_record()
        found = self._look()
        found.last = last
        return found

    def _make_record(self) -> None:
        name = f"fresh{self._number}"
        words = self._rng.choice(
            [("create", "--name", name, IMAGE, "true"), ("volume", "create", name), ("tag", IMAGE, f"{name}:1"),
             ("network", "create", "--internal", name)]
        )  # fmt: skip
        self._vm.docker(*words)

    def _look(self) -> Before:
        docker, found = self._vm.docker, Before()
        names = docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
        found.containers = {one["Name"].lstrip("/"): one for one in json.loads(docker("inspect", *names).stdout)}
        found.things = {
            "container": {one["Id"] for one in found.containers.values()},
            "image": set(docker("images", "--no-trunc", "--format", _IMAGE).stdout.splitlines()),
            "volume": set(docker("volume", "ls", "-q").stdout.split()),
            "network": set(docker("network", "ls", "-q", "--no-trunc").stdout.split()),
        }  # fmt: skip
        found.logs = {name: self._log(name) for name in (*COUNTERS, "stopped")}
        return found

    def _log(self, name: str) -> list[Line]:
        done = self._vm.docker("logs", "-t", name, check=False)
        if done.returncode:
            raise Missed(f"the log of {name} can't be read: {done.stderr.strip()}")
        lines = []
        for line in done.stdout.splitlines():
            stamp, _, number = line.partition(" ")
            if not number.isdecimal():
                raise Missed(f"the log of {name} has a line that it never wrote: {line!r}")
            lines.append(Line(datetime.fromisoformat(stamp[:26] + "+00:00").timestamp(), int(number)))
        return lines

    # What must be there afterwards --------------------------------------------------------------------------------

    def harm(self, before: Before, *, ends: bool, cuts: bool, at: float) -> tuple[list[str], float]:
        """What is wrong after a fault at the Unix time `at`, and how many seconds of output were lost. `ends`:
        containers end with this fault; `cuts`: like a loss of power."""
        try:
            if ends:
                self._until_policies_hold(before)
            after = self._look()
        except Missed as e:
            return [str(e)], 0.0
        wrong = []
        for kind, were in before.things.items():
            wrong += [f"the {kind} {one} is lost" for one in were - after.things[kind]]
        for name, was in before.containers.items():
            if name in after.containers:
                wrong += self._state_harm(name, was["State"], after.containers[name]["State"], ends=ends)
        lost_s = 0.0
        for name in (*COUNTERS, "stopped"):
            lines, lost = _log_harm(name, before.logs[name], after.logs[name], cuts=cuts, at=at)
            wrong, lost_s = wrong + lines, max(lost_s, lost)
        wrong += self._volume_harm(before.last)
        wrong += self.check_harm()
        return wrong, lost_s

    def _until_policies_hold(self, before: Before) -> None:
        """The engine replies before it has started what its restart policies ask for."""
        if before.containers["always"]["State"]["Running"]:
            running = ("inspect", "-f", "{{.State.Running}}", "always")
            with contextlib.suppress(AssertionError):  # it is looked at afterwards
                wait_until(lambda: self._vm.docker(*running, check=False).stdout == "true\n", POLICY_LIMIT_S)

    def _state_harm(self, name: str, was: Any, now: Any, *, ends: bool) -> list[str]:
        if not was["Running"]:
            same = all(was[key] == now[key] for key in ("Status", "ExitCode", "FinishedAt"))
            return (
                [] if same else [f"{name} was {was['Status']} {was['ExitCode']}, is {now['Status']} {now['ExitCode']}"]
            )
        if not ends:
            same = all(was[key] == now[key] for key in ("Running", "Pid", "StartedAt"))
            return [] if same else [f"{name} has ended: {now['Status']} {now['ExitCode']}"]
        if name == "always":
            return [] if now["Running"] else [f"{name} was not started again: {now['Status']} {now['ExitCode']}"]
        return [f"{name} runs after all"] if now["Running"] else []

    def _volume_harm(self, last: str) -> list[str]:
        words = ("run", "--rm", "--network", "none", "-v", "data:/v", IMAGE, "sh", "-c", _SUMS)
        done = self._vm.docker(*words, check=False)
        if (done.returncode, done.stdout.strip()) == (0, last):
            return []
        return [f"the volume's files: {done.stdout.strip()!r} instead of {last!r}: {done.stderr.strip()}"]

    def check_harm(self) -> list[str]:
        """What `cove system check` finds."""
        done = self._vm.cove("system", "check", check=False)
        return [] if not done.returncode else [f"check: {line}" for line in (done.stdout + done.stderr).splitlines()]

    # Jobs ---------------------------------------------------------------------------------------------------------

    def _write_context(self) -> None:
        folder = self._context / "files"
        folder.mkdir(parents=True)
        sums = []
        for number in range(_JOB_FILES):
            data = self._rng.randbytes(_JOB_FILE_BYTES)
            (folder / str(number)).write_bytes(data)
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {number}\n")
        (folder / "sums").write_text("".join(sums))
        lines = [f"COPY files/{number} /files/" for number in range(3)] + ["COPY files /files"]
        run = "RUN cd /files && cp -r . /again && sha256sum -c sums"
        (self._context / "Dockerfile").write_text("\n".join([f"FROM {IMAGE}", *lines, run]) + "\n")

    def job(self, what: str) -> str:
        """Do it; why it failed, or ""."""
        words: Iterable[str | Path] = {
            "pull": ("pull", "-q", self._pulled),
            "load": ("load", "-q", "-i", self._saved),
            "build": ("build", "-q", "-t", self._pulled, self._context),
        }[what]
        try:
            done = self._vm.docker(*words, check=False)
        except subprocess.TimeoutExpired as e:
            return str(e)
        return "" if not done.returncode else f"{what} failed: {done.stderr.strip()[-300:]}"

    def job_harm(self) -> list[str]:
        """What is wrong with the image of a job that has succeeded."""
        both = "cd /files && sha256sum -c sums && cd /again && sha256sum -c sums"
        done = self._vm.docker("run", "--rm", "--network", "none", self._pulled, "sh", "-c", both, check=False)
        if not done.returncode and done.stdout.count(": OK") == 2 * _JOB_FILES:
            return []
        return [f"the image is not whole: {done.stdout.strip()[-300:]} {done.stderr.strip()[-300:]}"]

    def drop_job(self) -> None:
        """Remove the image and what was kept for it, so that the next job begins from nothing."""
        self._vm.docker("rmi", "-f", self._pulled, check=False)
        self._vm.docker("builder", "prune", "-af")

    def until_it_counts(self) -> None:
        """Wait until the containers go on to write."""
        seen = {name: len(self._log(name)) for name in COUNTERS}
        wait_until(lambda: any(len(self._log(name)) > count for name, count in seen.items()))


def _log_harm(name: str, was: list[Line], now: list[Line], *, cuts: bool, at: float) -> tuple[list[str], float]:
    """What is wrong, and for how many seconds before `at` output is missing."""
    kept = 0
    while kept < min(len(was), len(now)) and was[kept] == now[kept]:
        kept += 1
    wrong, lost_s = [], 0.0
    if kept < len(was):
        lost_s = max(0.0, at - was[kept].at)
        if not cuts:
            wrong.append(f"{len(was) - kept} lines of {name} are lost, from {was[kept].number} on")
        elif lost_s > LOSS_LIMIT_S:
            wrong.append(f"the lines of {name} of the last {lost_s:.1f} s are lost")
    steps = [(a.number, b.number) for a, b in itertools.pairwise(now) if b.number not in (a.number + 1, 1)]
    return wrong + [f"the lines of {name} go from {a} to {b}" for a, b in steps], lost_s
