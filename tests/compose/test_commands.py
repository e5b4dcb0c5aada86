"""The rarer verbs of `cove compose` on a real engine, beside docker compose's output for the same project."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop.client.engine import ApiError
from tests.support.clients import cove_of
from tests.support.composing import ComposeProject
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

PROJECT = "cvtverbs"
FILE = """
name: cvtverbs
services:
  web: {image: busybox, command: sleep 1000, init: true, scale: 2, ports: ['127.0.0.1::80'], volumes: ['data:/data']}
  db: {image: busybox, command: head -n 1, stdin_open: true, init: true}
  once: {image: busybox, command: sh -c 'exit 3'}
volumes: {data: , other: }
"""


@pytest.fixture
def project(engine: NativeEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = ComposeProject(engine, tmp_path, PROJECT)
    made.write(FILE)
    yield made
    made.cove("down", "-v", "-t", "0", "--remove-orphans")
    assert not made.containers()


def states(project: ComposeProject) -> dict[str, str]:
    return {name.removeprefix("cvtverbs-"): text.split()[1] for name, text in project.containers().items()}


def same(project: ComposeProject, *args: str) -> tuple[str, str, int]:
    """stdout, stderr and status of `cove compose`, which are also docker compose's but for the order of lines."""
    done = [tool(*args, check=False) for tool in (project.docker, project.cove)]
    docker, cove = ((sorted(one.stdout.split("\n")), sorted(one.stderr.split("\n")), one.returncode) for one in done)
    assert cove == docker, args
    return done[1].stdout, done[1].stderr, done[1].returncode


def test_create_and_scale(project: ComposeProject) -> None:
    project.cove("create", "--scale", "web=1")
    assert states(project) == {"web-1": "created", "db-1": "created", "once-1": "created"}
    project.cove("scale", "web=3")
    assert states(project) == {
        "web-1": "running", "web-2": "running", "web-3": "running", "db-1": "created", "once-1": "created",
    }  # fmt: skip
    project.cove("scale", "web=1", "db=0")
    assert states(project) == {"web-1": "running", "once-1": "created"}
    for args in (("scale", "web"), ("scale", "web=x"), ("scale", "zz=1"), ("create", "zz")):
        same(project, *args)
    same(project, "create", "--force-recreate", "--no-recreate")


def test_pause_and_unpause(project: ComposeProject) -> None:
    project.cove("up", "-d", "--no-recreate", "web", "db")
    done = project.cove("pause", "web")
    assert sorted(done.stderr.splitlines()) == [f" Container cvtverbs-web-{n}  Paused" for n in (1, 2)]
    assert states(project) == {"web-1": "paused", "web-2": "paused", "db-1": "running"}
    same(project, "ls")
    same(project, "ls", "--format", "json")
    assert "is already paused" in project.cove("pause", "web", check=False).stderr
    project.cove("unpause", "web")
    assert set(states(project).values()) == {"running"}
    same(project, "pause", "zz")


def test_lists_are_docker_compose_s(project: ComposeProject) -> None:
    project.cove("up", "-d")
    project.cove("wait", "once", check=False)
    for args in (
        ("images",), ("images", "-q", "web"), ("images", "--format", "json"), ("images", "--format", "x"),
        ("port", "--index", "1", "web", "80"), ("port", "--index", "2", "web", "80"),
        ("port", "--index", "1", "web", "81"), ("port", "--index", "7", "web", "80"),
        ("port", "--index", "1", "--protocol", "udp", "web", "80"), ("port", "once", "80"), ("attach", "once"),
        ("ls", "-q", "--filter", "name=cvtverbs"), ("ls", "-a", "--filter", "name=cvtverbs"),
        ("ls", "--filter", "name=none"), ("ls", "--filter", "x=y"), ("push",), ("push", "zz"),
    ):  # fmt: skip
        same(project, *args)
    same(project, "top")
    rows = [json.loads(line) for line in project.cove("stats", "--no-stream", "--format", "json").stdout.splitlines()]
    assert {row["Name"] for row in rows} == {"cvtverbs-web-1", "cvtverbs-web-2", "cvtverbs-db-1"}
    named = project.cove("stats", "--no-stream", "--format", "{{.Name}}", "db").stdout
    assert named == "cvtverbs-db-1\n"
    assert project.cove("volumes", "-q").stdout.splitlines() == ["cvtverbs_data"]
    assert project.cove("volumes", "db", "-q").stdout == ""
    assert json.loads(project.cove("volumes", "--format", "json", "web").stdout)["Name"] == "cvtverbs_data"
    assert project.cove("version").stdout.startswith("Cove Compose version ")
    number = project.cove("version", "--short").stdout.strip()
    assert json.loads(project.cove("version", "--format", "json").stdout) == {"version": number}


def followed(project: ComposeProject, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("cove"), "compose", *args], cwd=project.folder, text=True,
        env={**os.environ, "COVE_HOST": project.engine.host}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip


@contextlib.contextmanager
def repeating(act: Callable[[], object]) -> Iterator[None]:
    """`act` again and again in a thread: a program that is to see it says nowhere from when on it looks."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_events(project: ComposeProject) -> None:
    project.cove("up", "-d", "web", "db")
    with followed(project, "events", "--json") as every, followed(project, "events", "db") as only:
        assert every.stdout is not None
        assert only.stdout is not None
        told: list[dict[str, Any]] = []
        try:
            with repeating(lambda: project.cove("restart", "-t", "0")):
                lines = [only.stdout.readline() for _ in range(5)]
                while {event["service"] for event in told if event["action"] == "restart"} != {"web", "db"}:
                    told.append(json.loads(every.stdout.readline()))
        finally:
            every.terminate()
            only.terminate()
    line_form = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} container \S+ [0-9a-f]{64} \(.*name=cvtverbs-db-1.*\)\n"
    assert not [line for line in lines if not re.fullmatch(line_form, line)]
    assert set(told[0]) == {"action", "attributes", "id", "service", "time", "type"}
    assert not [key for event in told for key in event["attributes"] if key.startswith("com.docker.compose")]


def test_files_into_all_and_out_of_one(project: ComposeProject) -> None:
    project.cove("up", "-d", "web", "db")
    (project.folder / "in.txt").write_text("copied")
    assert same(project, "cp", "in.txt", "web:/in.txt")[2] == 0
    assert same(project, "cp", "--index", "2", "in.txt", "web:/two")[2] == 0
    for number, words in (("1", "/in.txt"), ("2", "/in.txt /two")):
        found = project.cove("exec", "-T", "--index", number, "web", "sh", "-c", "ls /in.txt /two 2>/dev/null; true")
        assert found.stdout.split() == words.split()
    project.cove("cp", "web:/in.txt", "out.txt")
    assert (project.folder / "out.txt").read_text() == "copied"
    taken = subprocess.run(
        [Path(sys.executable).with_name("cove"), "compose", "cp", "web:/in.txt", "-"],
        cwd=project.folder, env={**os.environ, "COVE_HOST": project.engine.host}, capture_output=True, check=True,
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(taken.stdout)) as tar:
        assert tar.getnames() == ["in.txt"]
    refused = project.cove("cp", "web:/nosuch", "x", check=False)
    assert (refused.returncode, "Could not find the file /nosuch in container" in refused.stderr) == (1, True)
    project.cove("export", "-o", "all.tar", "--index", "2", "web")
    with tarfile.open(project.folder / "all.tar") as tar:
        assert "two" in tar.getnames()
    made = project.cove("commit", "-c", "CMD cat /two", "--index", "2", "web", "cvtverbs:made").stdout.strip()
    try:
        assert project.engine.cove("run", "--rm", "cvtverbs:made").stdout == "copied"
    finally:
        project.engine.cove("rmi", made)


def test_wait_ends_with_the_first_one(project: ComposeProject) -> None:
    project.cove("up", "-d", "web", "db")
    with project.engine.client() as client, followed(project, "wait", "--down-project", "db", "web") as waiting:

        def kill_and_start() -> None:
            for name in ("cvtverbs-db-1", "cvtverbs-web-1"):  # at any time others of them run
                with contextlib.suppress(ApiError):  # `down` has stopped or removed it
                    client.kill(name, "KILL")
                    client.wait(name)
                    client.start(name)

        with repeating(kill_and_start):
            out, _ = waiting.communicate(timeout=HANG_S)
    assert re.fullmatch(r'container "[0-9a-f]{64}" exited with status code 137\n', out), out
    assert waiting.returncode == 137
    assert not project.containers()
    done = project.cove("wait", "db", check=False)
    assert (done.returncode, done.stderr) == (1, 'no containers for project "cvtverbs"\n')


def test_attach(project: ComposeProject) -> None:
    project.cove("up", "-d", "db")
    done = project.engine.cove("compose", "attach", "db", cwd=project.folder, input="said\n", check=False)
    assert (done.stdout, done.returncode) == ("said\n", 0)
    shown = cove_of(project.engine.host)("compose", "attach", "--index", "4", "db", cwd=project.folder, check=False)
    assert shown.stderr == 'service "db" is not running container #4\n'


def test_the_images_that_are_built_are_pushed(project: ComposeProject, registry: str) -> None:
    image = f"{registry}/cvt/pushed:1"
    project.write(
        'name: cvtverbs\nservices:\n  a: {build: {dockerfile_inline: "FROM busybox\\nRUN echo 1 >/one\\n"}'
        f", image: '{image}'}}\n  b: {{image: busybox}}\n"
    )
    project.cove("build")
    done = project.cove("push")
    assert sorted(done.stderr.splitlines()) == [
        " Image " + image + "  Pushed",
        " Image " + image + "  Pushing",
        " b Skipped ",
    ]
    project.engine.cove("rmi", image)
    assert project.cove("run", "--rm", "-T", "a", "cat", "/one").stdout == "1\n"
    project.engine.cove("rmi", image)
    project.write(f"name: cvtverbs\nservices: {{a: {{build: ., image: '{registry}/cvt/none:1'}}}}\n")
    assert project.cove("push", check=False).returncode == 1
    assert project.cove("push", "--ignore-push-failures").returncode == 0
