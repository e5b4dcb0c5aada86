"""dockerd and our engine side by side in network and mount namespaces of their own, and the probe run under both.

python -m tests.security.peers FOLDER writes dockerd-WAY.txt and cove-WAY.txt there for each of the WAYS to start the
probe, and host.txt. As root; needs Debian's docker.io.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.security.probing import Report, image_tar, parse, program
from tests.support.engine import native_engine
from tests.support.limits import HANG_S
from tests.support.tools import ROOT, docker_cli

IMAGE = "probe:latest"
NAMES = ("dockerd", "cove")
WAYS: Mapping[str, tuple[str, ...]] = {
    "run": (),
    "exec": ("exec",),
    "user": ("-t", "-u", "1000:1000"),
    "read-only": ("--read-only", "--security-opt", "no-new-privileges"),
}
_START_LIMIT_S = HANG_S
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000


@contextmanager
def dockerd(folder: Path, program: str | Path = "dockerd") -> Iterator[str]:
    """The address of a dockerd of our own with its roots below `folder`; ended at the end.

    `program`: where it is unpacked, what the system lacks of its own programs (containerd, docker-proxy) is found
    beside it.
    """
    address = folder / "d.sock"
    words: list[str | Path] = [
        program,
        "--data-root",
        folder / "d",
        "--exec-root",
        folder / "dx",
        "--pidfile",
        folder / "d.pid",
    ]
    beside = Path(shutil.which(program) or program).parent
    path = os.pathsep.join((os.environ["PATH"], str(beside), str(beside.parent / "bin")))
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "-H", f"unix://{address}"], stdout=log, stderr=log, env={**os.environ, "PATH": path}
        )
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
        process.wait(HANG_S)


def probe(host: str, tar: Path, folder: Path, name: str) -> None:
    """Write what the probe prints in containers of the engine `name` at `host`, started in each of the WAYS."""
    environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_CLI_HINTS": "false"}

    def docker(*args: str) -> str:
        done = subprocess.run([docker_cli(), *args], env=environment, capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == 0, f"docker {' '.join(args)} on {host}: {done.stderr}"
        return done.stdout

    docker("import", "-c", "ENV PATH=/bin", str(tar), IMAGE)
    for way, options in WAYS.items():
        if way == "exec":
            container = docker("run", "-d", IMAGE, "sleep", "60").strip()
            said = docker("exec", container, "/probe")
            docker("rm", "-f", container)
        else:
            said = docker("run", "--rm", *options, IMAGE, "/probe")
        (folder / f"{name}-{way}.txt").write_text(said)


def own_namespaces() -> None:
    """Move this process to a mount and a network namespace of its own. Raises OSError, CalledProcessError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)  # what docker expects of its host
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for engines' roots. What they have mounted in it goes with it, and the cgroups that dockerd leaves."""
    with tempfile.TemporaryDirectory(prefix="cvp-", dir="/tmp") as work:
        try:
            yield Path(work)
        finally:
            for cgroup in Path("/sys/fs/cgroup").glob("*/docker"):
                with suppress(OSError):  # another dockerd's containers are in it
                    cgroup.rmdir()
            for line in Path("/proc/self/mounts").read_text().splitlines():
                if line.split()[1].startswith(work):  # it would keep the folder from being removed
                    subprocess.run(["umount", "-l", line.split()[1]], check=False)


def run_both(folder: Path) -> None:
    """In namespaces of this process's own: both engines, one after the other's probe. Raises AssertionError."""
    own_namespaces()
    spaces = [f"{name}\t{os.readlink(f'/proc/self/ns/{name}')}" for name in os.listdir("/proc/self/ns")]
    (folder / "host.txt").write_text("\n".join(spaces))
    with own_folder() as work:
        tar = image_tar(work / "probe.tar", {"/probe": program("probe")})
        with dockerd(work) as host:
            probe(host, tar, folder, "dockerd")
        with native_engine() as engine:
            probe(engine.host, tar, folder, "cove")


def reports(folder: Path) -> dict[str, tuple[Report, Report]]:
    """way → (dockerd's, ours), made by a process of its own that writes to `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.peers", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    host = dict(line.split("\t") for line in (folder / "host.txt").read_text().splitlines())
    dockers, ours = ({way: parse((folder / f"{name}-{way}.txt").read_text(), host) for way in WAYS} for name in NAMES)
    return {way: (dockers[way], ours[way]) for way in WAYS}


def is_there() -> bool:
    """Whether this machine has a dockerd to compare with."""
    return os.geteuid() == 0 and shutil.which("dockerd") is not None


if __name__ == "__main__":
    run_both(Path(sys.argv[1]))
