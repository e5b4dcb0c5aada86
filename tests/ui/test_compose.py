"""Compose projects as one thing: started, stopped, read and deleted together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from desktop.ui.compose.model import layers
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
    page = window.open_project(shop, "2 of 2 running", "Logs")
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
    page = window.open_project(shop, "2 of 2 running")
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
    page = window.open_project(shop, "2 of 2 running")
    page.press(Qt.Key.Key_Delete)
    page.press(Qt.Key.Key_Delete)
    window.wait_until_asked()
    engine.docker("rm", "-f", "ui-shop-web-1", "ui-shop-db-1")
    engine.docker("network", "rm", "ui-shop_default")
    window.press("Delete ui-shop")
    window.wait_until_told("Project ui-shop was deleted")
    assert not window.has_dialog


def test_the_view_of_logs_shows_one_service_or_all(engine: NativeEngine, open_window: OpenWindow, shop: str) -> None:
    window = open_window(engine)
    page = window.open_project(shop, "2 of 2 running", "Logs")
    page.wait_until_logged("web | says-web")
    page.wait_until_logged("db | says-db")
    page.choose_service("db")
    assert page.logged() == {"db | says-db"}
    page.choose_service("All services")
    assert page.logged() == {"web | says-web", "db | says-db"}
    # By the keyboard: Space on the button, then the arrows.
    page.choose_service_by_keys("web")
    assert page.logged() == {"web | says-web"}


@pytest.fixture
def chain(engine: NativeEngine, tmp_path: Path) -> Iterator[str]:
    """A project that `cove compose` has made: web waits for api and cache, these for db."""
    (tmp_path / "compose.yaml").write_text(
        "name: ui-chain\nx-all: &all {image: busybox, init: true, command: sleep 1000}\nservices:\n"
        "  db: {<<: *all, volumes: ['data:/data'], healthcheck: {test: 'true', interval: 100ms}}\n"
        "  api: {<<: *all, depends_on: {db: {condition: service_healthy}}, networks: [default, back]}\n"
        "  cache: {<<: *all, depends_on: [db]}\n"
        "  web: {<<: *all, depends_on: [api, cache]}\n"
        "volumes: {data: }\nnetworks: {back: }\n"
    )
    engine.cove("compose", "up", "-d", cwd=tmp_path)
    yield "ui-chain"
    engine.cove("compose", "down", "-v", "-t", "0", cwd=tmp_path)


def test_the_graph_shows_what_waits_for_what_and_leads_to_the_containers(
    engine: NativeEngine, open_window: OpenWindow, chain: str
) -> None:
    window = open_window(engine)
    page = window.open_project(chain, "4 of 4 running", "Graph")
    assert page.graph() == {
        "db": (0, "db, waits for no other"),
        "api": (1, "api, waits for db (healthy)"),
        "cache": (1, "cache, waits for db (started)"),
        "web": (2, "web, waits for api (started), cache (started)"),
    }
    assert [name for name in page.tab_stops() if "waits for" in name] == [
        said for _, said in sorted(page.graph().values(), key=lambda one: one[0])
    ]
    page.click_service("cache, waits for db (started)")
    assert window.page == "container"
    assert window.container.name == "cache"


def test_a_service_s_health_is_told(engine: NativeEngine, open_window: OpenWindow, chain: str) -> None:
    window = open_window(engine)
    window.open_project(chain, "4 of 4 running")
    assert [text for text in window.texts() if text.startswith("busybox")] == ["busybox"] * 2 + [
        "busybox, healthy",
        "busybox",
    ]


def test_networks_and_volumes_are_listed_with_their_services(
    engine: NativeEngine, open_window: OpenWindow, chain: str
) -> None:
    window = open_window(engine)
    page = window.open_project(chain, "4 of 4 running", "Networks, volumes")
    shown = window.texts()
    assert {"network of api", "network of api, cache, db, web", "volume of db"} <= set(shown)
    page.click_resource("ui-chain_back")
    assert window.page == "networks"
    window.networks.wait_until_titled("ui-chain_back")
    window.go("compose")
    page.choose_tab("Networks, volumes")
    page.click_resource("ui-chain_data")
    assert window.page == "volumes"
    window.volumes.wait_until_titled("ui-chain_data")


def test_services_that_wait_for_each_other_are_drawn_too() -> None:
    assert layers({"a": ["b", "gone"], "b": ["a"], "c": [], "d": ["c"]}) == [["c"], ["d"], ["a", "b"]]


FILE = """\
name: ui-file
services:
  web: {image: busybox, init: true, command: sleep 1000}
  db: {image: busybox, init: true, command: sleep 1000}
"""


@pytest.fixture
def file(engine: NativeEngine, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "compose.yaml"
    path.write_text(FILE)
    yield path
    engine.cove("compose", "-p", "ui-file", "down", "-t", "0", "--remove-orphans")


def ids(engine: NativeEngine) -> dict[str, str]:
    found = engine.docker("ps", "-a", "--filter", f"label={LABEL}.project=ui-file", "--format", "{{.Names}} {{.ID}}")
    return dict(line.split() for line in found.stdout.splitlines())


@pytest.mark.parametrize("by", ["dialog", "drop"])
def test_a_compose_file_is_opened_and_brought_up(
    engine: NativeEngine, open_window: OpenWindow, file: Path, by: str
) -> None:
    window = open_window(engine)
    page = window.compose
    window.go("compose")
    if by == "dialog":
        page.press_button("Open compose file…")
        window.choose_file(file)
    else:
        page.drop(file)
    window.wait_until_asked()
    words = " ".join(window.dialog_words())
    assert "Bring up project ui-file?" in words
    for what in ("network ui-file_default", "ui-file-web-1", "ui-file-db-1"):
        assert f"{what} is made: there is none" in words
    window.press("Bring up ui-file")
    window.wait_until_told("Project ui-file is up")
    page.wait_until_says("ui-file", "2 of 2 running")
    page.wait_until_titled("ui-file")


def test_a_file_that_is_wrong_is_told_with_its_place(engine: NativeEngine, open_window: OpenWindow, file: Path) -> None:
    file.write_text(FILE.replace("image:", "imge:"))
    window = open_window(engine)
    window.go("compose")
    window.compose.drop(file)
    window.wait_until_told("This compose file is not brought up")
    assert any(f"{file}:3:9: " in fact and "'imge'" in fact for fact in window.message_facts())
    assert not ids(engine)


def test_a_file_is_edited_with_its_error_marked_and_applied_after_its_differences(
    engine: NativeEngine, open_window: OpenWindow, file: Path
) -> None:
    engine.cove("compose", "up", "-d", cwd=file.parent)
    before = ids(engine)
    window = open_window(engine)
    page = window.open_project("ui-file", "2 of 2 running", "File")
    page.wait_until_file_says("All is as the file says.")
    assert page.file == FILE
    page.edit("  db: {image: busybox", "  db: {imag: busybox")
    page.wait_until_file_says(f"{file}:4:8: ")
    assert page.marked_lines == [4]
    assert not page.can_apply
    page.edit("  db: {imag: busybox", "  db: {image: busybox, environment: [A=1]")
    page.wait_until_file_says("1 change when it is applied")
    assert page.marked_lines == []
    page.press_button("Apply…")
    window.wait_until_asked()
    words = " ".join(window.dialog_words())
    assert "ui-file-db-1 is made anew: its environment changed" in words
    assert "ui-file-web-1" not in words
    assert ids(engine) == before
    assert file.read_text() == FILE
    window.press("Bring up ui-file")
    window.wait_until_told("Project ui-file is up")
    page.wait_until_file_says("All is as the file says.")
    assert file.read_text() == FILE.replace("db: {image: busybox", "db: {image: busybox, environment: [A=1]")
    after = ids(engine)
    assert after["ui-file-web-1"] == before["ui-file-web-1"]
    assert after["ui-file-db-1"] != before["ui-file-db-1"]


def test_what_is_edited_stays_when_the_project_is_brought_up_from_elsewhere(
    engine: NativeEngine, open_window: OpenWindow, file: Path
) -> None:
    engine.cove("compose", "up", "-d", cwd=file.parent)
    window = open_window(engine)
    page = window.open_project("ui-file", "2 of 2 running", "File")
    page.wait_until_file_says("All is as the file says.")
    page.edit("ui-file", "ui-file # mine")
    file.write_text(FILE.replace("db: {image: busybox", "db: {image: busybox, environment: [A=1]"))
    page.drop(file)
    window.wait_until_asked()
    window.press("Bring up ui-file")
    window.wait_until_told("Project ui-file is up")
    page.wait_until_file_says("1 change when it is applied")
    assert page.file == FILE.replace("ui-file", "ui-file # mine")
