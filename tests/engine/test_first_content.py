"""The first content of a volume: a complete copy of the image's content, before any container with it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.support.tools import docker_cli
from vmagent.volumes import filling
from vmagent.volumes.model import Volume
from vmagent.volumes.store import VolumeStore

IMAGE = "busybox:latest"
FILES = 400
COUNT = ("sh", "-c", "ls /data/d 2>/dev/null | wc -l")


def make_image(engine: NativeEngine, tag: str, files: int = FILES) -> None:
    """An image with many files at /data/d, in a folder of another owner and mode."""
    script = (
        f"mkdir -p /data/d; for i in $(seq {files}); do echo $i >/data/d/$i; done; chown 5:6 /data; chmod 750 /data"
    )
    name = f"cvt-make-{tag.partition(':')[0]}"
    engine.docker("run", "--name", name, IMAGE, "sh", "-c", script)
    engine.docker("commit", name, tag)
    engine.docker("rm", name)


@pytest.fixture(scope="module")
def filled(engine: NativeEngine) -> Iterator[str]:
    make_image(engine, "first-content:1")
    yield "first-content:1"
    engine.docker("rmi", "first-content:1")


@pytest.fixture
def volume(request: pytest.FixtureRequest, engine: NativeEngine) -> Iterator[str]:
    made = f"cvt-{abs(hash(request.node.nodeid)):x}"
    yield made
    engine.docker("volume", "rm", "-f", made, check=False)


def test_containers_started_together_all_see_the_whole_content(engine: NativeEngine, filled: str, volume: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(engine.docker, "run", "--rm", "-v", f"{volume}:/data", filled, *COUNT) for _ in range(4)]
        assert [int(run.result().stdout) for run in runs] == [FILES] * 4
    told = engine.docker("run", "--rm", "-v", f"{volume}:/data", filled, "stat", "-c", "%u:%g %a", "/data").stdout
    assert told == "5:6 750\n"


def test_one_that_copies_nothing_waits_for_the_copy_too(engine: NativeEngine, filled: str, volume: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = []
        for suffix in ("", ":nocopy", "", ":nocopy"):
            mount = f"{volume}:/data{suffix}"
            runs.append(pool.submit(engine.docker, "run", "--rm", "-v", mount, filled, *COUNT))
        seen = {int(run.result().stdout) for run in runs}
    assert seen <= {0, FILES}  # all of it or nothing yet, never a part


def test_an_empty_volume_made_beforehand_is_filled(engine: NativeEngine, filled: str, volume: str) -> None:
    engine.docker("volume", "create", volume)
    assert int(engine.docker("run", "--rm", "-v", f"{volume}:/data", filled, *COUNT).stdout) == FILES


def test_a_volume_with_content_is_left_alone(engine: NativeEngine, filled: str, volume: str) -> None:
    engine.docker("run", "--rm", "-v", f"{volume}:/data", IMAGE, "sh", "-c", "echo mine >/data/own; chmod 711 /data")
    run = engine.docker("run", "--rm", "-v", f"{volume}:/data", filled, "sh", "-c", "ls /data; stat -c %a /data")
    assert run.stdout == "own\n711\n"


def test_a_bound_folder_is_filled_only_when_it_is_empty(
    engine: NativeEngine, filled: str, volume: str, tmp_path: Path
) -> None:
    options = ("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={tmp_path}")
    (tmp_path / "own").write_text("mine")
    engine.docker("volume", "create", *options, volume)
    engine.docker("run", "--rm", "-v", f"{volume}:/data", filled, "true")
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    (tmp_path / "own").unlink()
    assert int(engine.docker("run", "--rm", "-v", f"{volume}:/data", filled, *COUNT).stdout) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_an_engine_killed_in_the_copy_leaves_it_to_the_next(own_engine: NativeEngine) -> None:
    engine = own_engine
    make_image(engine, "slow:1", files=3000)
    volumes = engine.root / "data" / "volumes"
    for number in range(3):
        name = f"killed{number}"
        with subprocess.Popen(
            [docker_cli(), "-H", engine.host, "create", "-v", f"{name}:/data", "slow:1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as client:
            staging = volumes / name / "filling"
            while not (staging / "d").is_dir():
                assert client.poll() is None, f"the copy was over before it was seen: {client.communicate()[1]!r}"
            os.kill(engine.pid_of("cove-engine"), signal.SIGKILL)
            client.wait(60)
        engine.wait_until_answering()
        assert not staging.exists()
        assert list((volumes / name / "_data").iterdir()) == []
        assert int(engine.docker("run", "--rm", "-v", f"{name}:/data", "slow:1", *COUNT).stdout) == 3000


# --- a kill at each step


def begun(tmp_path: Path, name: str = "v", options: dict[str, str] | None = None) -> tuple[VolumeStore, Volume]:
    store = VolumeStore(tmp_path / "volumes", tmp_path / "trash")
    store.load()
    return store, store.create(name, {}, options or {})


def test_an_incomplete_copy_is_deleted_however_deep_it_is(tmp_path: Path) -> None:
    _, volume = begun(tmp_path)
    left = filling.begin(volume)
    assert left is not None
    deep = str(left.staging)
    for _ in range(1500):  # more than Python's calls in calls
        deep += "/d"
        os.mkdir(deep)
    filling.recover(volume)
    assert not left.staging.exists()


@pytest.mark.parametrize("is_bound", [False, True])
def test_an_incomplete_copy_is_deleted_and_a_complete_one_moved_in(tmp_path: Path, is_bound: bool) -> None:
    host = tmp_path / "host"
    host.mkdir()
    options = {"type": "none", "o": "bind", "device": str(host)} if is_bound else {}
    store, volume = begun(tmp_path, options=options)
    left = filling.begin(volume)
    assert left is not None
    (left.staging / "half").write_text("h")
    store.load()
    assert [*volume.source.iterdir()] == []
    assert not left.staging.exists()

    left = filling.begin(volume)
    assert left is not None
    for name in ("one", "two", "three"):
        (left.staging / name).write_text("image")
    left.staging.chmod(0o750)
    filling.Filling(volume, left.token, is_complete=True).save()  # then the engine was killed, one name moved
    (left.staging / "one").rename(volume.source / "one")
    (volume.source / "two").write_text("user")
    store.load()
    assert {path.name: path.read_text() for path in volume.source.iterdir()} == {
        "one": "image", "two": "user", "three": "image",
    }  # fmt: skip
    assert volume.source.stat().st_mode & 0o777 == 0o750
    assert sorted(path.name for path in volume.data.parent.iterdir()) == ["_data", "volume.json"]
    assert filling.begin(volume) is None


def test_a_copy_is_dropped_where_the_user_was_quicker(tmp_path: Path) -> None:
    _, volume = begun(tmp_path)
    left = filling.begin(volume)
    assert left is not None
    (left.staging / "file").write_text("image")
    (volume.data / "own").write_text("user")
    filling.finish(left)
    assert [path.name for path in volume.data.iterdir()] == ["own"]
    assert not left.staging.exists()


@pytest.mark.logs("volume.filling_not_ended")
def test_a_record_of_a_newer_engine_is_left_alone(tmp_path: Path) -> None:
    store, volume = begun(tmp_path)
    record = volume.data.parent / "filling.json"
    record.write_text(json.dumps({"schema": 99}))
    assert [one.name for one in store.load()] == ["v"]
    assert record.exists()
