"""Each action that the window offers is done by a test with mouse and keyboard on a real engine. Those without a test
of their own are done here."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from tests.support.engine import NativeEngine
from tests.ui.actions import TESTS
from tests.ui.conftest import OpenWindow
from tests.ui.hands import CONTROL, LIMIT_MS
from tests.ui.offered import offered
from tests.ui.window import Window

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

ALT, SHIFT = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier
LABEL = "com.docker.compose"


def test_every_action_that_the_window_offers_is_in_the_table() -> None:
    missing = sorted(offered() - set(TESTS))
    assert not missing, f"no test is named for {missing}"


def test_the_table_has_nothing_that_the_window_does_not_offer() -> None:
    code = {name for name in TESTS if not name.startswith("more: ")}
    gone = sorted(code - offered())
    assert not gone, f"these are offered no more: {gone}"


def test_every_test_that_the_table_names_exists() -> None:
    here = Path(__file__).parents[1]
    known: dict[str, set[str]] = {}
    for name in {name for names in TESTS.values() for name in names}:
        file, _, test = name.partition("::")
        if file not in known:
            tree = ast.parse((here / file).read_text())
            known[file] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert test in known[file], f"{file} has no {test}"


def status(engine: NativeEngine, name: str) -> str:
    return engine.docker("inspect", "--format", "{{.State.Status}}", name).stdout.strip()


def test_the_shortcuts_of_the_window(engine: NativeEngine, open_window: OpenWindow, qtbot: QtBot) -> None:
    window = open_window(engine)
    window.key(Qt.Key.Key_3, CONTROL)
    assert window.page == "images"
    window.key(Qt.Key.Key_Comma, CONTROL)
    assert window.page == "settings"
    window.key(Qt.Key.Key_Left, ALT)
    assert window.page == "images"
    window.key(Qt.Key.Key_Right, ALT)
    assert window.page == "settings"
    window.key(Qt.Key.Key_1, CONTROL)
    assert window.page == "containers"
    for key, zoom in ((Qt.Key.Key_Plus, 1), (Qt.Key.Key_Equal, 2), (Qt.Key.Key_Minus, 1), (Qt.Key.Key_0, 0)):
        window.key(key, CONTROL)
        assert window.zoom == zoom
    for is_narrow in (True, False):
        window.key(Qt.Key.Key_B, CONTROL)
        assert window.is_sidebar_narrow is is_narrow
    panes = set()
    for _ in range(3):
        window.key(Qt.Key.Key_F6)
        panes.add(window.focus_words)
    assert len(panes) == 3, f"F6 goes round through {panes}"
    window.key(Qt.Key.Key_N, CONTROL)
    assert "Run an image" in window.dialog_words()
    window.key(Qt.Key.Key_Escape)
    assert not window.has_dialog
    window.key(Qt.Key.Key_P, CONTROL | SHIFT)
    assert window.palette.is_open
    window.palette.press(Qt.Key.Key_Escape)
    window.go("images")
    window.images.wait_until_shown("busybox:latest")
    window.key(Qt.Key.Key_F, CONTROL)
    assert window.focus_words == "Filter by name"


def test_ctrl_tab_goes_through_the_tabs_of_a_container(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-tabs", "sleep", "1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-tabs", "running")
    page = window.open_container("ui-tabs", "overview")
    window.key(Qt.Key.Key_Tab, CONTROL)
    assert page.wait_until_inspected()
    window.key(Qt.Key.Key_Tab, CONTROL | SHIFT)
    page.wait_until_tab_says("The same as a command")


def test_the_menu_of_a_container_pauses_copies_and_leads_to_its_tabs(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-menu", "sh", "-c", "echo said; sleep 1000", flags=("-p", "127.0.0.1:18475:80"))
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-menu", "running")

    def choose(text: str) -> None:
        page.menu_on("ui-menu")
        page.choose(text)

    choose("Pause")
    page.wait_until_says("ui-menu", "Paused")
    assert status(engine, "ui-menu") == "paused"
    choose("Resume")
    page.wait_until_says("ui-menu", "running")
    choose("Copy name")
    assert window.clipboard == "ui-menu"
    choose("Copy id")
    assert window.clipboard == engine.docker("ps", "-q", "--filter", "name=ui-menu").stdout.strip()
    choose("Copy 127.0.0.1:18475")
    assert window.clipboard == "127.0.0.1:18475"
    choose("Logs")
    window.container.wait_until_logged("said")
    window.go("containers")
    choose("Inspect")
    assert "ui-menu" in window.container.wait_until_inspected()
    window.go("containers")
    choose("Terminal")
    window.container.wait_until_terminal_shows("#")


def test_kill_now_cuts_a_long_stop_short(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-slow", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", flags=("--stop-timeout", "3600"))
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-slow", "running")
    page.menu_on("ui-slow")
    page.choose("Stop")
    page.wait_until_says("ui-slow", "Stopping")
    page.menu_on("ui-slow")
    page.choose("Kill now")
    page.wait_until_says("ui-slow", "Stopped")
    assert status(engine, "ui-slow") == "exited"


def test_a_files_path_is_copied_and_another_command_is_a_shell(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], qtbot: QtBot
) -> None:
    named("ui-files", "sleep", "1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-files", "running")
    page = window.open_container("ui-files", "files")
    page.wait_until_in_folder("/", "etc")
    assert "Copy path" in page.file_menu_on("etc")
    page.choose_in_menu("Copy path")
    assert window.clipboard == "/etc"
    page.file_menu_on("etc")
    page.choose_in_menu("Open")
    page.wait_until_in_folder("/etc", "hosts")
    page.choose_tab("Terminal")
    page.wait_until_terminal_shows("#")
    page.press_in_tab("Other shells")
    page.choose_in_menu("Another command…")
    window.wait_until_asked()
    window.type("sh -c 'echo mine; exec sh'")
    window.key(Qt.Key.Key_Return)
    page.wait_until_terminal_shows("mine")


@pytest.fixture
def project(engine: NativeEngine) -> Iterator[str]:
    """A Compose project of one service."""
    flags = ("--label", f"{LABEL}.project=ui-one", "--label", f"{LABEL}.service=web", "--stop-signal", "KILL")
    engine.docker("run", "-d", "--name", "ui-one-web-1", *flags, "busybox", "sh", "-c", "echo up; sleep 1000")
    yield "ui-one"
    engine.docker("rm", "-f", "ui-one-web-1", check=False)


def test_the_menu_of_a_project(engine: NativeEngine, open_window: OpenWindow, project: str, qtbot: QtBot) -> None:
    def started() -> str:
        told = json.loads(engine.docker("inspect", "ui-one-web-1").stdout)
        return str(told[0]["State"]["StartedAt"])

    window = open_window(engine)
    window.go("compose")
    page = window.compose
    page.wait_until_says(project, "1 of 1 running")
    before = started()
    page.menu_on(project)
    page.choose_in_menu("Restart")
    qtbot.waitUntil(lambda: started() != before and status(engine, "ui-one-web-1") == "running", timeout=LIMIT_MS)
    page.wait_until_says(project, "1 of 1 running")
    page.menu_on(project)
    page.choose_in_menu("Copy name")
    assert window.clipboard == project
    page.menu_on(project)
    page.choose_in_menu("Logs")
    page.wait_until_logged("web | up")


def test_names_of_images_volumes_and_networks_are_copied_and_an_image_is_run_by_its_menu(
    engine: NativeEngine, open_window: OpenWindow
) -> None:
    window = open_window(engine)
    engine.docker("volume", "create", "ui-copied")
    engine.docker("network", "create", "ui-copied")
    try:
        for name, page, thing in (
            ("images", window.images, "busybox:latest"),
            ("volumes", window.volumes, "ui-copied"),
            ("networks", window.networks, "ui-copied"),
        ):
            window.go(name)
            if page is window.networks:
                window.networks.show_list()
            page.wait_until_shown(thing)
            page.menu_on(thing)
            page.choose_in_menu("Copy name")
            assert window.clipboard == thing
        window.go("images")
        window.images.menu_on("busybox:latest")
        window.images.choose_in_menu("Run…")
        assert "Run busybox:latest" in window.dialog_words()
        window.press("Cancel")
    finally:
        engine.docker("volume", "rm", "ui-copied", check=False)
        engine.docker("network", "rm", "ui-copied", check=False)


@pytest.mark.parametrize(
    ("title", "heading"),
    [
        ("Create a network…", "Create a network"),
        ("Create a volume…", "Create a volume"),
        ("Pull an image…", "Pull an image"),
        ("Run an image…", "Run an image"),
    ],
)
def test_the_palettes_commands_ask(engine: NativeEngine, open_window: OpenWindow, title: str, heading: str) -> None:
    window = open_window(engine)
    choose(window, title)
    assert heading in window.dialog_words()
    window.key(Qt.Key.Key_Escape)
    assert not window.has_dialog


def choose(window: Window, title: str) -> None:
    """Type a command's title into the palette and take it by Enter."""
    window.palette.type(f">{title.removesuffix('…')}")
    assert window.palette.preselected == title
    window.palette.press(Qt.Key.Key_Return)


def test_themes_by_the_palette(engine: NativeEngine, open_window: OpenWindow) -> None:
    window = open_window(engine)
    for title, scheme in (("Use the dark theme", "dark"), ("Use the light theme", "light")):
        choose(window, title)
        assert window.scheme == scheme
    choose(window, "Use the dark theme")
    choose(window, "Use the desktop's theme")
    assert window.scheme == "light", "the offscreen platform's"


def test_the_engines_address_is_copied(engine: NativeEngine, open_window: OpenWindow) -> None:
    window = open_window(engine)
    assert window.engine_menu()[0].endswith("engine running")
    window.choose_in_menu("Copy its address")
    assert window.clipboard == f"DOCKER_HOST={engine.host}"
