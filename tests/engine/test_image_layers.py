"""Containers of images whose layers are unusual, through the docker CLI, for both kinds of stored layers."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine, native_engine
from tests.support.limits import HANG_S

IMAGE = "busybox:latest"


@pytest.fixture(scope="module", params=["dir", "tar"])
def kind_engine(request: pytest.FixtureRequest, busybox_tar: Path) -> Iterator[NativeEngine]:
    """An engine that stores its layers as folders, and one that stores them as tars with an EROFS index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVE_LAYERS", request.param)
        with native_engine() as made:
            made.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
            told = json.loads(made.docker("info", "-f", "{{json .DriverStatus}}").stdout)
            if ["Layers", request.param] not in told:
                pytest.skip(f"this machine's kernel mounts no EROFS image from {made.root}")
            yield made


def members(path: Path) -> set[str]:
    with tarfile.open(path) as tar:
        return set(tar.getnames())


def check_container(engine: NativeEngine, image: str, tmp_path: Path) -> None:
    """A container of `image` starts; cp, diff, export and commit work on it, running and stopped."""
    docker = engine.docker
    docker("create", "--name", "repeated", image, "sleep", "600")
    try:
        docker("start", "repeated")
        (tmp_path / "in").write_text("in")
        for state in ("running", "stopped"):
            if state == "stopped":
                docker("stop", "-t0", "repeated")
            docker("cp", str(tmp_path / "in"), f"repeated:/etc/{state}")
            docker("cp", f"repeated:/etc/{state}", str(tmp_path / f"out-{state}"))
            assert (tmp_path / f"out-{state}").read_text() == "in"
            assert f"A /etc/{state}" in docker("diff", "repeated").stdout
            docker("export", "-o", str(tmp_path / "export.tar"), "repeated")
            assert {"bin/busybox", f"etc/{state}"} <= members(tmp_path / "export.tar")
        docker("commit", "repeated", "repeated:committed")
        assert docker("run", "--rm", "repeated:committed", "cat", "/etc/stopped").stdout == "in"
        docker("rmi", "repeated:committed")
    finally:
        docker("rm", "-f", "repeated")


def test_an_image_that_names_a_layer_several_times_is_as_good_as_any(
    kind_engine: NativeEngine, registry: str, tmp_path: Path
) -> None:
    docker = kind_engine.docker
    docker("tag", IMAGE, "repeated:0")
    for number in range(3):
        docker("create", "--name", "unchanged", f"repeated:{number}", "true")
        docker("commit", "unchanged", f"repeated:{number + 1}")  # a commit of no change: each adds the same empty layer
        docker("rm", "unchanged")
    layers = json.loads(docker("inspect", "-f", "{{json .RootFS.Layers}}", "repeated:3").stdout)
    assert (len(layers), len(set(layers))) == (4, 2)
    check_container(kind_engine, "repeated:3", tmp_path)

    image_id = docker("inspect", "-f", "{{.Id}}", "repeated:3").stdout
    pushed = f"{registry}/repeated-by-commits:1"
    docker("tag", "repeated:3", pushed)
    docker("push", pushed)
    docker("save", "-o", str(tmp_path / "saved.tar"), "repeated:3")
    docker("rmi", pushed, *(f"repeated:{number}" for number in range(4)))
    docker("load", "-i", str(tmp_path / "saved.tar"))
    assert docker("inspect", "-f", "{{.Id}}", "repeated:3").stdout == image_id
    check_container(kind_engine, "repeated:3", tmp_path)
    docker("rmi", "repeated:3")
    docker("pull", pushed)
    assert docker("inspect", "-f", "{{.Id}}", pushed).stdout == image_id
    check_container(kind_engine, pushed, tmp_path)
    docker("rmi", pushed)


def test_a_client_that_leaves_in_the_middle_of_an_archive_disturbs_nobody(kind_engine: NativeEngine) -> None:
    docker = kind_engine.docker
    docker("run", "--name", "large", IMAGE, "sh", "-c", "head -c 20000000 /dev/urandom >/large")
    docker("commit", "large", "large:1")
    docker("rm", "large")
    path = "/images/get?names=large:1"
    try:
        for _ in range(4):  # more than there are workers
            with kind_engine.client() as client, client.save(["large:1"]) as stream:
                assert next(iter(stream))
        connection = http.client.HTTPConnection("engine")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(HANG_S)
        with contextlib.closing(connection):
            connection.sock.connect(str(kind_engine.socket))
            for _ in range(2):  # the connection is as usable as after any reply
                connection.request("GET", path)
                whole = connection.getresponse().read()
                with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
                    sizes = [member.size for member in tar]
                assert max(sizes) > 20_000_000, sizes
            connection.request("GET", "/images/get?names=nothing:1")
            refused = connection.getresponse()
            message = json.loads(refused.read())["message"]
            assert (refused.status, message) == (404, "No such image: nothing:1")
    finally:
        docker("rmi", "large:1")
