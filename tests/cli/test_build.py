"""`cove build` and `cove builder`, with the native engine."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.client import buildcontext
from desktop.client.engine import ApiError
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


SHOWS_SECRET = "FROM busybox\nRUN --mount=type=secret,id=tok,required=true cat /run/secrets/tok\n"


def test_a_step_gets_the_secrets_that_are_given(cove: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").write_bytes(b"from a file\n")
    monkeypatch.setenv("TOKEN", "from a variable\n")
    monkeypatch.setenv("tok", "of its own name\n")
    ways = {
        f"id=tok,src={tmp_path / 'kept'}": "from a file",
        "id=tok,env=TOKEN": "from a variable",
        "type=env,id=tok,src=TOKEN": "from a variable",
        "id=tok": "of its own name",
    }
    for way, said in ways.items():
        assert said in cove("build", "--no-cache", "--secret", way, "-", input=SHOWS_SECRET).stdout.splitlines()
    monkeypatch.delenv("tok")
    done = cove("build", "--no-cache", "-", input=SHOWS_SECRET, check=False)
    assert (done.returncode, "secret tok: not found" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ("tok", 125, "invalid field 'tok' must be a key=value pair"),
        ("id=tok,src=missing-file", 1, "failed to read secret tok: No such file or directory: missing-file"),
        ("src=x", 125, "secret missing ID"),
        ("id=tok,type=vault", 125, 'unsupported secret type "vault"'),
        ("id=tok,mode=1", 125, "unexpected key 'mode' in 'mode=1'"),
        ("id=tok,src={large}", 1, "the secrets of a build are over 24 kB together"),
        ("id=tok,src={huge}", 1, "secret tok too big. max size 500KB"),
    ],
)
def test_a_secret_that_cannot_be_is_refused(cove: Client, tmp_path: Path, given: str, status: int, said: str) -> None:
    for name, size in (("large", 30_000), ("huge", 500_001)):
        (tmp_path / name).write_bytes(bytes(size))
    given = given.format(large=tmp_path / "large", huge=tmp_path / "huge")
    done = cove("build", "--secret", given, "-", input=SHOWS_SECRET, check=False)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


@pytest.mark.parametrize("header", ["{}", "e30x", "WzFd", "eyJhIjoxfQ==", "eyJhIjoiIyJ9"])
def test_a_header_of_secrets_that_says_something_else_is_refused(engine: NativeEngine, header: str) -> None:
    with engine.client() as client, pytest.raises(ApiError, match="X-Cove-Build-Secrets") as caught:
        client.request("POST", "/build", None, headers={"X-Cove-Build-Secrets": header})
    assert caught.value.status == 400


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
