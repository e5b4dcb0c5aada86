"""`cove build` with outputs, named contexts and stages without cache, beside docker buildx on the same engine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import Client, cove_of
from tests.support.engine import NativeEngine
from tests.support.tools import docker_cli, docker_config

FILE = """FROM busybox AS made
RUN mkdir -p /out/sub && echo of a step >/out/sub/a && ln -s sub/a /out/link && chmod 750 /out/sub/a
FROM scratch
COPY --from=made /out /
COPY own /
"""


@pytest.fixture
def cove(engine: NativeEngine) -> Iterator[Client]:
    yield cove_of(engine.host)
    engine.docker("rmi", "-f", "cvt-output", check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "context"
    made.mkdir()
    (made / "Dockerfile").write_text(FILE)
    (made / "own").write_text("of the context")
    return made


def _buildx(engine: NativeEngine, *args: str) -> None:
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(docker_config())}
    subprocess.run([docker_cli(), "buildx", "build", "-q", *args], env=env, check=True, capture_output=True)


def _tree(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (mode, content)
    return found


def _members(data: bytes) -> dict[str, int]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name.rstrip("/"): member.size for member in tar}


def test_files_of_an_image_are_those_of_buildx(
    cove: Client, engine: NativeEngine, folder: Path, tmp_path: Path
) -> None:
    before = engine.docker("images", "-aq").stdout
    cove("build", "-o", str(tmp_path / "ours"), str(folder))
    _buildx(engine, "-o", str(tmp_path / "theirs"), str(folder))
    assert _tree(tmp_path / "ours") == _tree(tmp_path / "theirs")
    assert (tmp_path / "ours" / "sub" / "a").read_text() == "of a step\n"
    cove("build", "-o", f"type=tar,dest={tmp_path}/ours.tar", str(folder))
    _buildx(engine, "-o", f"type=tar,dest={tmp_path}/theirs.tar", str(folder))
    assert _members((tmp_path / "ours.tar").read_bytes()) == _members((tmp_path / "theirs.tar").read_bytes())
    assert engine.docker("images", "-aq").stdout == before


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_an_archive_is_that_of_buildx(
    cove: Client, engine: NativeEngine, folder: Path, tmp_path: Path, kind: str
) -> None:
    for build, name in ((cove, "ours"), (lambda *args: _buildx(engine, *args[1:]), "theirs")):
        build("build", "-t", "cvt-output", "-o", f"type={kind},dest={tmp_path / name}", str(folder))
    ours, theirs = (_members((tmp_path / name).read_bytes()) for name in ("ours", "theirs"))
    assert ours == theirs
    engine.docker("load", "-i", str(tmp_path / "ours"))
    assert json.loads(engine.docker("inspect", "cvt-output").stdout)[0]["RepoTags"] == ["cvt-output:latest"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("type=local", "dest is required for local exporter"),
        ("type=odd,dest=x", 'exporter "odd" could not be found'),
        ("dest=x,name=y", "type is required for output"),
        ("type=tar,dest=.", "destination file . is a directory"),
    ],
)
def test_an_output_that_cannot_be_is_refused(cove: Client, folder: Path, given: str, said: str) -> None:
    done = cove("build", "-o", given, str(folder), check=False)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_a_build_that_fails_writes_nothing(cove: Client, folder: Path, tmp_path: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nRUN exit 7\n")
    for given in (str(tmp_path / "out"), f"type=tar,dest={tmp_path}/out"):
        assert cove("build", "-o", given, str(folder), check=False).returncode == 7
        assert not (tmp_path / "out").exists()


def test_named_contexts(cove: Client, engine: NativeEngine, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "kept").mkdir(parents=True)
    (other / "kept" / "x").write_text("one")
    (other / "left").write_text("ignored")
    (other / ".dockerignore").write_text("left\n")
    (folder / ".dockerignore").write_text("own\n")
    text = "FROM base\nCOPY --from=more . /more\nCOPY . /main\n"
    text += "RUN find /more /main -type f | sort; echo $(cat /more/kept/x)\n"
    (folder / "Dockerfile").write_text(text)
    args = ("--build-context", f"more={other}", "--build-context", "base=docker-image://busybox", str(folder))
    lines = cove("build", *args).stdout.splitlines()
    shown = [line for line in lines if line.startswith("/")]
    assert shown == ["/main/.dockerignore", "/main/Dockerfile", "/more/.dockerignore", "/more/kept/x"]
    assert "one" in lines
    assert cove("build", *args).stdout.splitlines().count("      cached") == 3
    (other / "kept" / "x").write_text("two")
    assert "two" in cove("build", *args).stdout.splitlines()
    done = cove("build", "--build-context", "more=/nowhere", str(folder), check=False)
    assert (done.returncode, "/nowhere is no folder" in done.stderr) == (1, True)


def test_a_tar_on_stdout_is_nothing_else(engine: NativeEngine, folder: Path) -> None:
    args = [str(cove_of(engine.host).program), "build", "-o", "-", str(folder)]
    done = subprocess.run(args, env={**os.environ, "COVE_HOST": engine.host}, check=True, capture_output=True)
    assert _members(done.stdout)["sub/a"] == len("of a step\n")
    assert b"[1/" in done.stderr


def test_an_image_is_pushed_after_its_build(cove: Client, engine: NativeEngine, folder: Path, registry: str) -> None:
    name = f"{registry}/cvt/pushed:1"
    cove("build", "--push", "-t", name, str(folder))
    engine.docker("rmi", "-f", name)
    engine.docker("pull", "-q", name)
    engine.docker("rmi", "-f", name)
    done = cove("build", "--push", str(folder), check=False)
    assert (done.returncode, "tag is needed when pushing to registry" in done.stderr) == (1, True)


def test_stages_without_cache(cove: Client, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox AS one\nRUN echo 1\nFROM one AS two\nRUN echo 2\n")
    cove("build", str(folder))
    lines = cove("build", "--no-cache-filter", "two", str(folder)).stdout.splitlines()
    assert "2" in lines
    assert "1" not in lines
