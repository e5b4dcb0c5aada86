"""Editing a container in the window: what changes while it runs, a new container in its place, and the way back."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from tests.support.engine import NativeEngine
from tests.support.sockets import free_port
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS
from tests.ui.window import Window

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def inspect(engine: NativeEngine, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(engine.docker("inspect", name).stdout)
    return found[0]


def names(engine: NativeEngine) -> set[str]:
    return set(engine.docker("ps", "-a", "--format", "{{.Names}}").stdout.split())


@pytest.fixture
def editing(engine: NativeEngine, named: Callable[..., str], open_window: OpenWindow) -> Iterator[Window]:
    """A window on the list with `ui-edited`, which has a port, variables, volumes and a limit."""
    flags = (
        "-p", "127.0.0.1::80", "-e", "COLOUR=red", "-e", "TOKEN=s3cret", "-v", "ui-edit-data:/data:ro", "-v", "/own",
        "--memory", "64m", "--label", "ui=kept", "--hostname", "ui-host", "--stop-signal", "KILL",
    )  # fmt: skip
    named("ui-edited", "sh", "-c", "echo mine > /own/file; exec sleep 1000", flags=flags)
    window = open_window(engine)
    window.containers.wait_until_says("ui-edited", "running")
    yield window
    engine.docker("rm", "-fv", "ui-edited", check=False)
    engine.docker("volume", "rm", "ui-edit-data", check=False)


def ask(window: Window, qtbot: QtBot) -> None:
    """Edit… in the menu of the container's page."""
    window.open_container("ui-edited", "overview").choose_more("Edit…")
    window.wait_until_asked()


def test_limits_change_while_the_container_runs(engine: NativeEngine, editing: Window, qtbot: QtBot) -> None:
    before = inspect(engine, "ui-edited")
    editing.containers.menu_on("ui-edited")
    editing.containers.choose("Edit…")
    editing.wait_until_asked()
    assert "Nothing yet" in editing.dialog_words()
    editing.fill("Memory in MB", "2")
    editing.press("Change ui-edited")
    assert any("6 or more" in words for words in editing.dialog_words())
    editing.fill("Memory in MB", "96")
    assert "Memory: 64 MB becomes 96 MB" in editing.dialog_words()
    assert "It goes on meanwhile." in editing.dialog_words()
    editing.press("Change ui-edited")
    editing.wait_until_told("ui-edited was changed")
    after = inspect(engine, "ui-edited")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert after["HostConfig"]["Memory"] == 96 << 20


def test_a_new_container_takes_the_place_and_has_all_but_the_change(
    engine: NativeEngine, editing: Window, qtbot: QtBot
) -> None:
    before, port = inspect(engine, "ui-edited"), free_port()
    ask(editing, qtbot)
    assert not any("s3cret" in text for text in editing.texts())
    editing.press("Add a port")
    editing.type(f"127.0.0.1:{port}")
    editing.key(Qt.Key.Key_Tab)
    editing.type("8080")
    editing.fill("Value", "blue", beside="COLOUR")  # docker's command line sends the variables in any order
    editing.press("Read only")  # turns it into read and write
    said = "\n".join(editing.dialog_words())
    assert f"Port 127.0.0.1:{port} to 8080/tcp is added\n" in said
    assert "COLOUR: red becomes blue" in said
    assert "ui-edit-data at /data is mounted" in said
    assert "It is stopped for a moment." in said
    editing.press("Re-create ui-edited")
    editing.wait_until_told("ui-edited was changed")
    after = inspect(engine, "ui-edited")
    assert after["Id"] != before["Id"]
    assert {name for name in names(engine) if name.startswith("ui-edited")} == {"ui-edited"}
    assert after["State"]["Running"]
    assert after["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}],
    }
    assert {"COLOUR=blue", "TOKEN=s3cret"} <= set(after["Config"]["Env"])
    assert "COLOUR=red" not in after["Config"]["Env"]
    assert after["HostConfig"]["Memory"] == 64 << 20
    assert (after["Config"]["Labels"]["ui"], after["Config"]["Hostname"]) == ("kept", "ui-host")
    volumes = [{m["Destination"]: m["Name"] for m in data["Mounts"]} for data in (before, after)]
    assert volumes[0] == volumes[1]
    assert engine.docker("exec", "ui-edited", "sh", "-c", "touch /data/x && cat /own/file").stdout == "mine\n"
    qtbot.waitUntil(lambda: editing.page == "container", timeout=LIMIT_MS)
    editing.container.wait_until_named("ui-edited")


def test_what_cannot_start_is_taken_back(engine: NativeEngine, editing: Window, qtbot: QtBot) -> None:
    before = inspect(engine, "ui-edited")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ask(editing, qtbot)
        editing.fill("Port on this computer", f"127.0.0.1:{port}")
        editing.press("Re-create ui-edited")
        editing.wait_until_told("ui-edited was not changed")
    after = inspect(engine, "ui-edited")
    assert (after["Id"], after["State"]["Running"]) == (before["Id"], True)
    assert {name for name in names(engine) if name.startswith("ui-edited")} == {"ui-edited"}
    assert any("It is as before." in fact and str(port) in fact for fact in editing.message_facts())
    editing.containers.wait_until_says("ui-edited", "running")
