"""dockerd and our engine side by side in network and mount namespaces of their own, and the probe run under both.

python -m tests.security.peers FOLDER [RUN-OPTIONS…] writes dockerd.txt and cove.txt there. As root; needs Debian's
docker.io. Docker's own roots lie in FOLDER too and go at the end.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.security.probing import Report, image_tar, parse, program
from tests.support.engine import native_engine
from tests.support.tools import ROOT, docker_cli

IMAGE = "probe:latest"
NAMES = ("dockerd", "cove")
_START_LIMIT_S = 30
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000


@contextmanager
def dockerd(folder: Path) -> Iterator[str]:
    """The address of a dockerd of our own with its roots below `folder`; ended at the end."""
    address = folder / "d.sock"
    words = ["dockerd", "--data-root", folder / "d", "--exec-root", folder / "dx", "--pidfile", folder / "d.pid"]
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen([*words, "-H", f"unix://{address}"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(address))
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise AssertionError((folder / "dockerd.log").read_text()[-4000:])
            time.sleep(0.05)  # there is no event to wait for before the socket exists
        yield f"unix://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def probe(host: str, tar: Path, options: list[str]) -> str:
    """What the probe prints in a container of the engine at `host` that is run with `options`."""
    environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_CLI_HINTS": "false"}

    def docker(*args: str) -> str:
        done = subprocess.run([docker_cli(), *args], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"docker {' '.join(args)} on {host}: {done.stderr}"
        return done.stdout

    docker("import", "-c", "ENV PATH=/bin", str(tar), IMAGE)
    if "exec" in options:
        name = docker("run", "-d", *(word for word in options if word != "exec"), IMAGE, "sleep", "60").strip()
        try:
            return docker("exec", name, "/probe")
        finally:
            docker("rm", "-f", name)
    return docker("run", "--rm", *options, IMAGE, "/probe")


def run_both(folder: Path, options: list[str]) -> None:
    """In namespaces of this process's own: both engines, one after the other's probe. Raises AssertionError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)  # what docker expects of its host
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="cvp-", dir="/tmp") as work:
        tar = image_tar(Path(work) / "probe.tar", {"/probe": program("probe")})
        with dockerd(Path(work)) as host:
            (folder / "dockerd.txt").write_text(probe(host, tar, options))
        with native_engine() as engine:
            (folder / "cove.txt").write_text(probe(engine.host, tar, options))
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(work):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)


def reports(folder: Path, *options: str) -> tuple[Report, Report]:
    """(dockerd's, ours), made by a process of its own that writes to `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.peers", str(folder), *options],
        cwd=ROOT, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    dockers, ours = (parse((folder / f"{name}.txt").read_text()) for name in NAMES)
    return dockers, ours


def is_there() -> bool:
    """Whether this machine has a dockerd to compare with."""
    return os.geteuid() == 0 and shutil.which("dockerd") is not None


if __name__ == "__main__":
    run_both(Path(sys.argv[1]), sys.argv[2:])
