"""What Enter takes in the palette: a typed name wins, and an image that is not local is never run by accident."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt

from desktop.ui.feed.container import Container
from desktop.ui.run.options import RunWish
from desktop.ui.shell.palette_search import Offer, find, preselected
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

PULL = "Pull and run"


def nothing(*_arguments: object) -> None:
    """The action of the offered entries, which these tests never run."""


def offer(*, images: tuple[str, ...] = (), recent: tuple[str, ...] = (), containers: tuple[str, ...] = ()) -> Offer:
    return Offer(
        recent=[RunWish(image=image) for image in recent],
        images=images,
        containers=[Container(id=name, name=name, image="busybox:latest", status="running") for name in containers],
        pages=[("Images", "stack", nothing)],
        actions=[("Use the dark theme", "", "moon", nothing), ("Quit Cove", "", "sign-out", nothing)],
        open_container=nothing,
        act=nothing,
    )


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("biglog", ("Go to", "biglog")),  # a container; no local image has that name
        ("redis", ("Go to", "redis")),  # a container and a local image
        ("REDIS", ("Go to", "redis")),
        ("images", ("Go to", "Images")),
        ("quit cove", ("Do", "Quit Cove")),
        ("dark", ("Do", "Use the dark theme")),
        ("red", ("Run", "redis:latest")),
        ("redis:latest", ("Run", "redis:latest")),
        ("", ("Run", "redis:latest")),
        ("alpine", None),
        ("alpine echo hi", None),
        ("redis echo hi", ("Run", "redis echo hi")),
        ("gone", None),  # it ran once; its image was deleted
    ],
)
def test_a_typed_name_wins_and_a_pull_is_never_preselected(text: str, taken: tuple[str, str] | None) -> None:
    entries = find(offer(images=("redis:latest",), recent=("gone:1",), containers=("biglog", "redis")), text)
    first = preselected(entries)
    assert (None if first is None else (first.section, first.title)) == taken
    if first is not None:
        assert entries[0] is first, "the preselected row is not the top one"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20 ls /", "docker.io/library/alpine:3.20 ls /"),
        ("someone/tool", "docker.io/someone/tool:latest"),
        ("quay.io/someone/tool:2", "quay.io/someone/tool:2"),
        ("localhost:5000/tool", "localhost:5000/tool:latest"),
        ("gone", "docker.io/library/gone:1"),
    ],
)
def test_a_pull_names_the_registry(text: str, title: str) -> None:
    pulls = [entry for entry in find(offer(recent=("gone:1",)), text) if entry.section == PULL]
    assert pulls[0].title == title


@pytest.mark.parametrize("name", ["redis", "redis:latest", "docker.io/library/redis", "docker.io/redis:latest"])
def test_every_name_of_an_image_that_is_here_runs_it(name: str) -> None:
    first = preselected(find(offer(images=("redis:latest",)), name))
    assert first is not None
    assert first.section == "Run"


def test_enter_opens_the_container_of_that_name(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-biglog", "sleep", "1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-biglog", "running")
    offered = window.palette.type("ui-biglog")
    assert offered[0] == ("Go to", "ui-biglog")
    assert offered[-1] == (PULL, "docker.io/library/ui-biglog:latest")
    assert window.palette.preselected == "ui-biglog"
    window.palette.press(Qt.Key.Key_Return)
    assert window.page == "container"
    assert window.container.name == "ui-biglog"


def test_enter_pulls_nothing_until_it_is_chosen(engine: NativeEngine, open_window: OpenWindow, registry: str) -> None:
    window = open_window(engine)
    window.palette.type(f"{registry}/no/such:1")
    assert window.palette.preselected == ""
    window.palette.press(Qt.Key.Key_Return)
    assert window.palette.is_open
    assert window.page == "containers"
    window.palette.press(Qt.Key.Key_Down)
    assert window.palette.preselected == f"{registry}/no/such:1"
    window.palette.press(Qt.Key.Key_Return)
    assert window.page == "run"
    window.run_page.wait_until_over()
    assert window.run_page.error == f"There is no image {registry}/no/such:1"


def test_quick_run_preselects_as_the_palette_does(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-biglog", "sleep", "1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-biglog", "running")
    window.open_quick_run()
    window.quick_run.type("ui-biglog")
    assert window.quick_run.preselected == "ui-biglog"
    window.quick_run.type("ui-nothing")
    assert window.quick_run.preselected == ""
    window.quick_run.press(Qt.Key.Key_Return)
    assert window.quick_run.is_open
    window.quick_run.type("ui-biglog")
    window.quick_run.press(Qt.Key.Key_Return)
    assert window.container.name == "ui-biglog"
