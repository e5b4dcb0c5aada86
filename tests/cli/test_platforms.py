"""`cove` and docker's client with images of several platforms, on a native engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.kit import Entry, MadeImage, digest, index_of, tar_of, upload
from tests.support.engine import NativeEngine
from tests.support.tools import busybox_tar
from vmagent.images.platforms import Platform

FOREIGN = "linux/s390x"
REPOSITORY = "platforms/x"
HOST = "%7B%22os%22:%22linux%22,%22architecture%22:%22amd64%22%7D"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeImage, MadeImage]:
    """For this machine, and a foreign one."""
    path = tmp_path_factory.mktemp("busybox") / "busybox.tar"
    busybox_tar(path)
    host = Platform.host()
    return (
        MadeImage(path.read_bytes(), platform=(host.os, host.architecture)),
        MadeImage(tar_of(Entry("f", b"foreign")), platform=("linux", "s390x")),
    )


@pytest.fixture
def name(engine: NativeEngine, registry: str, images: tuple[MadeImage, MadeImage]) -> Iterator[str]:
    for image in images:
        image.put(registry, REPOSITORY, digest(image.manifest))
    index = index_of(*images)
    upload(registry, "PUT", f"/v2/{REPOSITORY}/manifests/1", index, kind=json.loads(index)["mediaType"])
    yield f"{registry}/{REPOSITORY}:1"
    engine.docker("rmi", "-f", f"{registry}/{REPOSITORY}:1", check=False)


def test_the_tree_shows_what_is_here(engine: NativeEngine, name: str, images: tuple[MadeImage, MadeImage]) -> None:
    engine.docker("pull", name)
    heading, row, own, foreign = engine.cove("images", "--tree", name).stdout.splitlines()
    assert heading.split() == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "EXTRA"]
    assert row.split()[:2] == [name, images[0].id.removeprefix("sha256:")[:12]]
    assert own.split()[:3] == ["├─", str(Platform.host()), digest(images[0].manifest).removeprefix("sha256:")[:12]]
    assert foreign.split() == ["└─", FOREIGN, digest(images[1].manifest).removeprefix("sha256:")[:12], "0B", "0B"]
    refused = engine.cove("images", "--tree", "-q", check=False)
    assert (refused.returncode, refused.stderr.strip()) == (1, "--quiet is not yet supported with --tree")


def test_dockers_client_runs_each_platform(engine: NativeEngine, name: str) -> None:
    missing = engine.docker("create", "--pull=never", "--platform", FOREIGN, name, check=False)
    assert missing.returncode == 1
    engine.docker("pull", "-q", name)
    engine.docker("pull", "-q", "--platform", FOREIGN, name)
    assert engine.docker("run", "--rm", name, "echo", "own").stdout == "own\n"
    own, foreign = (
        engine.docker("create", "--pull=never", "--platform", platform, name).stdout.strip()
        for platform in (str(Platform.host()), FOREIGN)
    )
    ids = [engine.docker("inspect", "-f", "{{.Image}}", made).stdout.strip() for made in (own, foreign)]
    assert len(set(ids)) == 2
    used = engine.docker("rmi", name, check=False)
    assert "is using its referenced image" in used.stderr
    engine.docker("rm", own, foreign)
    engine.docker("rmi", name)
    gone = [engine.docker("image", "inspect", one, check=False).returncode for one in ids]
    assert gone == [1, 1]


def test_each_verb_takes_a_platform(
    engine: NativeEngine, name: str, images: tuple[MadeImage, MadeImage], registry: str, tmp_path: Path
) -> None:
    words = f"image with reference {name} was found but does not provide the specified platform ({FOREIGN})"
    engine.cove("pull", "-q", name)
    for verb in (("image", "inspect"), ("history",), ("save", "-o", str(tmp_path / "x")), ("push",), ("image", "rm")):
        refused = engine.cove(*verb, "--platform", FOREIGN, name, check=False)
        assert (refused.returncode, words in refused.stderr) == (1, True), (verb, refused.stderr)
    engine.cove("tag", name, f"{registry}/platforms/part:1")
    part = engine.cove("push", f"{registry}/platforms/part:1")
    engine.cove("rmi", f"{registry}/platforms/part:1")
    assert "Not all multiplatform-content is present" in part.stderr
    engine.cove("pull", "-q", "--platform", FOREIGN, name)
    shown = json.loads(engine.cove("image", "inspect", "--platform", FOREIGN, name).stdout)
    assert [one["Id"] for one in shown] == [images[1].id]
    shown = json.loads(engine.cove("image", "inspect", "--platform", "linux", name).stdout)
    assert [one["Id"] for one in shown] == [images[0].id]  # a system alone: this machine's architecture
    path = tmp_path / "foreign.tar"
    engine.cove("save", "--platform", FOREIGN, "-o", str(path), name)
    whole = tmp_path / "whole.tar"
    engine.cove("save", "-o", str(whole), name)
    engine.cove("rmi", "--platform", FOREIGN, name)
    assert engine.cove("image", "inspect", "--platform", FOREIGN, name, check=False).returncode == 1
    engine.cove("rmi", name)
    assert engine.cove("load", "-i", str(path)).stdout == f"Loaded image: {name}\n"
    assert json.loads(engine.cove("image", "inspect", name).stdout)[0]["Architecture"] == "s390x"
    engine.cove("rmi", name)
    engine.cove("load", "--platform", FOREIGN, "-i", str(whole))
    assert json.loads(engine.cove("image", "inspect", name).stdout)[0]["Id"] == images[1].id
    unknown = engine.cove("image", "inspect", "--platform", "nothing", name, check=False)
    assert (unknown.returncode, '"nothing": unknown operating system or architecture' in unknown.stderr) == (1, True)
    bad = engine.cove("save", "--platform", "a b", "-o", str(path), name, check=False)
    assert '"a b" is an invalid component of "a b"' in bad.stderr


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/images/busybox/json?platform=x", "failed to parse platform"),
        ("/images/busybox/json?platform={}", "both OS and Architecture must be provided"),
        ("/images/busybox/json?platform=%7B%22variant%22:%22v7%22%7D", "optional platform fields provided"),
        ("/images/busybox/json?manifests=1&platform=" + HOST, "conflicting options: manifests and platform"),
        ("/images/busybox/get?platform=[]", "failed to parse platform"),
    ],
)  # fmt: skip
def test_a_platform_that_is_none_is_a_bad_request(engine: NativeEngine, path: str, words: str) -> None:
    with engine.client() as client:
        response = client.exchange("GET", f"/v1.51{path}", {}, None)
        assert (response.status, words in response.read().decode()) == (400, True)
        client.finish(response)


def test_several_platforms_are_built_at_once(engine: NativeEngine, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\n")
    platforms = [str(Platform.host()), FOREIGN]
    engine.cove("build", "--platform", ",".join(platforms), "-t", "platforms/built", str(tmp_path))
    lines = engine.cove("images", "--tree", "platforms/built").stdout.splitlines()
    assert [line.split()[1] for line in lines[2:]] == platforms
    for platform in platforms:
        shown = json.loads(engine.cove("image", "inspect", "--platform", platform, "platforms/built").stdout)
        assert shown[0]["Architecture"] == platform.split("/")[1]
    engine.cove("rmi", "platforms/built")
