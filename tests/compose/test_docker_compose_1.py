"""docker-compose 1.29, the one in Python: its documented use, and projects that it, docker compose and `cove compose`
drive in turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.composing import ComposeProject
from tests.support.engine import NativeEngine

FILE = """\
version: "3.8"
services:
  web:
    build: .
    image: cvtold-web
    command: [sh, -c, 'echo "to-$$TARGET"; exec sleep 1000']
    init: true
    stop_grace_period: 1s
    environment: {TARGET: db}
    depends_on: [db]
    ports: ['127.0.0.1::80']
    volumes: ['data:/data', './here:/here:ro', /anonymous]
    networks: {default: {aliases: [www]}}
  db: {image: busybox, command: sleep 1000, init: true, stop_grace_period: 1s}
volumes: {data: }
"""
DOCKERFILE = "FROM busybox\nVOLUME /kept\nRUN echo made >/made\n"


@pytest.fixture
def project(engine: NativeEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = ComposeProject(engine, tmp_path, "cvtold")
    made.environment["COMPOSE_PROJECT_NAME"] = "cvtold"
    (tmp_path / "here").mkdir()
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    made.write(FILE)
    yield made
    made.old("down", "-v", "-t", "0", "--rmi", "local", "--remove-orphans")
    engine.docker("image", "rm", "-f", "cvtold-web")
    assert not made.containers()


def ids(project: ComposeProject) -> dict[str, str]:
    return {name: state.split()[0] for name, state in project.containers().items()}


def states(project: ComposeProject) -> dict[str, str]:
    return {name: state.split()[1] for name, state in project.containers().items()}


def test_its_documented_use(project: ComposeProject) -> None:
    project.old("config", "-q")
    project.old("build", COMPOSE_DOCKER_CLI_BUILD="0")
    project.old("build", COMPOSE_DOCKER_CLI_BUILD="1")  # by docker's client
    project.old("up", "-d")
    assert states(project) == {"cvtold_db_1": "running", "cvtold_web_1": "running"}
    first = ids(project)
    assert "is up-to-date" in project.old("up", "-d").stderr
    assert ids(project) == first
    assert project.old("exec", "-T", "web", "cat", "/made").stdout == "made\n"
    assert project.old("exec", "-T", "db", "nslookup", "www").returncode == 0
    assert "web_1  | to-db" in project.old("logs", "--no-color", "web").stdout
    assert project.old("port", "web", "80").stdout.startswith("127.0.0.1:")
    assert "sleep 1000" in project.old("top", "web").stdout
    assert "cvtold-web" in project.old("images").stdout
    assert project.old("ps", "-q", "web").stdout.strip().startswith(first["cvtold_web_1"])
    assert project.old("run", "--rm", "-T", "web", "sh", "-c", "echo $TARGET; exit 7", check=False).returncode == 7
    project.old("up", "-d", "--scale", "db=3")
    assert sum("_db_" in name for name in ids(project)) == 3
    project.old("pause", "db")
    assert states(project)["cvtold_db_2"] == "paused"
    project.old("unpause", "db")
    project.old("up", "-d", "--scale", "db=1")
    assert ids(project) == first
    project.old("restart", "-t", "0", "web")
    project.old("kill", "-s", "KILL", "web")
    project.old("stop", "-t", "0")
    assert set(states(project).values()) == {"exited"}
    project.old("start")
    assert ids(project) == first
    project.old("rm", "-f", "-s", "-v", "web")
    assert ids(project) == {"cvtold_db_1": first["cvtold_db_1"]}


def test_a_changed_service_is_made_anew_with_its_volumes(project: ComposeProject) -> None:
    """It needs the image's `ContainerConfig` for that, which the newest versions of the API no longer have."""
    project.old("up", "-d")
    first = ids(project)
    for folder in ("data", "anonymous", "kept"):
        project.old("exec", "-T", "web", "sh", "-c", f"echo {folder} >/{folder}/file")
    project.write(FILE.replace("TARGET: db", "TARGET: other"))
    project.old("up", "-d")
    again = ids(project)
    assert again["cvtold_db_1"] == first["cvtold_db_1"]
    assert again["cvtold_web_1"] != first["cvtold_web_1"]
    found = project.old("exec", "-T", "web", "cat", "/data/file", "/anonymous/file", "/kept/file").stdout
    assert found.split() == ["data", "anonymous", "kept"]


def test_three_tools_drive_one_project_in_turn(project: ComposeProject) -> None:
    """Each continues what the others have made. An `up` of docker-compose 1.29 and one of the other two make each
    other's containers anew once, because they know another hash of a service; between the other two nothing is."""
    tools: dict[str, Callable[..., object]] = {"old": project.old, "docker": project.docker, "cove": project.cove}
    project.old("build")
    makers = {"old": ("old",), "docker": ("docker", "cove"), "cove": ("cove", "docker")}
    before: dict[str, str] = {}
    for maker, same in makers.items():
        tools[maker]("up", "-d")
        made = ids(project)
        assert len(made) == 2
        if maker == "docker":
            assert not set(made.values()) & set(before.values())
        elif maker == "cove":
            assert made == before
        if maker == "old":
            project.old("exec", "-T", "web", "sh", "-c", "echo kept >/anonymous/file")
        assert project.old("exec", "-T", "web", "cat", "/anonymous/file").stdout == "kept\n"
        for tool in same:
            tools[tool]("up", "-d")
            assert ids(project) == made, f"{tool} after {maker}"
        _drive(project, made)
        before = made
    # Back to the old one: it takes what the new ones have made, again with its volumes.
    project.old("up", "-d")
    assert set(ids(project)) == {"cvtold_db_1", "cvtold_web_1"}
    assert project.cove("exec", "-T", "web", "cat", "/anonymous/file").stdout == "kept\n"
    project.docker("down", "-t", "0", "-v")
    assert not project.containers()


def _drive(project: ComposeProject, made: dict[str, str]) -> None:
    """Stop, start, list and look by each of the three: none makes a container."""
    for stop, start in ((project.old, project.cove), (project.cove, project.docker), (project.docker, project.old)):
        stop("stop", "-t", "0", "web")
        assert sorted(states(project).values()) == ["exited", "running"]
        start("start", "web")
        assert set(states(project).values()) == {"running"}
        assert ids(project) == made
    assert {json.loads(line)["Name"] for line in project.cove("ps", "--format", "json").stdout.splitlines()} == set(
        made
    )
    assert {json.loads(line)["Name"] for line in project.docker("ps", "--format", "json").stdout.splitlines()} == set(
        made
    )
    assert {identifier[:12] for identifier in project.old("ps", "-q").stdout.split()} == set(made.values())
    for tool in (project.old, project.docker, project.cove):
        assert "to-db" in tool("logs", "web").stdout


def test_an_image_s_container_config_is_what_old_versions_of_the_api_show(engine: NativeEngine) -> None:
    shown = {}
    for version in ("1.44", "1.45"):
        done = engine.buildx("image", "inspect", "busybox", env_more={"DOCKER_API_VERSION": version})
        (shown[version],) = json.loads(done.stdout)
    assert shown["1.44"]["ContainerConfig"] == shown["1.44"]["Config"]
    assert "ContainerConfig" not in shown["1.45"]
