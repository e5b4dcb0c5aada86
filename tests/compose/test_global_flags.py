"""The flags before the verb do what docker compose's do; both run in one folder on one engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composing import ComposeProject
from tests.support.engine import NativeEngine
from tests.support.terminal import on_terminal

FILE = """\
name: cvtflags
services:
  one: {image: busybox, command: 'sh -c "echo hello; exec sleep 1000"', init: true, stop_grace_period: 0s}
  two: {image: busybox, command: sleep 1000, init: true, stop_grace_period: 0s, depends_on: [one]}
  built: {build: ., command: sleep 1000, profiles: [more]}
networks: {unused: }
volumes: {unused: }
"""
TOOLS = ("docker", "cove")


@pytest.fixture
def project(engine: NativeEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = ComposeProject(engine, tmp_path, "cvtflags")
    made.write(FILE)
    yield made
    made.environment.clear()
    made.cove("--all-resources", "down", "-v", "-t", "0", "--remove-orphans")
    assert not made.containers()


@pytest.mark.parametrize(
    ("flags", "variables"),
    [
        (("--progress", "foo"), {}),
        (("--ansi", "never", "--progress", "tty"), {}),
        (("--ansi", "always", "--progress", "plain"), {}),
        (("--parallel", "x"), {}),
        ((), {"COMPOSE_PARALLEL_LIMIT": "x"}),
    ],
)
def test_a_wrong_value_is_refused_in_docker_s_words(
    project: ComposeProject, flags: tuple[str, ...], variables: dict[str, str]
) -> None:
    project.environment |= variables
    docker, cove = (getattr(project, tool)(*flags, "ps", check=False) for tool in TOOLS)
    assert docker.returncode
    assert cove.returncode
    assert cove.stderr.splitlines()[0] == docker.stderr.splitlines()[0]


@pytest.mark.parametrize("variable", ["COMPOSE_COMPATIBILITY", "COMPOSE_IGNORE_ORPHANS", "COMPOSE_REMOVE_ORPHANS"])
def test_a_variable_that_says_neither_yes_nor_no_is_named(project: ComposeProject, variable: str) -> None:
    project.environment[variable] = "perhaps"
    done = project.cove("up", "-d", check=False)
    assert (done.returncode, done.stderr) == (1, f"{variable}: 'perhaps' is neither true nor false\n")


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_compatibility_names_with_underscores(project: ComposeProject, by: str) -> None:
    flags = ("--compatibility",) if by == "flag" else ()
    project.environment |= {"COMPOSE_COMPATIBILITY": "1"} if by == "variable" else {}
    project.cove(*flags, "up", "-d")
    made = project.containers()
    assert set(made) == {"cvtflags_one_1", "cvtflags_two_1"}
    project.docker(*flags, "up", "-d")
    assert project.containers() == made
    assert project.cove(*flags, "logs", "one").stdout == "one_1  | hello\n"
    images = project.cove(*flags, "--profile", "more", "config", "--images").stdout.split()
    assert sorted(images) == ["busybox", "busybox", "cvtflags_built"]
    project.cove("down")  # they are found by their labels


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_quiet_progress_says_nothing_and_plain_progress_redraws_nothing(project: ComposeProject) -> None:
    for tool in TOOLS:
        quiet = getattr(project, tool)("--progress", "quiet", "up", "-d")
        assert (quiet.stdout, quiet.stderr) == ("", "")
        getattr(project, tool)("down")
    for flags in (("--progress", "plain"), ("--ansi", "never")):
        shown = on_a_terminal(project, *flags, "up", "-d")
        assert " Container cvtflags-two-1  Started" in lines(shown.replace("\r", ""))
        assert "\x1b" not in shown
        project.cove("down")
    assert "\x1b[" in on_a_terminal(project, "up", "-d")


def on_a_terminal(project: ComposeProject, *args: str) -> str:
    """What `cove compose` shows on a terminal."""
    command: list[str | Path] = [Path(sys.executable).with_name("cove"), "compose", *args]
    shown, status = on_terminal(command, env={**os.environ, "COVE_HOST": project.engine.host}, cwd=project.folder)
    assert status == 0, shown
    return shown.decode()


def test_ansi_always_colours_what_is_piped_and_no_color_wins(project: ComposeProject) -> None:
    project.cove("up", "-d")
    assert project.cove("logs", "one").stdout == "one-1  | hello\n"
    assert project.cove("--ansi", "always", "logs", "one").stdout == "\x1b[36mone-1  | \x1b[0mhello\n"
    assert project.cove("--ansi", "always", "logs", "--no-color", "one").stdout == "one-1  | hello\n"
    project.environment["NO_COLOR"] = "1"
    assert project.cove("--ansi", "always", "logs", "one").stdout == "one-1  | hello\n"


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_parallel_limits_what_is_worked_on_at_once(project: ComposeProject, by: str) -> None:
    """With one at a time, what begins ends before the next one begins."""
    many = "".join(
        f"  s{n}: {{image: busybox, command: sleep 1000, init: true, stop_signal: KILL}}\n" for n in range(6)
    )
    project.write(f"name: cvtflags\nservices:\n{many}")
    project.environment |= {"COMPOSE_PARALLEL_LIMIT": "1"} if by == "variable" else {}
    flags = ("--parallel", "1") if by == "flag" else ()
    for verb, begins, ends in (("up", ("Creating", "Starting"), ("Created", "Started")), ("down", ("Stopping",), ())):
        shown = project.cove(*flags, verb, *(("-d",) if verb == "up" else ())).stderr
        steps = [line.split()[1:] for line in lines(shown) if line.startswith(" Container ")]
        began = [at for at, (_, status) in enumerate(steps) if status in begins]
        assert len(began) == 6 * len(begins), shown
        for at in began:
            assert steps[at][0] == steps[at + 1][0], shown
            assert not ends or steps[at + 1][1] in ends, shown


def test_all_resources_makes_what_no_service_uses(project: ComposeProject) -> None:
    project.cove("up", "-d")
    with project.engine.client() as client:
        assert "cvtflags_unused" not in [one["Name"] for one in client.json_list("GET", "/networks")]
        project.cove("--all-resources", "up", "-d")
        assert "cvtflags_unused" in [one["Name"] for one in client.json_list("GET", "/networks")]
        volumes = client.json_object("GET", "/volumes")["Volumes"]
        assert "cvtflags_unused" in [one["Name"] for one in volumes]
        project.cove("down", "-v")
        assert "cvtflags_unused" not in [one["Name"] for one in client.json_list("GET", "/networks")]


def test_orphans_are_passed_over_or_removed_as_the_variables_say(project: ComposeProject) -> None:
    project.cove("up", "-d")
    project.write("name: cvtflags\nservices:\n  one: {image: busybox, command: sleep 1000, init: true}\n")
    project.environment["COMPOSE_IGNORE_ORPHANS"] = "1"
    assert "orphan" not in project.cove("up", "-d").stderr
    refused = [getattr(project, tool)("up", "-d", "--remove-orphans", check=False) for tool in TOOLS]
    assert [done.returncode for done in refused] == [1, 1]
    assert {done.stderr for done in refused} == {"cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans\n"}
    project.environment |= {"COMPOSE_IGNORE_ORPHANS": "", "COMPOSE_REMOVE_ORPHANS": "1"}
    project.cove("up", "-d")
    assert set(project.containers()) == {"cvtflags-one-1"}
