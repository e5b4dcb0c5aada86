"""`--dry-run` says what docker compose's says, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composing import ComposeProject
from tests.support.engine import NativeEngine

PROJECT = "cvtdry"
FILE = """
name: cvtdry
services:
  web: {image: busybox, command: sleep 1000, init: true, scale: 2, depends_on: {db: {condition: service_healthy}}}
  db:
    image: busybox
    command: sleep 1000
    init: true
    healthcheck: {test: 'true', interval: 100ms}
    volumes: ['data:/data']
volumes: {data: }
"""


@pytest.fixture
def project(engine: NativeEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = ComposeProject(engine, tmp_path, PROJECT)
    made.write(FILE)
    yield made
    made.cove("down", "-v", "-t", "0", "--remove-orphans")
    assert not made.containers()


def lines(project: ComposeProject, *args: str) -> list[str]:
    done = project.cove(*args)
    assert not done.stdout
    return sorted(done.stderr.splitlines())


def same(project: ComposeProject, *args: str) -> None:
    """Both tools say the same things, in any order, and nothing has changed."""
    before = project.containers()
    wanted = sorted(project.docker("--dry-run", *args).stderr.splitlines())
    assert wanted
    assert lines(project, "--dry-run", *args) == wanted
    assert lines(project, args[0], "--dry-run", *args[1:]) == wanted
    assert project.containers() == before


def test_it_says_what_docker_compose_says(project: ComposeProject) -> None:
    same(project, "create")
    said = lines(project, "up", "-d", "--dry-run")
    assert said[0] == " DRY-RUN MODE -  Container cvtdry-db-1  Created"
    assert {
        " DRY-RUN MODE -  Container cvtdry-db-1  Healthy",
        " DRY-RUN MODE -  Network cvtdry_default  Created",
    } < set(said)
    assert not project.containers()
    with project.engine.client() as client:
        names = {item["Name"] for item in client.json_list("GET", "/networks")}
        assert "cvtdry_default" not in names
        assert not [one for one in client.json_object("GET", "/volumes")["Volumes"] or () if "cvtdry" in one["Name"]]
    project.cove("up", "-d")
    for args in (
        ("stop",), ("restart", "web"), ("kill",), ("pause", "db"), ("create", "--scale", "web=1"),
        ("create", "--force-recreate"),
    ):  # fmt: skip
        same(project, *args)
    # docker compose finds the network still in use there: by the containers that its dry run has not removed.
    assert {
        " DRY-RUN MODE -  Volume cvtdry_data  Removed",
        " DRY-RUN MODE -  Network cvtdry_default  Removed",
        " DRY-RUN MODE -  Container cvtdry-web-2  Removed",
    } < set(lines(project, "--dry-run", "down", "-v"))
    done = project.cove("wait", "--dry-run", "web", check=False)
    assert (done.returncode, done.stderr) == (1, "wait is not supported in dry-run mode\n")
    project.cove("stop", "-t", "0")
    assert len(lines(project, "--dry-run", "start")) >= 6
    assert len([one for one in lines(project, "--dry-run", "rm", "-f") if one.endswith("Removed")]) == 3
    assert {state.split()[1] for state in project.containers().values()} == {"exited"}


def test_images_and_what_needs_a_terminal(project: ComposeProject) -> None:
    project.write(
        "name: cvtdry\nservices: {a: {build: {dockerfile_inline: FROM busybox}}, b: {image: '127.0.0.1:1/x'}}\n"
    )
    said = lines(project, "--dry-run", "up", "-d", "--build")
    assert " DRY-RUN MODE -  Image cvtdry-a  Built" in said
    assert " DRY-RUN MODE -  Image 127.0.0.1:1/x  Pulled" in said
    assert " DRY-RUN MODE -  Container cvtdry-a-1  Started" in said
    with project.engine.client() as client:
        assert not client.images(filters={"reference": ["cvtdry-a"]})
    for verb in ("run", "exec"):
        done = project.cove("--dry-run", verb, "a", "true", check=False)
        assert (done.returncode, done.stderr) == (1, f"interactive {verb} is not supported in dry-run mode\n")
    done = project.cove("--dry-run", "up")
    assert done.stdout == "end of 'compose up' output, interactive run is not supported in dry-run mode\n"
    assert not project.containers()
