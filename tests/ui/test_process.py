"""`cove-desktop` as a process on a desktop with a tray: Quit ends it, and the entries of its tray menu work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.ui.run.options import RunWish
from desktop.ui.run.recent import RecentRuns
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.ui.held import held
from tests.ui.program import Program
from tests.ui.screen import LIMIT_MS, NotifierTray, Screen, Tray, XembedTray, open_notifier_tray, open_screen

STOPS_WITH_3 = [
    "sh",
    "-c",
    "trap 'exit 3' TERM; while :; do sleep 0.05; done",
]  # its stop is a problem: the tray keeps it


@pytest.fixture
def screen() -> Iterator[Screen]:
    with open_screen() as opened:
        yield opened


@pytest.fixture
def notifier(qapp: QApplication) -> Iterator[NotifierTray]:
    with open_notifier_tray() as opened:
        yield opened


@pytest.fixture(params=["notifier", "xembed"])
def tray(request: pytest.FixtureRequest, screen: Screen, qtbot: QtBot) -> Tray:
    """A tray; each test runs with both kinds."""
    made: Tray = XembedTray(screen, qtbot) if request.param == "xembed" else request.getfixturevalue("notifier")
    return made


@pytest.fixture
def started() -> Iterator[list[Program]]:
    """Starts programs; they are killed after the test."""
    programs: list[Program] = []
    yield programs
    for program in programs:
        program.process.kill()
        program.process.wait()


@pytest.fixture
def start(
    started: list[Program], screen: Screen, engine: NativeEngine, tmp_path: Path, qtbot: QtBot
) -> Callable[[Tray], Program]:
    def start_it(tray: Tray) -> Program:
        started.append(Program(screen, tray, ("-H", engine.host), tmp_path, qtbot))
        return started[-1]

    return start_it


def by_key(program: Program) -> None:
    program.screen.key("q", "Control_L")


def by_tray(program: Program) -> None:
    program.tray.choose_quit()


def by_palette(program: Program) -> None:
    program.screen.key("k", "Control_L")
    for name in ("greater", "q", "u", "i", "t", "Return"):
        program.screen.key(name)


def by_signal(program: Program) -> None:
    program.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("quit_it", [by_key, by_tray, by_palette, by_signal])
def test_quit_ends_the_process_where_there_is_a_tray(
    start: Callable[[Tray], Program], tray: Tray, quit_it: Callable[[Program], None]
) -> None:
    program = start(tray)
    quit_it(program)
    assert program.wait_until_ended() == 0


@pytest.mark.parametrize("quit_it", [by_tray, by_signal])
def test_quit_ends_the_process_whose_window_is_closed_to_the_tray(
    start: Callable[[Tray], Program], tray: Tray, quit_it: Callable[[Program], None]
) -> None:
    program = start(tray)
    program.hide()
    assert program.process.poll() is None
    quit_it(program)
    assert program.wait_until_ended() == 0


def test_the_windows_size_is_kept_until_the_next_start(
    start: Callable[[Tray], Program], notifier: NotifierTray, qtbot: QtBot
) -> None:
    program = start(notifier)
    program.screen.resize(program.window, 1111, 666)
    qtbot.waitUntil(lambda: list(program.windows().values()) == [(1111, 666)], timeout=LIMIT_MS)
    program.hide()
    by_signal(program)
    program.wait_until_ended()
    assert list(start(notifier).windows().values()) == [(1111, 666)]


def test_the_tray_stops_and_starts_a_container(
    start: Callable[[Tray], Program],
    notifier: NotifierTray,
    engine: NativeEngine,
    named: Callable[..., str],
    qtbot: QtBot,
) -> None:
    named("ui-tray", *STOPS_WITH_3)
    start(notifier)

    def wait_until(status: str, entry: str) -> None:
        """Wait until the container has `status` and the tray's menu has `entry` again."""

        def look() -> bool:
            said = engine.docker("inspect", "--format", "{{.State.Status}}", "ui-tray").stdout.strip()
            return said == status and entry in notifier.menu()

        qtbot.waitUntil(look, timeout=LIMIT_MS)

    wait_until("running", "Stop")
    notifier.choose("Stop")
    wait_until("exited", "Start")
    notifier.choose("Start")
    wait_until("running", "Stop")


def test_the_language_is_the_one_that_was_set(
    start: Callable[[Tray], Program], notifier: NotifierTray, tmp_path: Path, qtbot: QtBot
) -> None:
    cove = Path(sys.executable).with_name("cove")
    environment = {**os.environ, "COVE_HOME": str(tmp_path)}
    subprocess.run([cove, "config", "set", "window.language", "de"], env=environment, check=True, timeout=HANG_S)
    start(notifier)
    qtbot.waitUntil(lambda: "Cove öffnen" in notifier.menu(), timeout=LIMIT_MS)


def test_the_trays_entries(
    start: Callable[[Tray], Program],
    notifier: NotifierTray,
    engine: NativeEngine,
    named: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: QtBot,
) -> None:
    address = "127.0.0.1:18476"
    named("ui-entries", "sleep", "1000", flags=("-p", f"{address}:80", "--stop-signal", "KILL"))
    opened = tmp_path / "opened"
    browser = tmp_path / "bin" / "xdg-open"
    browser.parent.mkdir()
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{browser.parent}:{os.environ['PATH']}")
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    RecentRuns(settings).add(RunWish(image="busybox", name="ui-again", command="true"))
    settings.sync()
    program = start(notifier)

    def inspected(what: str, name: str = "ui-entries") -> str:
        return engine.docker("inspect", "--format", what, name, check=False).stdout.strip()

    qtbot.waitUntil(lambda: "Restart" in notifier.menu(), timeout=LIMIT_MS)
    for entry in ("Open Cove", "Logs", "Terminal"):
        program.hide()
        notifier.choose(entry)
        qtbot.waitUntil(lambda: bool(program.windows()), timeout=LIMIT_MS)
        program.screen.focus(next(iter(program.windows())))
    before = inspected("{{.State.StartedAt}}")
    notifier.choose("Restart")
    qtbot.waitUntil(lambda: inspected("{{.State.StartedAt}}") not in ("", before), timeout=LIMIT_MS)
    qtbot.waitUntil(lambda: "Open 18476" in notifier.menu(), timeout=LIMIT_MS)
    notifier.choose("Open 18476")
    qtbot.waitUntil(lambda: opened.exists() and opened.read_text() == f"http://{address}\n", timeout=LIMIT_MS)
    notifier.choose("Run again: busybox")
    try:
        qtbot.waitUntil(lambda: inspected("{{.State.Status}}", "ui-again") == "exited", timeout=LIMIT_MS)
    finally:
        engine.docker("rm", "-f", "ui-again", check=False)
    windows = len(program.screen.windows())
    notifier.choose("Quick run…")
    qtbot.waitUntil(lambda: len(program.screen.windows()) > windows, timeout=LIMIT_MS)


def test_a_window_that_is_killed_in_the_middle_of_a_pull_loses_nothing(
    start: Callable[[Tray], Program],
    notifier: NotifierTray,
    engine: NativeEngine,
    named: Callable[..., str],
    registry: str,
    qtbot: QtBot,
) -> None:
    name = "ui/killed:1"
    engine.docker("tag", "busybox", f"{registry}/{name}")
    engine.docker("push", f"{registry}/{name}")
    engine.docker("rmi", f"{registry}/{name}")
    named("ui-goes-on", "sleep", "1000")

    def pull(program: Program, address: str) -> None:
        program.screen.key("k", "Control_L")
        program.screen.type(">pull an image")
        program.screen.key("Return")
        program.screen.type(f"{address}/{name}")
        program.screen.key("Return")

    def is_here(address: str) -> bool:
        return bool(engine.docker("images", "-q", f"{address}/{name}").stdout)

    with held(registry) as waiting:
        program = start(notifier)
        pull(program, waiting.address)
        qtbot.waitUntil(waiting.asked.is_set, timeout=LIMIT_MS)
        program.process.kill()
        program.process.wait()
        waiting.go_on.set()
        again = start(notifier)  # also where the killed one has left its socket behind
        pull(again, waiting.address)
        qtbot.waitUntil(lambda: is_here(waiting.address), timeout=LIMIT_MS)
        assert engine.docker("inspect", "--format", "{{.State.Status}}", "ui-goes-on").stdout.strip() == "running"
        engine.docker("rmi", f"{waiting.address}/{name}")
