"""`cove build` and `cove builder`, with the native engine."""

from __future__ import annotations

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
