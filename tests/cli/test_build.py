"""`cove build` and `cove builder`, with the native engine."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.cli import buildcontext
from tests.support.clients import Client, cove_of
from tests.support.engine import NativeEngine

FILE = "FROM busybox\nARG V=1\nCOPY a /a\nRUN cat /a && \\\n  echo $V\n"


@pytest.fixture
def cove(engine: NativeEngine) -> Iterator[Client]:
    yield cove_of(engine.host)
    engine.docker("rmi", "-f", "cvt-build", check=False)


def test_a_build_shows_its_steps_and_what_the_cache_had(cove: Client, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(FILE)
    (tmp_path / "a").write_text("content\n")
    lines = cove("build", "-t", "cvt-build", "--build-arg", "V=two", str(tmp_path)).stdout.splitlines()
    assert lines[0] == "[1/4] FROM busybox"
    assert "[3/4] COPY a /a" in lines
    assert lines.index("content") < lines.index("two")
    assert lines[-1] == "Successfully tagged cvt-build:latest"
    again = cove("build", "--build-arg", "V=two", "--iidfile", str(tmp_path / "id"), str(tmp_path)).stdout
    assert again.splitlines().count("      cached") == 3
    assert (tmp_path / "id").read_text().startswith("sha256:")


def test_a_step_that_fails_is_shown_in_the_dockerfile(cove: Client, tmp_path: Path) -> None:
    (tmp_path / "My.file").write_text("FROM busybox\nRUN true\nRUN echo no; \\\n  exit 5\n")
    done = cove("build", "-f", str(tmp_path / "My.file"), str(tmp_path), check=False)
    assert done.returncode == 5
    assert "returned a non-zero code: 5" in done.stderr
    assert "-->    3 | RUN echo no; \\" in done.stderr


def test_a_dockerfile_may_come_on_stdin_and_from_elsewhere(cove: Client, tmp_path: Path) -> None:
    image = cove("build", "-q", "-", input="FROM busybox\nRUN echo x > /x\n").stdout
    assert image.startswith("sha256:")
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a").write_text("")
    (tmp_path / "Elsewhere").write_text("FROM busybox\nCOPY . /c\n")
    assert cove("build", "-q", "-f", str(tmp_path / "Elsewhere"), str(tmp_path / "context")).stdout.startswith(
        "sha256:"
    )
    assert "not found" in cove("build", str(tmp_path / "nowhere"), check=False).stderr


def test_the_cache_is_pruned(cove: Client) -> None:
    cove("build", "-q", "-", input="FROM busybox\nRUN echo pruned > /x\n")
    assert "Total reclaimed space:" in cove("builder", "prune", "-f").stdout


def test_a_large_file_of_the_context_is_sent_in_pieces(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 << 20)
    sizes = [len(piece) for piece in buildcontext.of_folder(tmp_path, {})]
    assert sum(sizes) > 64 << 20
    assert max(sizes) <= 1 << 20


def test_a_dockerfile_from_elsewhere_is_no_part_of_the_context(cove: Client, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "context" / name).write_text(name)
    (tmp_path / "context" / ".dockerignore").write_text("b\n!*\nb\n")
    (tmp_path / "Elsewhere").write_text("FROM busybox\nCOPY . /c\nRUN ls -A /c\n")
    args = ("build", "-f", str(tmp_path / "Elsewhere"), str(tmp_path / "context"))
    shown = cove(*args).stdout.splitlines()
    assert [line for line in shown if not line.startswith(("[", " ", "Success"))] == [".dockerignore", "a", "c"]
    assert cove(*args).stdout.splitlines().count("      cached") == 2
    (tmp_path / "Elsewhere.dockerignore").write_text("c")
    assert {"a", "b"} <= set(cove(*args).stdout.splitlines())


def test_a_tar_on_stdin_may_have_its_dockerfile_at_another_path(cove: Client, tmp_path: Path) -> None:
    made = tmp_path / "context.tar"
    (tmp_path / "My.file").write_text("FROM busybox\nRUN echo here\n")
    with tarfile.open(made, "w") as tar:
        tar.add(tmp_path / "My.file", "sub/My.file")
    with made.open("rb") as source:
        assert "here" in cove("build", "-f", "sub/My.file", "-", stdin=source).stdout.splitlines()
    both = cove("build", "-f", "My.file", "-", input="FROM busybox\n", check=False)
    assert "ambiguous Dockerfile source" in both.stderr
    assert "can't use stdin for both" in cove("build", "-f", "-", "-", input="", check=False).stderr
