"""Debian's podman in namespaces of its own: what it mounts, starts and configures goes with them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.limits import HANG_S
from tests.support.tools import podman as podman_tree
from vmagent.runtime.cgroups import tree

RUNTIME = Path(sys.executable).with_name("cove-runtime")

# crun refuses a tree of cgroup v2 beside those of v1. The first process has to reap: conmon leaves its parent at once.
_SETUP = """
    set -e
    mount --make-rprivate /
    mount -t overlay -o "lowerdir=$1/etc:$2/etc:/etc" overlay /etc
    mount -t overlay -o "lowerdir=$2/usr:/usr" overlay /usr
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /dev/shm
    umount /sys/fs/cgroup/unified 2>/dev/null || true
    ip link set lo up
    echo ready
    exec catatonit -- sleep infinity >/dev/null 2>&1
"""
_CONFIG = """
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime_supports_json = ["cove-runtime", "crun", "runc"]
helper_binaries_dir = ["/usr/lib/podman"]
[network]
network_config_dir = "/run/networks"
network_backend = "netavark"
"""


class PodmanUnusable(Exception):
    """Podman cannot be run on this machine; str() is the reason."""


class Podman:
    """Podman with its files below `root`, its containers' cgroups below `cgroups`, in the namespaces of `init`."""

    def __init__(self, root: Path, cgroups: str, init: int) -> None:
        self.root = root
        self.cgroups = cgroups
        self.init = init

    def argv(self, runtime: str, *words: str) -> list[str]:
        """`words` by podman, whose containers `runtime` makes."""
        flags = [f"--root={self.root}/storage", "--runroot=/run/storage", "--tmpdir=/run/libpod", "--runtime", runtime]
        if words[0] in ("run", "create") or words[:2] == ("pod", "create"):
            number = 2 if words[0] == "pod" else 1
            words = (*words[:number], "--cgroup-parent", self.cgroups, *words[number:])
        enter = ["nsenter", "--target", str(self.init), "--mount", "--net", "--pid", "--wd=/", "--"]
        return [*enter, "env", "CONTAINERS_CONF=/etc/containers/cove.conf", "podman", *flags, *words]

    def __call__(self, runtime: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        settings: dict[str, Any] = {
            "capture_output": True,
            "text": True,
            "timeout": HANG_S,
            "stdin": subprocess.DEVNULL,
        }
        return subprocess.run(self.argv(runtime, *words), check=False, **{**settings, **options})


@contextmanager
def podman(root: Path, busybox_tar: Path) -> Iterator[Podman]:
    """Podman with the image `busybox`. `root` must exist and is removed. Raises PodmanUnusable."""
    try:
        packages = podman_tree()
    except subprocess.CalledProcessError as e:
        root.rmdir()
        raise PodmanUnusable(f"Debian's package of podman can't be had: {e.stderr}") from e
    config = root / "etc" / "containers"
    config.mkdir(parents=True)
    (config / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    (config / "cove.conf").write_text(_CONFIG)
    namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    argv = [*namespaces, "bash", "-c", _SETUP, "bash", str(root), str(packages)]
    cgroups = f"/cove-podman-{os.getpid()}"
    try:
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as outside:
            try:
                assert outside.stdout is not None
                assert outside.stderr is not None
                if outside.stdout.readline() != "ready\n":
                    raise PodmanUnusable(f"its namespaces can't be made: {outside.stderr.read()}")
                init = int(Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text())
                made = Podman(root, cgroups, init)
                tried = made("crun", "--version")
                if tried.returncode:
                    raise PodmanUnusable(f"podman --version: {tried.stderr}")
                words = ["import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), "busybox"]
                imported = made(str(RUNTIME), *words)
                assert imported.returncode == 0, imported.stderr
                yield made
                assert made(str(RUNTIME), "ps", "--all", "--quiet").stdout == ""
                os.kill(init, signal.SIGKILL)  # this ends all processes of its PID namespace
                outside.wait(HANG_S)
            finally:
                outside.kill()
        left = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*{cgroups}/**/libpod-*")]
        assert left == [], "cgroups of containers are left (those of pods, and conmon's, are podman's own)"
    finally:
        tree().at(cgroups).remove()
        shutil.rmtree(root)
