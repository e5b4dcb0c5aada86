"""Clients that build by `POST /build`, unchanged: docker-py, Testcontainers, dockerode, and old command lines."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tests.support.engine import NativeEngine, run
from tests.support.tools import bookworm_docker_cli, docker_cli, dockerode

FILE = "FROM busybox AS base\nARG WHO=nobody\nCOPY a /a\nRUN echo $WHO >>/a\nFROM base AS last\nCMD cat /a\n"

TESTCONTAINERS = """
import sys
from testcontainers.core.container import DockerContainer
from testcontainers.core.image import DockerImage

with DockerImage(path=sys.argv[1], tag="cvt/testcontainers:1", buildargs={"WHO": "testcontainers"}) as image:
    print([line["stream"] for line in image.get_logs() if "stream" in line][0], end="")
    container = DockerContainer(str(image)).with_command("sh -c 'cat /a; sleep 60'")
    with container:
        while "testcontainers" not in container.get_logs()[0].decode():
            pass
        print(container.get_logs()[0].decode(), end="")
"""

DOCKERODE = """
const Docker = require('dockerode');
const docker = new Docker({socketPath: process.argv[2]});
(async () => {
  const stream = await docker.buildImage(
    {context: process.argv[3], src: ['Dockerfile', 'a']}, {t: 'cvt/dockerode:1', buildargs: {WHO: 'dockerode'}});
  const lines = await new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, found) => error ? reject(error) : resolve(found)));
  console.log(lines.find(line => line.aux).aux.ID);
  const failing = await docker.buildImage(
    {context: process.argv[3], src: ['Dockerfile', 'a']}, {t: 'cvt/dockerode:1', dockerfile: 'missing'})
    .catch(error => error);
  console.log(failing.statusCode);
})();
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(FILE)
    (tmp_path / "a").write_text("content\n")
    return tmp_path


def test_docker_py(engine: NativeEngine, folder: Path) -> None:
    client = docker.DockerClient(engine.host)
    try:
        image, lines = client.images.build(
            path=str(folder), tag="cvt/py:1", buildargs={"WHO": "docker-py"}, target="last", labels={"l": "1"}, rm=True
        )
        said = "".join(line.get("stream", "") for line in lines)
        assert "Step 1/6 : FROM busybox AS base" in said
        assert image.tags == ["cvt/py:1"]
        assert image.labels == {"l": "1"}
        assert client.containers.run("cvt/py:1", remove=True) == b"content\ndocker-py\n"
        failed = [*client.api.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 3\n"), decode=True, nocache=True)]
        assert failed[-1]["errorDetail"] == {
            "code": 3, "message": "The command '/bin/sh -c exit 3' returned a non-zero code: 3",
        }  # fmt: skip
    finally:
        client.close()


def test_testcontainers(engine: NativeEngine, folder: Path) -> None:
    environment = {"DOCKER_HOST": engine.host, "TESTCONTAINERS_RYUK_DISABLED": "true"}
    done = run([sys.executable, "-c", TESTCONTAINERS, folder], environment, check=True)
    assert done.stdout == "Step 1/6 : FROM busybox AS base\ncontent\ntestcontainers\n"
    assert engine.docker("images", "-q", "cvt/testcontainers").stdout == ""


def test_dockerode(engine: NativeEngine, folder: Path) -> None:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    environment = {"NODE_PATH": str(dockerode())}
    done = run([node, "-e", DOCKERODE, "--", "x", str(engine.socket), str(folder)], environment, check=True)
    image, status = done.stdout.split()
    assert image == engine.docker("images", "-q", "--no-trunc", "cvt/dockerode:1").stdout.strip()
    assert status == "400"
    assert engine.docker("run", "--rm", "cvt/dockerode:1").stdout == "content\ndockerode\n"


@pytest.mark.parametrize("cli", [bookworm_docker_cli, docker_cli], ids=["bookworm", "trixie"])
def test_the_classic_builder_of_a_command_line(
    engine: NativeEngine, folder: Path, cli: Callable[[], Path], tmp_path: Path
) -> None:
    """`DOCKER_BUILDKIT=0 docker build`, by the last client whose default it was and by one that calls it legacy."""
    environment = {"DOCKER_HOST": engine.host, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(tmp_path / "none")}
    build: list[str | Path] = [cli(), "build", "--build-arg", "WHO=cli", "--label", "l=1", "-t", "cvt/old:1"]
    said = run([*build, folder], environment, check=True).stdout
    assert "Step 1/6 : FROM busybox AS base" in said or "Step 1/7 : FROM busybox AS base" in said
    assert said.endswith("Successfully tagged cvt/old:1\n")
    assert engine.docker("run", "--rm", "cvt/old:1").stdout == "content\ncli\n"
    assert "Using cache" in run([*build, folder], environment, check=True).stdout
    (folder / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n")
    failed = run([*build, folder], environment, check=False)
    assert failed.returncode == 3
    assert "The command '/bin/sh -c exit 3' returned a non-zero code: 3" in failed.stderr
    engine.docker("rmi", "cvt/old:1")
