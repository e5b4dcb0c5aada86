"""A bundle of the OCI runtime: a busybox root and a specification that a test changes, driven through cove-runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.limits import HANG_S
from tests.support.makers import Maker
from tests.support.tools import unpack_tar
from vmagent.linux import capabilities
from vmagent.runtime.cgroups import tree
from vmagent.runtime.example import example_spec

# Docker's default set: 0xa80425fb.
DEFAULT_CAPABILITIES = [name for number, name in enumerate(capabilities.NAMES) if 0xA80425FB >> number & 1]
# By the spawner, `cove-runtime` in one process; by the interpreter, as where the spawner could not make the process.
_CODE: dict[Maker, str] = {
    "spawner": "from vmagent.runtime.command import entry; entry()",
    "interpreter": "from vmagent.runtime.exposure import start_protected; start_protected()",
}
CGROUPS = f"/cove-test-{os.getpid()}"  # one per test run: several may run on a machine at once


class Bundle:
    """One container and its state folder; everything it makes is removed when the test ends.

    `maker` makes the processes of `run`, `create` and `exec`: the spawner where it can, or in any case the interpreter.
    """

    maker: Maker = "spawner"

    def __init__(self, folder: Path, rootfs: Path) -> None:
        self.folder = folder
        self.root = folder / "state"
        self.rootfs = rootfs
        self.id = f"test-{uuid.uuid4().hex[:12]}"
        self.cgroup_path = f"{CGROUPS}/{self.id}"
        self.spec: dict[str, Any] = example_spec()
        self.spec["root"] = {"path": str(rootfs), "readonly": False}
        self.spec["linux"]["cgroupsPath"] = self.cgroup_path
        process = self.process
        process["terminal"], process["noNewPrivileges"] = False, False
        process["env"] = ["PATH=/bin"]
        process["capabilities"] = {name: list(DEFAULT_CAPABILITIES) for name in ("bounding", "effective", "permitted")}

    @property
    def process(self) -> dict[str, Any]:
        process: dict[str, Any] = self.spec["process"]
        return process

    @property
    def linux(self) -> dict[str, Any]:
        linux: dict[str, Any] = self.spec["linux"]
        return linux

    def drop_namespace(self, name: str, path: str | None = None) -> None:
        """Remove a namespace from the specification, or replace it by the one at `path`."""
        kept = [entry for entry in self.linux["namespaces"] if entry["type"] != name]
        self.linux["namespaces"] = kept + ([{"type": name, "path": path}] if path else [])

    def mount(self, destination: str, source: Path | str, *options: str, kind: str = "bind") -> None:
        self.spec["mounts"].append(
            {"destination": destination, "type": kind, "source": str(source), "options": list(options)}
        )

    def write(self) -> None:
        (self.folder / "config.json").write_text(json.dumps(self.spec))

    def command(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `cove-runtime`."""
        settings: dict[str, Any] = {
            "capture_output": True,
            "text": True,
            "timeout": HANG_S,
            "stdin": subprocess.DEVNULL,
        }
        return subprocess.run(self.argv(*args), check=False, **{**settings, **options})

    def argv(self, *args: str) -> list[str]:
        """The command line of `cove-runtime`, run by the tests' interpreter."""
        return [sys.executable, "-P", "-c", _CODE[self.maker], "--root", str(self.root), *args]

    def refused(self, word: str) -> str:
        """Check that `create` fails with `word` in its message and leaves nothing behind; returns the message."""
        self.process.setdefault("args", ["true"])
        self.write()
        done = self.create()
        assert done.returncode == 1
        assert word in done.stderr
        assert not self.root.exists() or not list(self.root.iterdir())
        assert not tree().at(self.cgroup_path).exists()
        return done.stderr

    def create(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `create`. Its output is discarded: the container keeps it open. `stderr` is taken from --log."""
        self.write()
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        quiet = {"capture_output": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
        done = self.command(
            "--log", str(log), "--log-format", "json", "create", *words, "--bundle", str(self.folder), self.id, **quiet
        )
        lines = log.read_text().splitlines() if log.exists() else []
        done.stderr = "\n".join(json.loads(line)["msg"] for line in lines)
        return done

    @staticmethod
    def external(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run another program; its output as text."""
        settings: dict[str, Any] = {
            "capture_output": True,
            "text": True,
            "timeout": HANG_S,
            "stdin": subprocess.DEVNULL,
        }
        return subprocess.run(argv, check=False, **{**settings, **options})

    def run(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command `args` in a container until it ends."""
        self.process["args"] = list(args)
        self.write()
        return self.command("run", "--bundle", str(self.folder), self.id, **options)

    def shell(self, script: str, **options: Any) -> str:
        """The output of a shell script in a container, which must succeed."""
        done = self.run("sh", "-c", script, **options)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def start(self, *args: str) -> int:
        """Start the command in the background; its pid. Its output is discarded."""
        self.process["args"] = list(args)
        self.write()
        pid_file = self.folder / "pid"
        quiet = {"capture_output": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        words = ["run", "--detach", "--pid-file", str(pid_file), "--bundle", str(self.folder), self.id]
        assert self.command(*words, **quiet).returncode == 0
        return int(pid_file.read_text())

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.command("state", self.id).stdout)
        return state


@pytest.fixture(scope="session")
def rootfs_template(busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("rootfs")
    unpack_tar(busybox_tar, folder)
    yield folder
    tree().at(CGROUPS).remove()


@contextmanager
def bundles(folder: Path, rootfs_template: Path) -> Iterator[Callable[[], Bundle]]:
    """Makes bundles below `folder`; afterwards their containers, cgroups and files are removed."""
    made: list[Bundle] = []

    def make() -> Bundle:
        own = folder / f"bundle{len(made)}"
        own.mkdir()
        shutil.copytree(rootfs_template, own / "rootfs", symlinks=True)
        made.append(Bundle(own, own / "rootfs"))
        return made[-1]

    yield make
    for bundle in made:
        if bundle.root.exists() and os.listdir(bundle.root):
            bundle.command("delete", "--force", bundle.id)
        assert not bundle.root.exists() or os.listdir(bundle.root) == []
        assert not tree().at(bundle.cgroup_path).exists()
    assert str(folder) not in Path("/proc/self/mountinfo").read_text(), "a mount of the container's is on the host"


@pytest.fixture
def new_bundle(tmp_path: Path, rootfs_template: Path) -> Iterator[Callable[[], Bundle]]:
    with bundles(tmp_path, rootfs_template) as make:
        yield make


@pytest.fixture(scope="module")
def module_bundle(tmp_path_factory: pytest.TempPathFactory, rootfs_template: Path) -> Iterator[Callable[[], Bundle]]:
    """As `new_bundle`, for a container that several tests inspect."""
    with bundles(tmp_path_factory.mktemp("module"), rootfs_template) as make:
        yield make


@pytest.fixture
def bundle(new_bundle: Callable[[], Bundle]) -> Bundle:
    return new_bundle()
