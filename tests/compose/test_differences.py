"""What an `up` would change is said before it is done: what it then does is that, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.compose.differences import differences
from desktop.compose.project import Options, Project, load
from tests.support.composing import ComposeProject
from tests.support.engine import NativeEngine

FILE = """\
name: cvtdiff
x-all: &all {image: busybox, init: true, command: sleep 1000}
services:
  kept: {<<: *all}
  changed: {<<: *all, environment: [A=1]}
  image: {<<: *all, image: 'cvtdiff:1'}
  stopped: {<<: *all}
  base: {<<: *all, labels: [L=1]}
  follows: {<<: *all, depends_on: {base: {condition: service_started, restart: true}}}
  paused: {<<: *all}
  shares: {<<: *all, network_mode: 'service:base'}
  many: {<<: *all, scale: 2}
  gone: {<<: *all}
"""


@pytest.fixture
def project(engine: NativeEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = ComposeProject(engine, tmp_path, "cvtdiff")
    engine.docker("tag", "busybox", "cvtdiff:1")
    made.write(FILE)
    yield made
    made.cove("down", "-v", "-t", "0", "--remove-orphans")
    engine.docker("image", "rm", "-f", "cvtdiff:1")
    assert not made.containers()


def loaded(project: ComposeProject, text: str | None = None) -> Project:
    path = str(project.folder / "compose.yaml")
    texts = {} if text is None else {path: text}
    return load(Options(folder=str(project.folder), environ=os.environ, files=(path,), texts=texts)).select(())


def runs(project: ComposeProject) -> dict[str, str]:
    """By container its ID, its state, and when it was started."""
    form = "{{.Id}} {{.State.Status}} {{.State.StartedAt}}"
    return {name: project.engine.docker("inspect", "-f", form, name).stdout for name in project.containers()}


def said(project: ComposeProject, text: str, before: Project | None = None) -> dict[str, tuple[str, str]]:
    with project.engine.client() as client:
        found = differences(client, loaded(project, text), before)
    assert len({one.what for one in found}) == len(found), found
    return {one.what: (str(one.change), one.why) for one in found}


def test_a_new_project_is_made_whole(project: ComposeProject) -> None:
    text = FILE.replace("kept: {<<: *all}", "kept: {<<: *all, volumes: ['data:/d']}") + "volumes: {data: }\n"
    found = said(project, text.replace("image: busybox", "image: 'cvtdiff:none'", 1))
    assert {change for change, _ in found.values()} == {"create"}
    assert len(found) == 11 + 2
    assert found["network cvtdiff_default"] == found["volume cvtdiff_data"] == ("create", "there is none")
    assert found["cvtdiff-many-2"] == ("create", "there is none; cvtdiff:none is fetched")


def test_what_is_said_is_what_an_up_does(project: ComposeProject) -> None:
    project.cove("up", "-d")
    assert said(project, FILE) == {}
    project.cove("stop", "-t", "0", "stopped")
    engine = project.engine
    engine.docker("pause", "cvtdiff-paused-1")
    engine.docker("commit", "-c", "LABEL other=1", "cvtdiff-kept-1", "cvtdiff:1")
    before = runs(project)
    text = FILE.replace("A=1]", "A=2], tty: true").replace("L=1", "L=2").replace("scale: 2", "scale: 1")
    text = text.replace("  gone: {<<: *all}\n", "  new: {<<: *all}\n")
    wanted = {
        "cvtdiff-changed-1": ("recreate", "its environment, tty changed"),
        "cvtdiff-image-1": ("recreate", "cvtdiff:1 is another image now"),
        "cvtdiff-stopped-1": ("start", "it does not run"),
        "cvtdiff-base-1": ("recreate", "its labels changed"),
        "cvtdiff-follows-1": ("restart", "base, which it depends on, is made anew"),
        "cvtdiff-paused-1": ("start", "it is paused"),
        "cvtdiff-shares-1": ("recreate", "it shares what base has, which is made anew"),
        "cvtdiff-many-2": ("remove", "1 are wanted"),
        "cvtdiff-gone-1": ("remove", "its service is no longer in the file"),
        "cvtdiff-new-1": ("create", "there is none"),
    }
    assert said(project, text, loaded(project)) == wanted
    assert runs(project) == before
    unknown = said(project, text)
    assert unknown["cvtdiff-changed-1"] == ("recreate", "the file says something else than when it was made")

    project.write(text)
    project.cove("up", "-d", "--remove-orphans")
    after = runs(project)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == wanted.keys()
    assert said(project, text) == {}
