"""A part of a volume as a mount: VolumeOptions.Subpath, API 1.45."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from vmagent.containers import subpaths
from vmagent.errors import BadRequest

FILL = (
    "echo conf >/v/app.conf; mkdir -p /v/s/t; echo deep >/v/s/t/f; ln -s app.conf /v/link; ln -s s /v/folder; "
    "ln -s /etc /v/absolute; ln -s ../../../../../../etc/passwd /v/climbing; ln -s loop /v/loop"
)


@pytest.fixture(scope="module")
def volume(engine: NativeEngine) -> Iterator[str]:
    engine.docker("run", "--rm", "-v", "parts:/v", "busybox", "sh", "-c", FILL)
    yield "parts"
    engine.docker("volume", "rm", "parts")


def mount(subpath: str, target: str = "/m", *more: str) -> tuple[str, str]:
    return ("--mount", ",".join((f"type=volume,src=parts,dst={target},volume-subpath={subpath}", *more)))


@pytest.mark.parametrize(
    ("subpath", "path", "text"),
    [
        ("app.conf", "/m", "conf"),
        ("link", "/m", "conf"),
        ("s/t/f", "/m", "deep"),
        ("s", "/m/t/f", "deep"),
        ("folder/t", "/m/f", "deep"),
        ("s/../s/./t", "/m/f", "deep"),
    ],
)
def test_a_file_or_folder_of_a_volume(engine: NativeEngine, volume: str, subpath: str, path: str, text: str) -> None:
    assert engine.docker("run", "--rm", *mount(subpath), "busybox", "cat", path).stdout == text + "\n"


@pytest.mark.parametrize(
    ("subpath", "why"),
    [
        ("absolute", "leads out of the volume"),
        ("climbing", "leads out of the volume"),
        ("absolute/passwd", "leads out of the volume"),
        ("missing", "no such file or directory"),
        ("app.conf/x", "not a directory"),
        ("loop", "too many levels of symbolic links"),
        ("../x", "subpath must be a relative path within the volume"),
        ("s/../../x", "subpath must be a relative path within the volume"),
        ("/etc", "subpath must be a relative path within the volume"),
    ],
)
def test_what_is_missing_or_outside_is_refused(engine: NativeEngine, volume: str, subpath: str, why: str) -> None:
    done = engine.docker("run", "--rm", *mount(subpath), "busybox", "true", check=False)
    assert done.returncode in (125, 127)  # the CLI takes 127 from words such as "no such file"
    assert why in done.stderr


def test_writes_arrive_in_the_volume_and_readonly_is_kept(engine: NativeEngine, volume: str) -> None:
    engine.docker("run", "--rm", *mount("s/t"), "busybox", "sh", "-c", "echo new >/m/g")
    assert engine.docker("run", "--rm", "-v", "parts:/v", "busybox", "cat", "/v/s/t/g").stdout == "new\n"
    done = engine.docker("run", "--rm", *mount("s/t", "/m", "readonly"), "busybox", "touch", "/m/h", check=False)
    assert "Read-only file system" in done.stderr


def test_it_is_mounted_again_at_each_start_and_cp_finds_it_in_a_stopped_container(
    engine: NativeEngine, volume: str, tmp_path: Path
) -> None:
    engine.docker("create", "--name", "sub", *mount("s"), "busybox", "cat", "/m/t/f")
    try:
        engine.docker("cp", "sub:/m/t/f", str(tmp_path / "f"))
        assert (tmp_path / "f").read_text() == "deep\n"
        for _ in range(2):
            assert engine.docker("start", "-a", "sub").stdout == "deep\n"
        assert "subpaths" not in Path("/proc/self/mounts").read_text()
    finally:
        engine.docker("rm", "-f", "sub")


def test_the_places_of_a_killed_engine_are_undone_and_the_volume_is_left_alone(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "folder").mkdir(parents=True)
    (volume / "folder" / "file").write_text("kept")
    places = tmp_path / "places"
    assert (subpaths.attach(str(volume), "folder", places) / "file").read_text() == "kept"
    assert subpaths.attach(str(volume), "folder/file", places).read_text() == "kept"
    subpaths.detach_all(places)
    assert list(places.iterdir()) == []
    assert (volume / "folder" / "file").read_text() == "kept"
    with pytest.raises(BadRequest):
        subpaths.attach(str(volume), "nothing", places)
    assert list(places.iterdir()) == []
