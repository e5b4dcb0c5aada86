"""Libraries and command lines that build, unchanged, against the engine in the VM through the host's socket."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which

import docker
import pytest

from tests.builder.test_clients import DOCKERODE, FILE, TESTCONTAINERS
from tests.support.engine import run
from tests.support.limits import HANG_S
from tests.support.pushing import Docker, a_build_is_pushed, registry_in_a_container
from tests.support.tools import (
    bookworm_docker_cli,
    docker_cli,
    docker_compose_v1,
    docker_config,
    dockerode,
    newest_docker,
)
from tests.support.waiting import wait_until
from tests.vm.conftest import Vm

pytestmark = pytest.mark.vm

Build = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(FILE)
    (tmp_path / "a").write_text("content\n")
    return tmp_path


@pytest.fixture
def build(vm: Vm, folder: Path) -> Build:
    """Runs a client in the folder; returns what it says."""

    def done(*words: str | Path, buildkit: str = "1") -> str:
        own = {"DOCKER_HOST": vm.host, "DOCKER_CONFIG": str(docker_config()), "DOCKER_BUILDKIT": buildkit}
        made = subprocess.run(
            words, env={**vm.environ, **own}, cwd=folder, capture_output=True, text=True,
            timeout=HANG_S, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        return made.stdout + made.stderr

    return done


@pytest.fixture
def with_buildx(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> Docker:
    monkeypatch.setitem(vm.environ, "DOCKER_CONFIG", str(docker_config()))
    return vm.docker


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
    done = run([sys.executable, "-c", TESTCONTAINERS, folder], environment, check=True)
    assert done.stdout.endswith("content\ntestcontainers\n")


@pytest.mark.skipif(not (which("node") and which("npm")), reason="node and npm are not installed")
def test_dockerode(vm: Vm, folder: Path) -> None:
    environment = {"NODE_PATH": str(dockerode())}
    socket = vm.host.removeprefix("unix://")
    done = run(["node", "-e", DOCKERODE, "--", "x", socket, str(folder)], environment, check=True)
    image, status = done.stdout.split()
    assert image.startswith("sha256:")
    assert status == "400"
    assert vm.docker("run", "--rm", "cvt/dockerode:1").stdout == "content\ndockerode\n"
    vm.docker("rmi", "cvt/dockerode:1")


def test_the_classic_builder_of_an_old_command_line(vm: Vm, build: Build) -> None:
    said = build(bookworm_docker_cli(), "build", "-t", "cvt/old:1", ".", buildkit="0")
    assert "Successfully tagged cvt/old:1" in said
    vm.docker("rmi", "cvt/old:1")


def test_docker_compose(vm: Vm, folder: Path, build: Build) -> None:
    (folder / "compose.yaml").write_text("services:\n  w:\n    build: .\n    image: cvt/composed\n")
    build(docker_cli(), "compose", "build")
    assert vm.docker("run", "--rm", "cvt/composed").stdout == "content\nnobody\n"
    vm.docker("rmi", "cvt/composed")


def test_docker_compose_1(vm: Vm, folder: Path) -> None:
    """It builds by docker-py or, as here, by docker's client."""
    (folder / "compose.yaml").write_text("services:\n  w:\n    build: .\n    image: cvt/composed1\n")
    found = {
        "DOCKER_HOST": vm.host,
        "DOCKER_CONFIG": str(docker_config()),
        "PATH": f"{docker_cli().parent}:{os.environ['PATH']}",
    }
    for buildkit in ("0", "1"):
        run([docker_compose_v1(), "build"], {**found, "DOCKER_BUILDKIT": buildkit}, check=True, cwd=folder)
        assert vm.docker("run", "--rm", "cvt/composed1").stdout == "content\nnobody\n"
        vm.docker("rmi", "cvt/composed1")


def test_the_checks_of_the_newest_client(vm: Vm, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox as x\n")
    docker_, config = newest_docker()
    environment = {"DOCKER_HOST": vm.host, "DOCKER_CONFIG": str(config)}
    for words in (("build", "--check"), ("buildx", "build", "--call=lint")):
        done = run([docker_, *words, folder], environment, check=False)
        assert done.returncode == 1, done.stderr
        assert "WARNING: FromAsCasing" in done.stdout


def test_an_ssh_agent_of_the_host(vm: Vm, folder: Path, build: Build, tmp_path: Path) -> None:
    agent_socket = tmp_path / "agent"
    (folder / "Dockerfile").write_text("FROM busybox\nRUN --mount=type=ssh stat -c %F $SSH_AUTH_SOCK >/kind\n")
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent_socket], stdout=subprocess.DEVNULL) as agent:
        try:
            wait_until(agent_socket.exists)
            build(docker_cli(), "build", "-t", "cvt/agent", "--ssh", f"default={agent_socket}", ".")
        finally:
            agent.terminate()
            agent.wait(HANG_S)
    assert vm.docker("run", "--rm", "cvt/agent", "cat", "/kind").stdout == "socket\n"
    vm.docker("rmi", "cvt/agent")


def test_an_sbom_and_a_provenance(vm: Vm, folder: Path, build: Build) -> None:
    build(docker_cli(), "build", "-t", "cvt/attested", "--sbom=true", "--provenance=mode=max", ".")
    assert vm.docker("run", "--rm", "cvt/attested").stdout == "content\nnobody\n"
    with vm.engine() as engine:
        [image] = engine.request("GET", "/images/json", {"manifests": True, "filters": {"reference": ["cvt/attested"]}})
    assert sorted(one["Kind"] for one in image["Manifests"]) == ["attestation", "image"]
    vm.docker("rmi", "cvt/attested")


def test_bake(vm: Vm, folder: Path, build: Build) -> None:
    (folder / "docker-bake.json").write_text('{"target": {"default": {"tags": ["cvt/baked"]}}}')
    build(docker_cli(), "buildx", "bake")
    vm.docker("rmi", "cvt/baked")


def test_a_secret_outputs_and_a_cache_in_a_folder(folder: Path, build: Build) -> None:
    (folder / "s").write_text("hush")
    (folder / "Dockerfile").write_text(f"{FILE}RUN --mount=type=secret,id=s cat /run/secrets/s >/got\n")
    words = (docker_cli(), "build", "--secret", "id=s,src=s")
    build(*words, "-o", "out", "--cache-to", "type=local,dest=cache", ".")
    assert (folder / "out" / "got").read_text() == "hush"
    build(*words, "-o", "type=oci,dest=o.tar", "--cache-from", "type=local,src=cache", ".")
    assert (folder / "o.tar").stat().st_size


def test_a_push_to_a_registry_in_a_container(vm: Vm, with_buildx: Docker, tmp_path: Path) -> None:
    with registry_in_a_container(with_buildx, tmp_path / "registry", "busybox") as address:
        a_build_is_pushed(with_buildx, tmp_path / "context", "busybox", address)


def test_a_push_to_a_registry_of_the_host(vm: Vm, with_buildx: Docker, tmp_path: Path, registry: str) -> None:
    port = registry.rpartition(":")[2]
    a_build_is_pushed(with_buildx, tmp_path / "context", "busybox", f"host.docker.internal:{port}")
    name = f"host.cove.internal:{port}/cvt/busybox:1"
    vm.docker("tag", "busybox", name)
    assert "digest: sha256:" in vm.docker("push", name).stdout
    vm.docker("rmi", name)
