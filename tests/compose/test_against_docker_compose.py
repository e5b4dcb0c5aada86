"""Our reading of compose files against the real `docker compose config`, as data, and every service's hash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from desktop.compose import output
from desktop.compose.project import load
from tests.compose.examples import EXAMPLES, Example, one, options, write
from tests.support.limits import HANG_S
from tests.support.tools import docker_config


def docker_compose(folder: Path, example: Example, *args: str) -> str:
    program = (docker_config() / "cli-plugins" / "docker-compose").resolve()
    done = subprocess.run(
        [program, *example.arguments, *args],
        cwd=folder,
        env={"HOME": os.environ["HOME"], **example.environ},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Pro.ject_1"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", EXAMPLES)
def test_config_is_the_same_data(folder: Path, name: str) -> None:
    example = EXAMPLES[name]
    write(folder, example)
    project = load(options(folder, example)).select([])
    assert json.loads(output.to_json(project).replace("$", "$$")) == json.loads(
        docker_compose(folder, example, "config", "--format=json")
    )
    bare = load(options(folder, example, resolves_environment=False)).select([])
    hashes = "".join(f"{key} {output.service_hash(item)}\n" for key, item in sorted(bare.services.items()))
    assert hashes == docker_compose(folder, example, "config", "--hash=*")


@pytest.mark.parametrize("name", ["scalars", "limits", "deploy", "unicode", "anchors", "configs-and-secrets", "rest"])
def test_yaml_is_the_same_data(folder: Path, name: str) -> None:
    example = EXAMPLES[name]
    write(folder, example)
    ours = yaml.safe_load(output.to_yaml(load(options(folder, example)).select([])).replace("$", "$$"))
    assert ours == yaml.safe_load(docker_compose(folder, example, "config"))


def cove(folder: Path, example: Example, *args: str) -> subprocess.CompletedProcess[str]:
    """`cove compose`; no engine is needed to read files."""
    return subprocess.run(
        [Path(sys.executable).with_name("cove"), "compose", *example.arguments, *args],
        cwd=folder,
        env={**os.environ, **example.environ},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


@pytest.mark.parametrize("part", ["--services", "--volumes", "--images", "--profiles", "--hash=*"])
def test_parts_of_the_project(folder: Path, part: str) -> None:
    example = EXAMPLES["profiles"]._replace(arguments=("--profile", "*"))
    write(folder, example)
    ours = cove(folder, example, "config", part)
    assert sorted(ours.stdout.splitlines()) == sorted(docker_compose(folder, example, "config", part).splitlines())


def test_the_command_prints_what_docker_compose_prints(folder: Path) -> None:
    example = EXAMPLES["interpolation"]
    write(folder, example)
    for kind in ("json", "yaml"):
        ours, theirs = (
            yaml.safe_load(text)
            for text in (
                cove(folder, example, "config", f"--format={kind}").stdout,
                docker_compose(folder, example, "config", f"--format={kind}"),
            )
        )
        assert ours == theirs


def test_a_fault_ends_the_command(folder: Path) -> None:
    example = one("services: {a: {image: i, prots: [80]}}\n")
    write(folder, example)
    done = cove(folder, example, "config", "-q")
    assert (done.returncode, done.stdout) == (1, "")
    fault = "services.a has an unknown key 'prots'; did you mean 'ports'?"
    assert done.stderr == f"{folder}/compose.yaml:1:26: {fault}\n"
