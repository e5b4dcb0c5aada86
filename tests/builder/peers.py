"""The cases of tests/builder/cases.py, built by docker's two builders and by ours over both wires, in namespaces of
their own.

python -m tests.builder.peers FILE [CASE...] writes what each builder made of each case, as JSON. As root; needs runc.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.builder import cases, saved
from tests.builder.cases import CASES, Case
from tests.builder.saved import Facts
from tests.security.peers import dockerd as running_dockerd
from tests.security.peers import own_folder, own_namespaces
from tests.support.engine import native_engine
from tests.support.limits import HANG_S
from tests.support.tools import ROOT, docker_cli, docker_config, dockerd

BUILDKIT, CLASSIC = "docker's BuildKit", "docker's classic builder"
OUR_BUILDKIT, OUR_CLASSIC = "Cove by BuildKit's wire", "Cove by the classic wire"
BASE = "base:latest"
Made = Mapping[str, Facts]  # by the case's name


class Site:
    """An engine with the base images, and a folder with the context."""

    def __init__(self, host: str, work: Path) -> None:
        self._host, self._work = host, work
        self._context = work / "context"
        if not self._context.exists():
            self._context.mkdir()
            cases.write_context(self._context)
            cases.write_bases(work / "bases.tar", work)
        failure = self.docker("load", "-q", "-i", str(work / "bases.tar"))
        assert not failure, failure

    def docker(self, *args: str, by_buildx: bool = False) -> str:
        """What it wrote if it failed, "" if it did not."""
        environment = {
            **os.environ,
            "DOCKER_HOST": self._host,
            "DOCKER_CLI_HINTS": "false",
            "DOCKER_BUILDKIT": "1" if by_buildx else "0",
            "DOCKER_CONFIG": str(docker_config()),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }
        done = subprocess.run(
            [docker_cli(), *args], env=environment, capture_output=True, text=True, timeout=HANG_S, check=False
        )
        return done.stderr if done.returncode else ""

    def build(self, wanted: Sequence[Case], *, by_buildx: bool) -> dict[str, Facts]:
        """What was built of each case. Of one that failed, the configuration is the last line of the error."""
        found: dict[str, Facts] = {}
        names = {}
        with tempfile.TemporaryDirectory(dir=self._work) as made:
            for case in wanted:
                folder = cases.copy_context(self._context, Path(made), case)
                flags = case.flags(Path(made), by_buildx=by_buildx)
                name = f"built-{case.name}:latest"
                failure = self.docker("build", "-q", *flags, "-t", name, str(folder), by_buildx=by_buildx)
                if failure:
                    found[case.name] = Facts({"error": failure.strip().splitlines()[-1]}, (), {})
                else:
                    names[name] = case.name
            archive = Path(made) / "images.tar"
            failure = self.docker("save", "-o", str(archive), BASE, *names)
            assert not failure, failure
            found |= {names[name]: facts for name, facts in saved.read(archive, BASE)}
        for name in names:
            self.docker("rmi", "-f", name)
        return found


def ours(site: Site, wanted: Sequence[Case]) -> dict[str, Made]:
    """By both wires. What only buildx can send, such as a secret, is left out of the classic one's."""
    return {
        OUR_BUILDKIT: site.build(wanted, by_buildx=True),
        OUR_CLASSIC: site.build([case for case in wanted if not case.secret], by_buildx=False),
    }


def run_all(wanted: Sequence[Case]) -> dict[str, Made]:
    """In namespaces of this process's own: first dockerd, then our engine. Raises AssertionError."""
    for fetch in (dockerd, docker_cli, docker_config):  # what they download is not reached from the namespaces
        fetch()
    own_namespaces()
    found: dict[str, Made] = {}
    with own_folder() as folder:
        with running_dockerd(folder, dockerd()) as host:
            site = Site(host, folder)
            found[BUILDKIT] = site.build(wanted, by_buildx=True)
            found[CLASSIC] = site.build([case for case in wanted if case.classic], by_buildx=False)
        with native_engine() as engine:
            found |= ours(Site(engine.host, folder), wanted)
    return found


def all_builders(folder: Path, wanted: Sequence[Case]) -> dict[str, Made]:
    """builder → what it made, by a process of its own that writes to `folder`."""
    file = folder / "made.json"
    argv = [sys.executable, "-m", "tests.builder.peers", str(file), *(case.name for case in wanted)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=8 * HANG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {
        builder: {name: Facts.from_json(facts) for name, facts in made.items()}
        for builder, made in json.loads(file.read_text()).items()
    }


def is_there() -> bool:
    """Whether dockerd can run here: it is unpacked beside the system, but for its runc."""
    return os.geteuid() == 0 and shutil.which("runc") is not None


def main(file: str, *names: str) -> None:
    wanted = [case for case in CASES if not names or case.name in names]
    made = run_all(wanted)
    shown = {builder: {name: facts.to_json() for name, facts in built.items()} for builder, built in made.items()}
    Path(file).write_text(json.dumps(shown))


if __name__ == "__main__":
    main(*sys.argv[1:])
