"""Libraries and command lines that build, unchanged, against the engine in the VM through the host's socket."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from tests.builder.test_clients import _DOCKERODE, _TESTCONTAINERS, FILE
from tests.support.engine import run
from tests.support.limits import HANG_S
from tests.support.tools import bookworm_docker_cli, docker_cli, docker_config, dockerode
from tests.vm.conftest import Vm

pytestmark = pytest.mark.vm


@pytest.fixture
def folder(tmp_path: Path, busybox: str) -> Path:
    (tmp_path / "Dockerfile").write_text(FILE.replace("busybox", busybox))
    (tmp_path / "a").write_text("content\n")
    return tmp_path


def test_docker_py(vm: Vm, folder: Path) -> None:
    client = docker.DockerClient(vm.host)
    try:
        image, lines = client.images.build(path=str(folder), tag="cvt/py:1", buildargs={"WHO": "docker-py"}, rm=True)
        assert "Step 1/6 : FROM " in "".join(line.get("stream", "") for line in lines)
        assert client.containers.run("cvt/py:1", remove=True) == b"content\ndocker-py\n"
        client.images.remove(image.id, force=True)
    finally:
        client.close()


def test_testcontainers(vm: Vm, folder: Path) -> None:
    environment = {"DOCKER_HOST": vm.host, "TESTCONTAINERS_RYUK_DISABLED": "true"}
    done = run([sys.executable, "-c", _TESTCONTAINERS, folder], environment, check=True)
    assert done.stdout.endswith("content\ntestcontainers\n")


def test_dockerode(vm: Vm, folder: Path) -> None:
    environment = {"NODE_PATH": str(dockerode())}
    socket = vm.host.removeprefix("unix://")
    done = run(["node", "-e", _DOCKERODE, "--", "x", socket, str(folder)], environment, check=True)
    image, status = done.stdout.split()
    assert image.startswith("sha256:")
    assert status == "400"
    assert vm.docker("run", "--rm", "cvt/dockerode:1").stdout == "content\ndockerode\n"
    vm.docker("rmi", "cvt/dockerode:1")


@pytest.mark.parametrize("version", ["bookworm classic", "trixie compose", "trixie bake", "trixie secret and outputs"])
def test_command_lines(vm: Vm, folder: Path, version: str) -> None:
    environment = {**os.environ, **vm.environ, "DOCKER_HOST": vm.host, "DOCKER_CONFIG": str(docker_config())}

    def done(*words: str | Path, buildkit: str = "1") -> str:
        made = subprocess.run(
            words, env=environment | {"DOCKER_BUILDKIT": buildkit}, cwd=folder, capture_output=True, text=True,
            timeout=HANG_S, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        return made.stdout + made.stderr

    if version == "bookworm classic":
        assert "Successfully tagged cvt/old:1" in done(
            bookworm_docker_cli(), "build", "-t", "cvt/old:1", ".", buildkit="0"
        )
        vm.docker("rmi", "cvt/old:1")
    elif version == "trixie compose":
        (folder / "compose.yaml").write_text("services:\n  w:\n    build: .\n    image: cvt/composed\n")
        done(docker_cli(), "compose", "build")
        assert vm.docker("run", "--rm", "cvt/composed").stdout == "content\nnobody\n"
        vm.docker("rmi", "cvt/composed")
    elif version == "trixie bake":
        (folder / "docker-bake.json").write_text('{"target": {"default": {"tags": ["cvt/baked"]}}}')
        done(docker_cli(), "buildx", "bake")
        vm.docker("rmi", "cvt/baked")
    else:
        (folder / "s").write_text("hush")
        (folder / "Dockerfile").write_text(
            (folder / "Dockerfile").read_text() + "RUN --mount=type=secret,id=s cat /run/secrets/s >/got\n"
        )
        words = (docker_cli(), "build", "--secret", "id=s,src=s")
        done(*words, "-o", "out", "--cache-to", "type=local,dest=cache", ".")
        assert (folder / "out" / "got").read_text() == "hush"
        done(*words, "-o", "type=oci,dest=o.tar", "--cache-from", "type=local,src=cache", ".")
        assert (folder / "o.tar").stat().st_size
