"""Compose projects as one thing: started, stopped, read and deleted together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

LABEL = "com.docker.compose"
SAYS = "trap exit TERM; while :; do echo says-{name}; sleep 0.2; done"


@pytest.fixture
def shop(engine: NativeEngine) -> Iterator[str]:
    """A project of two services with a network and a volume, and a container of another project."""
    engine.docker("network", "create", "--label", f"{LABEL}.project=ui-shop", "ui-shop_default")
    for project, service in (("ui-shop", "web"), ("ui-shop", "db"), ("ui-other", "web")):
        flags = ["--label", f"{LABEL}.project={project}", "--label", f"{LABEL}.service={service}"]
        if service == "db":
            flags += ["-v", "ui-shop_data:/data"]
        if project == "ui-shop":
            flags += ["--network", "ui-shop_default"]
        name = f"{project}-{service}-1"
        engine.docker("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", SAYS.format(name=service))
    yield "ui-shop"
    engine.docker("rm", "-f", "-v", "ui-shop-web-1", "ui-shop-db-1", "ui-other-web-1", check=False)
    engine.docker("network", "rm", "ui-shop_default", check=False)
    engine.docker("volume", "rm", "-f", "ui-shop_data", check=False)


def names(engine: NativeEngine, *flags: str) -> set[str]:
    return set(engine.docker("ps", "--format", "{{.Names}}", *flags).stdout.split())


def test_without_a_project_the_page_says_how_to_make_one(engine: NativeEngine, open_window: OpenWindow) -> None:
    window = open_window(engine)
    window.go("compose")
    assert window.compose.names() == []
    assert {"No Compose projects", "cove compose up -d"} <= set(window.texts())


def test_a_project_is_stopped_and_started_and_its_logs_are_one(
    engine: NativeEngine, open_window: OpenWindow, shop: str
) -> None:
    window = open_window(engine)
    page = window.compose
    window.go("compose")
    page.wait_until_says(shop, "2 of 2 running")
    page.choose(shop)
    page.choose_tab("Logs")
    page.wait_until_logged("web | says-web")
    page.wait_until_logged("db | says-db")
    page.press_button("Stop")
    page.wait_until_says(shop, "0 of 2 running")
    assert names(engine) & {"ui-shop-web-1", "ui-shop-db-1", "ui-other-web-1"} == {"ui-other-web-1"}
    page.press_button("Start")
    page.wait_until_says(shop, "2 of 2 running")


@pytest.mark.parametrize("with_volume", [False, True])
def test_a_project_is_deleted_by_the_dialog_that_names_its_parts(
    engine: NativeEngine, open_window: OpenWindow, shop: str, with_volume: bool
) -> None:
    window = open_window(engine)
    page = window.compose
    window.go("compose")
    page.wait_until_says(shop, "2 of 2 running")
    page.choose(shop)
    page.press(Qt.Key.Key_Delete)
    window.wait_until_asked()
    words = " ".join(window.dialog_words())
    assert "Delete project ui-shop?" in words
    assert "ui-shop-db-1, ui-shop-web-1, ui-shop_default" in words
    assert "ui-shop_data" in words
    if with_volume:
        window.tick("Delete its volume too")
    window.press("Delete ui-shop")
    window.wait_until_told("Project ui-shop was deleted")
    page.wait_until_gone(shop)
    assert names(engine, "-a") & {"ui-shop-web-1", "ui-shop-db-1", "ui-other-web-1"} == {"ui-other-web-1"}
    assert "ui-shop_default" not in engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    left = "ui-shop_data" in engine.docker("volume", "ls", "-q").stdout.split()
    assert left is not with_volume


def test_what_is_gone_when_the_answer_comes_is_no_failure_and_two_presses_ask_once(
    engine: NativeEngine, open_window: OpenWindow, shop: str
) -> None:
    window = open_window(engine)
    page = window.compose
    window.go("compose")
    page.wait_until_says(shop, "2 of 2 running")
    page.choose(shop)
    page.press(Qt.Key.Key_Delete)
    page.press(Qt.Key.Key_Delete)
    window.wait_until_asked()
    engine.docker("rm", "-f", "ui-shop-web-1", "ui-shop-db-1")
    engine.docker("network", "rm", "ui-shop_default")
    window.press("Delete ui-shop")
    window.wait_until_told("Project ui-shop was deleted")
    assert not window.has_dialog
