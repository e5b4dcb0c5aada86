"""`cove volume export|import|clone|rename` on a native engine."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.cli import volumedata
from desktop.cli.app import App
from desktop.client.api import Query
from desktop.client.engine import Endpoint, EngineClient
from desktop.paths import host_paths
from tests.support.engine import NativeEngine

IMAGE = "busybox:latest"
NAMES = ("data-one", "data-two")
FILL = "mkdir -p /v/deep && echo text > /v/deep/file && ln -s deep/file /v/link && chown 1000:50 /v/deep/file"
LOOK = "cat /v/link; stat -c '%u:%g %a' /v/deep/file; ls /v"


@pytest.fixture
def volumes(engine: NativeEngine) -> Iterator[NativeEngine]:
    engine.docker("volume", "create", "--label", "kind=test", NAMES[0])
    engine.docker("run", "--rm", "-v", f"{NAMES[0]}:/v", IMAGE, "sh", "-c", FILL)
    yield engine
    engine.docker("volume", "rm", "-f", *NAMES)


def content(engine: NativeEngine, name: str) -> str:
    return engine.docker("run", "--rm", "-v", f"{name}:/v", IMAGE, "sh", "-c", LOOK).stdout


def names(engine: NativeEngine) -> set[str]:
    return set(engine.docker("volume", "ls", "-q").stdout.split()) & set(NAMES)


def test_a_volume_goes_out_and_comes_back(volumes: NativeEngine, tmp_path: Path) -> None:
    wanted = content(volumes, NAMES[0])
    file = tmp_path / "out.tar"
    volumes.cove("volume", "export", "-o", str(file), NAMES[0])
    with tarfile.open(file) as tar:
        assert {name.removeprefix("./") for name in tar.getnames()} >= {"deep", "deep/file", "link"}
    assert volumes.cove("volume", "import", "-i", str(file), NAMES[1]).stdout == f"{NAMES[1]}\n"
    assert content(volumes, NAMES[1]) == wanted
    assert volumes.docker("ps", "-aq").stdout == "", "the containers that were made for it are gone"


def test_a_clone_has_content_and_labels_of_its_own(volumes: NativeEngine) -> None:
    wanted = content(volumes, NAMES[0])
    volumes.cove("volume", "clone", *NAMES)
    [made] = json.loads(volumes.docker("volume", "inspect", NAMES[1]).stdout)
    assert made["Labels"] == {"kind": "test"}
    volumes.docker("run", "--rm", "-v", f"{NAMES[0]}:/v", IMAGE, "rm", "-r", "/v/deep", "/v/link")
    assert content(volumes, NAMES[1]) == wanted
    again = volumes.cove("volume", "clone", *NAMES, check=False)
    assert again.returncode == 1
    assert f"volume {NAMES[1]} exists already" in again.stderr


def test_a_volume_is_renamed_unless_a_container_has_it(volumes: NativeEngine) -> None:
    wanted = content(volumes, NAMES[0])
    volumes.docker("create", "--name", "user", "-v", f"{NAMES[0]}:/v", IMAGE)
    refused = volumes.cove("volume", "rename", *NAMES, check=False)
    assert f"volume {NAMES[0]} is in use by container" in refused.stderr
    assert names(volumes) == {NAMES[0]}
    volumes.docker("rm", "user")
    volumes.cove("volume", "rename", *NAMES)
    assert names(volumes) == {NAMES[1]}
    assert content(volumes, NAMES[1]) == wanted


class ForeignClient(EngineClient):
    """A client of an engine that knows none of Cove's calls."""

    def target(self, path: str, query: Query | None) -> str:
        return super().target(path.replace("/cove/v1/", "/not/known/"), query)


class ForeignApp(App):
    foreign: EngineClient

    def client(self) -> EngineClient:
        return self.foreign


def test_on_another_engine_a_container_is_made_for_it(volumes: NativeEngine, tmp_path: Path) -> None:
    wanted = content(volumes, NAMES[0])
    app, image = ForeignApp(host_paths({}, "linux"), {}), ("--image", IMAGE)
    with ForeignClient(Endpoint.parse(volumes.host)) as app.foreign:
        assert volumedata.clone([*image, *NAMES], app) == 0
        assert content(volumes, NAMES[1]) == wanted
        volumes.docker("volume", "rm", NAMES[0])
        assert volumedata.rename([*image, *reversed(NAMES)], app) == 0
        assert names(volumes) == {NAMES[0]}
        file = tmp_path / "out.tar"
        assert volumedata.export([*image, "-o", str(file), NAMES[0]], app) == 0
        assert volumedata.import_([*image, "-i", str(file), NAMES[1]], app) == 0
        assert content(volumes, NAMES[1]) == wanted
    assert volumes.docker("ps", "-aq").stdout == "", "the containers that were made for it are gone"


def test_what_does_not_exist_is_not_made(volumes: NativeEngine) -> None:
    for verb in (("export", "-o", "/dev/null", NAMES[1]), ("clone", NAMES[1], "data-three")):
        failed = volumes.cove("volume", *verb, check=False)
        assert failed.returncode == 1
        assert f"get {NAMES[1]}: no such volume" in failed.stderr
    assert names(volumes) == {NAMES[0]}
