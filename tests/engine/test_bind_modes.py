"""Bind mounts: which of the mounts below are writable, binds of the data root; and anonymous volumes of others."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import NativeEngine

IMAGE, NAME = "busybox:latest", "bind-modes"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file system of its own below."""
    below = tmp_path / "tree" / "below"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "below", below], check=True)
    yield below.parent
    subprocess.run(["umount", below], check=True)


def writable(engine: NativeEngine, mount: dict[str, Any]) -> set[str]:
    """Which of /r and /r/below a container can write to."""
    script = "for place in /r /r/below; do touch $place/x 2>/dev/null && echo $place && rm $place/x; done; exit 0"
    config = {"Image": IMAGE, "Cmd": ["sh", "-c", script], "HostConfig": {"Mounts": [{"Target": "/r", **mount}]}}
    client = engine.client()
    try:
        made = client.create(config, name=NAME)["Id"]
        client.start(made)
        client.wait(made)
        return set(engine.docker("logs", NAME).stdout.split())
    finally:
        client.close()
        engine.docker("rm", "-f", NAME)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, set()),
        ({"ReadOnlyForceRecursive": True}, set()),
        ({"ReadOnlyNonRecursive": True}, {"/r/below"}),
        ({"NonRecursive": True}, set()),
    ],
)
def test_a_read_only_bind_says_what_is_below(
    engine: NativeEngine, tree: Path, options: dict[str, bool], wanted: set[str]
) -> None:
    mount = {"Type": "bind", "Source": str(tree), "ReadOnly": True, "BindOptions": options}
    assert writable(engine, mount) == wanted


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"BindOptions": {"ReadOnlyNonRecursive": True}}, "!ReadOnly && BindOptions.ReadOnlyNonRecursive"),
        ({"BindOptions": {"ReadOnlyForceRecursive": True}}, "!ReadOnly && BindOptions.ReadOnlyForceRecursive"),
        (
            {"ReadOnly": True, "BindOptions": {"NonRecursive": True, "ReadOnlyForceRecursive": True}},
            "NonRecursive && BindOptions.ReadOnlyForceRecursive",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(engine: NativeEngine, mount: dict[str, Any], words: str) -> None:
    body = {"Image": IMAGE, "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/r", **mount}]}}
    command = f"curl -s --unix-socket {engine.socket} -H content-type:application/json http://e/containers/create"
    reply = json.loads(engine.shell(f"{command} -d '{json.dumps(body)}'").stdout)
    assert f"mount options conflict: {words}" in reply["message"]


def test_a_bind_of_the_data_root_gives_its_mounts_back(engine: NativeEngine) -> None:
    root = str(engine.root / "data")
    for source in (root, f"{root}/volumes", str(engine.root)):
        engine.docker("create", "--name", NAME, "-v", f"{source}:/r", IMAGE)
        [found] = json.loads(engine.docker("inspect", NAME).stdout)
        assert [mount["Propagation"] for mount in found["Mounts"]] == ["rslave"]
        engine.docker("rm", NAME)
        refused = engine.docker("create", "--name", NAME, "-v", f"{source}:/r:rprivate", IMAGE, check=False)
        assert 'must use either propagation mode "rslave" or "rshared"' in refused.stderr


def volumes(engine: NativeEngine) -> set[str]:
    return set(engine.docker("volume", "ls", "-q").stdout.split())


def test_an_anonymous_volume_goes_with_the_last_container_that_has_it(engine: NativeEngine) -> None:
    before = volumes(engine)
    for order in (("one", "two"), ("two", "one")):
        engine.docker("create", "--name", "one", "-v", "/data", IMAGE)
        engine.docker("create", "--name", "two", "--volumes-from", "one", IMAGE)
        (made,) = volumes(engine) - before
        engine.docker("run", "--rm", "--volumes-from", "one", IMAGE, "true")
        engine.docker("rm", "-v", order[0])
        assert made in volumes(engine)
        engine.docker("rm", "-v", order[1])
        assert volumes(engine) == before


def test_a_named_volume_of_another_container_stays(engine: NativeEngine) -> None:
    engine.docker("create", "--name", "one", "-v", "kept-volume:/data", IMAGE)
    engine.docker("create", "--name", "two", "--volumes-from", "one", IMAGE)
    engine.docker("rm", "-v", "one", "two")
    assert "kept-volume" in volumes(engine)
    engine.docker("volume", "rm", "kept-volume")


def test_an_anonymous_volume_covers_a_part_of_a_bind(engine: NativeEngine, tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "file").write_text("of the host")
    script = "ls /b/part; touch /b/part/new /b/beside"
    done = engine.docker("run", "--rm", "-v", f"{tmp_path}:/b", "-v", "/b/part", IMAGE, "sh", "-c", script)
    assert done.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} == {"part", "beside"}
    assert {path.name for path in (tmp_path / "part").iterdir()} == {"file"}
