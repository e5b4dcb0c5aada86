"""The welcome: shown by itself once, where nothing of Cove's is yet; a first container, docker's context."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings, Qt
from pytestqt.qtbot import QtBot

from desktop.paths import HostPaths, host_paths
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.steps import BootStep
from desktop.ui.kit.theme import Theme
from desktop.ui.shell.application import Application
from desktop.ui.welcome.first import is_first_start
from desktop.ui.welcome.starting import StartPanel
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli
from tests.ui.hands import CONTROL
from tests.ui.opening import cove_on
from tests.ui.welcome import Welcome
from tests.ui.window import Window

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

Opened = tuple[Window, Welcome]


@pytest.fixture
def open_first(
    qapp: Application, qtbot: QtBot, theme: Theme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[NativeEngine], Opened]]:
    """Opens the window as on a machine without anything of Cove's; the second call opens it once more."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with ExitStack() as closing:

        def open_on(engine: NativeEngine) -> Opened:
            closing.close()  # the window before
            paths = host_paths({"COVE_HOME": str(tmp_path / "home")}, "linux")
            cove = cove_on(engine.host, qapp, theme, paths, tmp_path, is_first=True)
            closing.callback(cove.window.deleteLater)
            closing.callback(cove.close)
            cove.open()
            window = Window(cove, qtbot)
            window.wait_until_connected()
            return window, Welcome(cove, qtbot)

        yield open_on


def test_a_new_user_runs_a_container_and_connects_docker_by_clicks(
    own_engine: NativeEngine, open_first: Callable[[NativeEngine], Opened], tmp_path: Path, qtbot: QtBot
) -> None:
    window, page = open_first(own_engine)
    assert (window.page, page.is_shown, page.has_bars) == ("welcome", True, False)
    page.wait_until_title("Run your first container")
    assert page.stages()[0] == "Step 1 of 3: Start the engine, done"
    assert "It came with Cove" in " ".join(page.words())
    page.press("Run cove/hello")
    page.wait_until_title("Your first container started in ")
    page.wait_until_printed("Hello from a container.", "exit status 0")
    assert page.step_said("start").startswith("Start, ")
    assert window.toasts() == [], "the page itself tells it"
    page.press("Run it again")
    page.wait_until_title("Your first container started in ")
    page.press("Continue")
    page.press("Make docker's context “cove”")
    page.wait_until_offered("Copy")
    assert page.stages()[2] == "Step 3 of 3: Connect your tools, done"
    told = subprocess.run(
        [docker_cli(), "--context", "cove", "ps", "-a", "--format", "{{.Image}}"],
        env={name: value for name, value in os.environ.items() if name != "DOCKER_HOST"},
        capture_output=True, text=True, timeout=HANG_S, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["cove/hello", "cove/hello"]
    page.press("Start Cove at login")
    entry = tmp_path / "xdg" / "autostart" / "cove.desktop"
    qtbot.waitUntil(entry.exists, timeout=int(HANG_S * 1000))
    page.press("Open the window")
    assert (window.page, page.has_bars) == ("containers", True)
    window, page = open_first(own_engine)
    assert window.page == "containers", "it is shown once"


def test_the_keyboard_goes_through_the_welcome_and_out_of_it(
    own_engine: NativeEngine, open_first: Callable[[NativeEngine], Opened]
) -> None:
    window, page = open_first(own_engine)
    page.wait_until_title("Run your first container")
    steps = ["Look, on this computer?", "Pull, its layers, from the registry", "Create, its record",
             "Mount, its files, as an overlay", "Start, isolated, with limits"]  # fmt: skip
    stages = ["Step 1 of 3: Start the engine, done", "Step 2 of 3: See a container start",
              "Step 3 of 3: Connect your tools"]  # fmt: skip
    assert page.tab_stops() == [*stages, *steps, "Run cove/hello", "Skip to the window"]
    page.tab_to("Run cove/hello")
    page.key(Qt.Key.Key_Return)
    page.wait_until_title("Your first container started in ")
    page.tab_to("Continue")
    page.key(Qt.Key.Key_Return)
    assert page.title == "Connect your tools"
    assert page.focused == "Open the window", "the button that goes on has the focus"
    page.tab_to("Step 1 of 3: Start the engine, done")
    page.key(Qt.Key.Key_Space)
    assert page.title == "The engine runs"
    page.tab_to("Skip to the window")
    page.key(Qt.Key.Key_Return)
    assert window.page == "containers"
    window.key(Qt.Key.Key_K, CONTROL)
    window.palette.type(">Show the welcome")
    window.palette.press(Qt.Key.Key_Return)
    assert window.page == "welcome"
    assert page.title == "The engine runs"
    window.key(Qt.Key.Key_F6)
    assert page.focused == "Continue"


def test_an_engine_that_has_containers_needs_no_welcome(
    own_engine: NativeEngine, open_first: Callable[[NativeEngine], Opened]
) -> None:
    own_engine.docker("run", "-d", "--name", "known", "busybox", "sleep", "1000")
    window, page = open_first(own_engine)
    window.containers.wait_until_says("known", "running")
    assert (window.page, page.has_bars) == ("containers", True)


def test_a_context_of_a_users_own_stays_and_is_named(
    own_engine: NativeEngine, open_first: Callable[[NativeEngine], Opened], tmp_path: Path, qtbot: QtBot
) -> None:
    subprocess.run(
        [docker_cli(), "context", "create", "cove", "--docker", "host=unix:///other.sock"],
        env=os.environ, capture_output=True, timeout=HANG_S, check=True,
    )  # fmt: skip
    window, page = open_first(own_engine)
    page.press("Step 3 of 3: Connect your tools")
    page.press("Make docker's context “cove”")
    qtbot.waitUntil(lambda: "was not made by this command" in " ".join(page.words()), timeout=int(HANG_S * 1000))
    [file] = (tmp_path / "docker" / "contexts" / "meta").glob("*/meta.json")
    assert json.loads(file.read_text())["Endpoints"]["docker"]["Host"] == "unix:///other.sock"
    page.press("Settings")
    assert window.page == "settings"


def facts(phase: EnginePhase, *steps: BootStep, **more: str | float) -> EngineFacts:
    return EngineFacts(phase=phase, kind="vm", steps=steps, **more)  # type: ignore[arg-type]


def test_the_start_shows_its_steps_with_their_times_and_what_hindered_it(
    theme: Theme, icons: Icons, qtbot: QtBot
) -> None:
    panel = StartPanel(theme, icons)
    qtbot.addWidget(panel)
    panel.show()
    kernel = BootStep(name="kernel", took_ms=900.0, done=True)
    panel.show_facts(facts(EnginePhase.STARTING, kernel, BootStep(name="engine", took_ms=None)))
    assert panel.title.text() == "The engine is starting"
    assert "Boot Linux 900 ms, Start the engine" in panel.list.accessibleName()
    assert not panel.go_on.isVisible()
    panel.show_facts(facts(EnginePhase.FAILED, kernel, problem="QEMU is not installed", hint="apt install qemu"))
    assert panel.title.text() == "The engine did not start"
    assert panel.problem.text() == "QEMU is not installed. Apt install qemu."
    with qtbot.waitSignal(panel.retry_asked):
        panel.retry.click()
    panel.show_facts(
        facts(EnginePhase.RUNNING, kernel, BootStep(name="engine", took_ms=600.0, done=True), started_in_s=1.9)
    )
    assert panel.title.text() == "The engine started in 1.9 s"
    assert panel.list.accessibleName() == "Boot Linux 900 ms, Start the engine 600 ms"
    assert panel.go_on.isVisible()


@pytest.mark.parametrize("trace", ["window", "config", "disk", ""])
def test_whatever_of_coves_is_there_already_needs_no_welcome(tmp_path: Path, trace: str) -> None:
    paths: HostPaths = host_paths({"COVE_HOME": str(tmp_path)}, "linux")
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    if trace == "window":
        settings.setValue("window/geometry", b"x")
    elif trace:
        file = {"config": paths.config_file, "disk": paths.data_disk}[trace]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert is_first_start(settings, paths) is not bool(trace)
