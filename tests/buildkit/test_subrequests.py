"""Questions about a Dockerfile: by the real buildx, which asks with --print, and by `cove build --check`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Status as Code
from grpclib.exceptions import GRPCError

from tests.buildkit.conftest import Recorder, kept_folders
from tests.support.engine import NativeEngine, run
from tests.support.tools import newest_docker
from vmagent.buildkit import subrequests
from vmagent.buildkit.caches import SessionCaches
from vmagent.buildkit.solving import Solver

FILE = b"""# VERSION of the base
ARG VERSION=latest
ARG UNUSED=1
FROM busybox:${VERSION} AS early
ARG CFLAGS=-O2
RUN --mount=type=secret,id=token,required cat /run/secrets/token
# late what is shipped
FROM early AS late
ARG MODE
RUN --mount=type=ssh --mount=type=secret,target=/run/secrets/other true
FROM scratch
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_bytes(FILE)
    return tmp_path


def ask(engine: NativeEngine, folder: Path, question: str, *args: str) -> str:
    done = engine.buildx("buildx", "build", f"--print={question}", *args, folder, env_more={"BUILDX_EXPERIMENTAL": "1"})
    return done.stdout


def test_the_outline_of_a_target(engine: NativeEngine, folder: Path) -> None:
    text = ask(engine, folder, "outline", "--target", "late", "--build-arg", "MODE=fast")
    lines = [line.split() for line in text.splitlines()]
    assert ["TARGET:", "late"] in lines
    assert ["DESCRIPTION:", "what", "is", "shipped"] in lines
    assert ["CFLAGS", "-O2"] in lines
    assert ["MODE", "fast"] in lines
    assert ["token", "true"] in lines
    assert ["other"] in lines
    assert ["default"] in lines
    assert "UNUSED" not in text
    found = json.loads(ask(engine, folder, "outline,format=json", "--target", "late"))
    (version,) = [one for one in found["args"] if one["name"] == "VERSION"]
    assert (version["value"], version["description"]) == ("latest", "of the base")
    assert version["location"]["ranges"][0]["start"]["line"] == 2


def test_the_targets_and_the_questions(engine: NativeEngine, folder: Path) -> None:
    rows = ask(engine, folder, "targets").splitlines()
    assert [row.split() for row in rows[1:]] == [["early"], ["late", "what", "is", "shipped"], ["(default)"]]
    assert "targets" in ask(engine, folder, "subrequests.describe")


def test_the_newest_clients_checks(engine: NativeEngine, folder: Path) -> None:
    """`--check` and `--call` of buildx from 0.15 on; `--print` still means the same. Warnings are a failure there."""
    (folder / "Dockerfile").write_text("FROM busybox as x\n")
    docker, config = newest_docker()
    environment = {"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(config)}
    for words in (("build", "--check"), ("buildx", "build", "--call=lint"), ("buildx", "build", "--print=lint")):
        done = run([docker, *words, folder], environment, check=False)
        assert done.returncode == 1, done.stderr
        assert "Check complete, 1 warning has been found!" in done.stdout
        assert "WARNING: FromAsCasing" in done.stdout
    (folder / "Dockerfile").write_text("FROM busybox AS x\n")
    assert "no warnings found" in run([docker, "build", "--check", folder], environment, check=True).stdout
    asked = json.loads(run([docker, "buildx", "build", "--call=targets,format=json", folder], environment, True).stdout)
    assert [target["name"] for target in asked["targets"]] == ["x"]


def test_the_checks_without_a_build(engine: NativeEngine, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox as x\nENV PASSWORD=$PATH\nCOPY a /\n")
    (folder / "a").write_text("")
    (folder / ".dockerignore").write_text("a\n")
    before = engine.docker("images", "-aq").stdout
    text = ask(engine, folder, "lint")
    assert "WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/" in text
    assert "SecretsUsedInArgOrEnv" in text
    assert "Dockerfile:2" in text
    assert "UndefinedVar" not in text  # the base image has PATH
    assert engine.docker("images", "-aq").stdout == before


def test_cove_checks(engine: NativeEngine, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox as x\nRUN echo not run >/n\n")
    done = engine.cove("build", "--check", str(folder), check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("Check complete, 1 warning has been found!\n\nWARNING: FromAsCasing")
    (folder / "Dockerfile").write_text("FROM busybox AS x\nFROM y\nCOPY --from=z /a /\nFOO\n")
    assert "unknown instruction: FOO" in engine.cove("build", "--check", str(folder), check=False).stderr
    (folder / "Dockerfile").write_text("FROM busybox AS x\n")
    assert engine.cove("build", "--check", str(folder)).stdout == "Check complete, no warnings found.\n"


def test_an_unknown_question_has_the_error_that_clients_know(tmp_path: Path) -> None:
    recorder: Any = Recorder()
    caches = SessionCaches(recorder, asyncio.to_thread)
    solver = Solver(recorder, caches, kept_folders(tmp_path), asyncio.to_thread)
    job: Any = None
    with pytest.raises(GRPCError, match=r"unsupported request frontend\.x") as caught:
        asyncio.run(solver.answer(job, "dockerfile.v0", {"requestid": "frontend.x"}))
    assert caught.value.status is Code.UNIMPLEMENTED
    assert caught.value.details is not None
    assert caught.value.details[0].type_url.endswith("errdefs.Subrequest+json")
    described = asyncio.run(solver.answer(job, "dockerfile.v0", {"requestid": subrequests.DESCRIBE}))
    assert len(json.loads(described["result.json"])) == 4
