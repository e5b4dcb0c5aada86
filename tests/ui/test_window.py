"""The window on the native engine: it shows the engine's changes, and clicks change the engine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt

from desktop.client.engine import ApiError
from desktop.client.run import StepState
from desktop.ui.feed.engine import EnginePhase
from desktop.ui.run.options import PortWish, RunWish
from desktop.ui.run.remedies import next_free_port
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.ui.conftest import OpenWindow

# Menus and completions are separate windows, which the offscreen platform can neither raise nor grab input for.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

PATIENT = ["sh", "-c", "trap exit TERM; while :; do sleep 0.05; done"]
BUSY = ["sh", "-c", 'i=0; while :; do echo "INFO line $i"; echo "ERROR bad $i" >&2; i=$((i+1)); sleep 0.1; done']


def test_the_list_follows_the_engine(engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]) -> None:
    window = open_window(engine)
    labels = ("--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web", "-m", "64m")
    named("ui-web", "sleep", "1000", flags=labels)
    page = window.containers
    page.wait_until_says("web", "running")
    assert page.rows()["shop"] == "1 of 1 running"
    page.wait_until_measured("ui-web")
    engine.docker("pause", "ui-web")
    page.wait_until_says("web", "Paused")
    engine.docker("unpause", "ui-web")
    engine.docker("kill", "ui-web")
    page.wait_until_says("web", "Stopped")
    assert any("web, Stopped, busybox" in text for text in page.accessible_texts)
    engine.docker("rm", "ui-web")
    page.wait_until_gone("web")
    assert "shop" not in page.rows()
    window.go("activity")
    window.activity.wait_until_happened("ui-web was deleted")


def test_actions_of_a_row_happen_in_the_engine(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-act", *PATIENT)
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-act", "running")
    page.click("ui-act", "action", "stop")
    page.wait_until_says("ui-act", "Exited 0")
    page.press_on("ui-act", Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)
    page.wait_until_says("ui-act", "running")
    page.check("ui-act")
    assert page.bulk_text == "1 selected"
    page.filter("no such thing")
    assert page.rows() == {}
    page.filter("")
    page.press_on("ui-act", Qt.Key.Key_Delete)
    assert any("brought back from the bin" in words for words in window.dialog_words())
    window.press("Delete ui-act")
    page.wait_until_gone("ui-act")
    with pytest.raises(ApiError), engine.client() as client:
        client.inspect("ui-act")


def test_logs_are_live_and_searched(engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]) -> None:
    named("ui-log", *BUSY)
    window = open_window(engine)
    window.containers.wait_until_says("ui-log", "running")
    page = window.open_container("ui-log", "logs")
    page.wait_until_logged("line 5")
    at, of = page.find_in_log("line 3")
    assert at >= 1
    assert of >= 1
    page.choose_stream("stdout")
    assert not any("bad" in line for line in page.log())
    page.choose_stream("stderr")
    assert all("bad" in line for line in page.log())
    os.kill(int(engine.docker("inspect", "-f", "{{.State.Pid}}", "ui-log").stdout), signal.SIGKILL)
    window.containers.wait_until_says("ui-log", "Exited 137")
    assert page.why == "ui-log was ended by signal 9"


def test_a_terminal_in_the_container(engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]) -> None:
    named("ui-term", "sleep", "1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-term", "running")
    page = window.open_container("ui-term", "terminal")
    page.wait_until_terminal_shows("#")
    page.type("echo mark-$((40+2)); stty size")
    page.wait_until_terminal_shows("mark-42")
    rows, columns = page.terminal_size()
    page.wait_until_terminal_shows(f"{rows} {columns}")
    page.choose_tab("Inspect")
    assert '"Name": "/ui-term"' in page.wait_until_inspected()
    page.choose_tab("Overview")
    assert page.copied_command("--name ui-term")[:5] == ["cove", "run", "-d", "--name", "ui-term"]


def test_a_run_shows_its_five_steps(engine: NativeEngine, open_window: OpenWindow) -> None:
    window = open_window(engine)
    page = window.run(RunWish(image="cove/hello", name="ui-hello"))
    page.wait_until_over()
    assert page.steps() == {
        "look": StepState.DONE,
        "pull": StepState.SKIPPED,
        "create": StepState.DONE,
        "mount": StepState.DONE,
        "start": StepState.DONE,
    }
    page.wait_until_printed("Hello from a container.")
    assert page.said("look").startswith("Look, ")
    assert window.palette.type("hello")[0] == ("Run", "cove/hello")
    window.palette.press(Qt.Key.Key_Escape)
    assert not window.palette.is_open
    engine.docker("rm", "-f", "ui-hello")


def test_a_missing_image_is_pulled_layer_by_layer(engine: NativeEngine, open_window: OpenWindow, registry: str) -> None:
    name = f"{registry}/ui/busybox:1"
    engine.docker("tag", "busybox", name)
    engine.docker("push", name)
    engine.docker("rmi", name)
    window = open_window(engine)
    window.go("images")
    window.images.wait_until_shown("busybox:latest")
    page = window.run(RunWish(image=name, name="ui-pulled", command="true"))
    page.wait_until_over()
    assert page.error == ""
    assert page.steps()["pull"] is StepState.DONE
    assert set(page.layers()) <= {"Done", "Already here"}
    window.images.wait_until_shown(name)
    window.containers.wait_until_says("ui-pulled", "Exited 0")
    engine.docker("rm", "-f", "ui-pulled")
    window.containers.wait_until_gone("ui-pulled")  # its end and deletion change the rows of images
    window.go("images")
    window.images.choose(name)
    assert window.images.wait_until_layers()
    window.images.delete_by_menu()
    window.press("Delete image")
    window.images.wait_until_gone(name)


def test_a_taken_port_has_remedies(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All remedies are offered together: one that came later would move another from under the pointer."""
    may_search = threading.Event()

    def search(port: int) -> int | None:
        assert may_search.wait(HANG_S)
        return next_free_port(port)

    monkeypatch.setattr("desktop.ui.run.page.next_free_port", search)
    named("ui-first", "sleep", "1000", flags=("-p", "127.0.0.1:18473:80"))
    window = open_window(engine)
    window.containers.wait_until_says("ui-first", "running")
    page = window.run(
        RunWish(image="busybox", name="ui-second", command="sleep 1000", ports=[PortWish(host_port="18473", port="80")])
    )
    page.wait_until_over()
    assert page.error == "Port 18473 is already taken on this computer"
    assert page.remedies() == []
    assert "The container ui-first uses it" in page.reason
    may_search.set()
    page.choose_remedy("Start without a port")
    window.containers.wait_until_says("ui-second", "running")
    engine.docker("rm", "-f", "ui-second")


def test_a_lost_engine_leaves_unknown_states_and_comes_back(own_engine: NativeEngine, open_window: OpenWindow) -> None:
    own_engine.docker("run", "-d", "--name", "ui-kept", "busybox", *PATIENT)
    window = open_window(own_engine)
    window.containers.wait_until_says("ui-kept", "running")
    assert own_engine.process is not None
    own_engine.process.terminate()
    window.wait_until_lost()
    own_engine.process.wait(HANG_S)
    assert window.phase is EnginePhase.LOST
    assert "does not answer" in window.banner
    own_engine.start()
    window.wait_until_connected()
    assert window.phase.value == "running"  # `is` would be narrowed by the assertion above
    window.containers.wait_until_says("ui-kept", "Exited")
    assert window.banner == ""
    own_engine.docker("rm", "-f", "ui-kept")
