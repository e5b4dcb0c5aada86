"""Programs and files that tests need and a bare Debian lacks; made once, kept in a cache beside the checkout's own."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cove" / "tests"

_DOCKERODE = "4.0.9"
_SCHEMATHESIS = "4.32.5"

PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\nuser:x:1000:1000:user:/home:/bin/sh\n"
)
GROUP = "root:x:0:\nnogroup:x:65534:\nuser:x:1000:\nstaff:x:50:user\n"


_NEWEST = "forky"  # the Debian suite with the newest clients


def _of_clients(name: str, *packages: str, suite: str = "") -> Path:
    """A folder with packages of a Debian suite: trixie, or the one that COVE_DOCKER_SUITE names."""
    suite = suite or os.environ.get("COVE_DOCKER_SUITE", "trixie")
    folder = CACHE / (name if suite == "trixie" else f"{name}-{suite}")
    env = {**os.environ, "SUITE": suite}
    subprocess.run([ROOT / "packaging" / "trixie.sh", folder, *packages], check=True, timeout=300, env=env)
    return folder


@functools.cache
def docker_cli() -> Path:
    """Trixie's `docker` client with Compose, unpacked beside the system. Raises CalledProcessError."""
    return _of_clients("docker-cli", "docker-cli") / "usr" / "bin" / "docker"


@functools.cache
def bookworm_docker_cli() -> Path:
    """Bookworm's `docker` client (20.10), unpacked beside the system. Raises CalledProcessError."""
    folder = CACHE / "docker-bookworm"
    env = {**os.environ, "SUITE": "bookworm"}
    subprocess.run([ROOT / "packaging" / "trixie.sh", folder, "docker.io"], check=True, timeout=300, env=env)
    return folder / "usr" / "bin" / "docker"


@functools.cache
def newest_docker() -> tuple[Path, Path]:
    """The `docker` client of Debian's next release, and its docker_config. Raises CalledProcessError."""
    folder = _of_clients("docker-cli", "docker-cli", suite=_NEWEST)
    return folder / "usr" / "bin" / "docker", docker_config(_NEWEST)


@functools.cache
def docker_config(suite: str = "") -> Path:
    """A folder for DOCKER_CONFIG with the suite's buildx and Compose as plugins. Raises CalledProcessError."""
    folder = _of_clients("docker-plugins", "docker-buildx", "docker-compose", suite=suite)
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    for name in ("docker-buildx", "docker-compose"):
        link = plugins / name
        if not link.is_symlink():
            with contextlib.suppress(FileExistsError):  # another run of the tests made it meanwhile
                link.symlink_to(folder / "usr" / "libexec" / "docker" / "cli-plugins" / name)
    return folder / "config"


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Only one run of the tests at a time is within it for `folder` of the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def dockerode() -> Path:
    """A folder of node modules with dockerode, from npm. Raises CalledProcessError."""
    return node_with(f"dockerode@{_DOCKERODE}")


@functools.cache
def node_with(*packages: str) -> Path:
    """A folder of node modules with `packages`, each NAME@VERSION, from npm. Raises CalledProcessError."""
    folder = CACHE / "-".join(re.sub("[^a-z0-9.]+", "-", one.lower()).strip("-") for one in packages)
    with _turn(folder):
        if not (folder / "node_modules").is_dir():
            made = folder.with_name(f"{folder.name}.unfinished")
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(made)]
            subprocess.run([*words, *packages], check=True, timeout=600)
            made.rename(folder)
    return folder / "node_modules"


@functools.cache
def schemathesis() -> Path:
    """An interpreter that has schemathesis, from PyPI. Raises CalledProcessError."""
    return python_with(f"schemathesis=={_SCHEMATHESIS}")


@functools.cache
def ansible() -> Path:
    """`ansible-playbook` with the collection community.docker, from PyPI. Raises CalledProcessError."""
    return python_with("ansible==12.3.0", "requests==2.32.5").with_name("ansible-playbook")


@functools.cache
def docker_compose_v1() -> Path:
    """`docker-compose` 1.29.2, the last one in Python, from PyPI. Raises CalledProcessError.

    It asks for PyYAML before 6, whose source today's Cython no longer builds; with PyYAML 6 it works, as Debian's does.
    The others are the last ones that docker-py 5 works with.
    """
    return python_with(
        "docker-compose==1.29.2", "requests==2.31.0", "urllib3==1.26.20", "setuptools==75.8.0",
        overrides=("PyYAML==6.0.2", "docker==5.0.3"),
    ).with_name("docker-compose")  # fmt: skip


@functools.cache
def python_with(*requirements: str, overrides: Sequence[str] = ()) -> Path:
    """An interpreter in an environment of its own with what `requirements` name. Raises CalledProcessError.

    For programs that only tests run, and whose dependencies would otherwise be everybody's. `overrides` are packages in
    other versions than the requirements ask for.
    """
    folder = CACHE / "-".join(["python", *(re.sub("[^a-z0-9.]+", "-", one.lower()) for one in requirements)])
    with _turn(folder):
        if not (folder / ".made").exists():  # an environment can't be renamed into its place
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=300)
            uv, python = Path(sys.executable).with_name("uv"), folder / "bin" / "python"
            install: list[str | Path] = [uv, "pip", "install", "-q", "--python", python, *requirements]
            if overrides:
                (folder / "overrides.txt").write_text("\n".join(overrides))
                install += ["--overrides", folder / "overrides.txt"]
            subprocess.run(install, check=True, timeout=600)
            (folder / ".made").touch()
    return folder / "bin" / "python"


@functools.cache
def dockerd() -> Path:
    """Trixie's `dockerd`, unpacked beside the system; it runs the system's runc. Raises CalledProcessError."""
    folder = CACHE / "dockerd-trixie"
    subprocess.run(
        [ROOT / "packaging" / "trixie.sh", folder, "docker.io", "containerd", "runc"], check=True, timeout=300
    )
    return folder / "usr" / "sbin" / "dockerd"


@functools.cache
def compose_go() -> Path:
    """The sources of trixie's compose-go with its tests, the library by which docker compose reads files. Raises
    CalledProcessError."""
    folder = _of_clients("compose-go", "golang-github-compose-spec-compose-go-dev")
    return folder / "usr/share/gocode/src/github.com/compose-spec/compose-go"


@functools.cache
def podman() -> Path:
    """A tree to lay over the system's own: this Debian's podman, and those of its dependencies that the system lacks.

    It has `etc` and `usr` in any case; both are empty where podman is installed. Raises CalledProcessError.
    """
    wanted = ("podman", "catatonit", "netavark")
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    # It fails if one of them is unknown.
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *wanted]
    known = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    present = sorted(line.split()[1] for line in known if line.startswith("installed "))
    folder = CACHE / "-".join(["podman", suite, *(["beside", *present] if present else [])])
    env = {**os.environ, "SUITE": suite, "NEEDED": "1"}
    argv = [str(ROOT / "packaging" / "trixie.sh"), str(folder), *wanted]
    subprocess.run(argv, check=True, timeout=300, env=env, capture_output=True, text=True)
    for name in ("etc", "usr"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def busybox_tar(path: Path) -> Path:
    """Write a root file system of the system's static busybox, every applet linked, to `path`."""
    busybox = Path("/bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    with tarfile.open(path, "w") as tar:
        for folder, mode in (
            (".", 0o755), ("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("var", 0o755),
            ("var/www", 0o755), ("home", 0o755),
        ):  # fmt: skip
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        data = busybox.read_bytes()
        info = tarfile.TarInfo("bin/busybox")
        info.size, info.mode = len(data), 0o755
        tar.addfile(info, io.BytesIO(data))
        for applet in applets:
            if applet != "busybox":
                info = tarfile.TarInfo(f"bin/{applet}")
                info.type, info.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(info)
        for name, text in (("etc/passwd", PASSWD), ("etc/group", GROUP)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def unpack_tar(path: Path, folder: Path) -> None:
    """Unpack the tar `path` into `folder`, by GNU tar: tarfile has extraction filters only in later Pythons."""
    subprocess.run(["tar", "-C", folder, "-xpf", path], check=True)
