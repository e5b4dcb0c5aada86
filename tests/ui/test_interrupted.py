"""Work of the window whose engine hangs, is killed or restarted in the middle, and a window that is killed: it is told,
it goes on or can be done again, and nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from desktop.ui.feed.engine import EnginePhase
from desktop.ui.run.options import RunWish
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS
from tests.ui.held import Held, held
from tests.ui.window import Window

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

KEPT = "ui-kept"


def killed(engine: NativeEngine) -> None:
    """SIGKILL to the engine; its keeper starts another one."""
    os.kill(engine.pid_of("cove-engine"), signal.SIGKILL)


def restarted(engine: NativeEngine) -> None:
    """An orderly end and a new start, as an update does it."""
    assert engine.process is not None
    engine.process.terminate()
    engine.process.wait(HANG_S)
    engine.start()


@pytest.fixture
def waiting(registry: str) -> Iterator[Held]:
    with held(registry) as made:
        yield made


@pytest.fixture
def image(own_engine: NativeEngine, registry: str) -> Iterator[str]:
    """An image's name at the registry without the address; it is there, and not at the engine."""
    name = "ui/interrupted:1"
    own_engine.docker("tag", "busybox", f"{registry}/{name}")
    own_engine.docker("push", f"{registry}/{name}")
    own_engine.docker("rmi", f"{registry}/{name}")
    own_engine.docker("run", "-d", "--name", KEPT, "--restart", "always", "busybox", "sleep", "1000")
    yield name
    own_engine.docker("rm", "-f", KEPT, check=False)


class Pull:
    """A pull of the Images page."""

    def __init__(self, window: Window, waiting: Held, image: str) -> None:
        self._window, self.name = window, f"{waiting.address}/{image}"

    def begin(self) -> None:
        self._window.go("images")
        self._window.images.wait_until_shown("busybox:latest")
        self._window.images.press_button("Pull…")
        self._window.type(self.name)
        self._window.press("Pull")

    def wait_until_failed(self) -> None:
        self._window.wait_until_told(f"{self.name} was not pulled")
        if self._window.has_dialog:  # it stays with the reason
            self._window.press("Close")

    def again(self) -> None:
        self.begin()

    def wait_until_done(self) -> None:
        self._window.wait_until_told(f"{self.name} was pulled")
        self._window.wait_until_answered()


class Push(Pull):
    """A push of the Images page."""

    def begin(self) -> None:
        self._window.go("images")
        self._window.images.wait_until_shown("busybox:latest")
        self._window.images.choose("busybox:latest")
        self._window.images.choose_more("Push…")
        self._window.answer("Name at the registry", self.name, "Push")

    def wait_until_failed(self) -> None:
        self._window.wait_until_told(f"{self.name} was not pushed")
        if self._window.has_dialog:
            self._window.press("Close")

    def wait_until_done(self) -> None:
        self._window.wait_until_told(f"{self.name} was pushed")
        self._window.wait_until_answered()


class Run(Pull):
    """A run that pulls."""

    def begin(self) -> None:
        self._window.run(RunWish(image=self.name, name="ui-run", command="true"))

    def wait_until_failed(self) -> None:
        self._window.run_page.wait_until_over()
        assert self._window.run_page.error

    def again(self) -> None:
        self._window.run_page.choose_remedy("Try again")

    def wait_until_done(self) -> None:
        self._window.run_page.wait_until_over()
        assert self._window.run_page.error == ""
        self._window.go("containers")
        self._window.containers.wait_until_says("ui-run", "Exited 0")


TASKS = [Pull, Push, Run]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_goes_on_when_its_engine_has_hung(
    own_engine: NativeEngine, open_window: OpenWindow, waiting: Held, image: str, task: type[Pull], qtbot: QtBot
) -> None:
    window = open_window(own_engine)
    window.containers.wait_until_says(KEPT, "running")
    work = task(window, waiting, image)
    work.begin()
    qtbot.waitUntil(waiting.asked.is_set, timeout=LIMIT_MS)
    pid = own_engine.pid_of("cove-engine")
    os.kill(pid, signal.SIGSTOP)
    try:
        window.wait_until_lost()
        assert "No answer since" in window.banner_sentence
    finally:
        os.kill(pid, signal.SIGCONT)
    window.wait_until_connected()
    waiting.go_on.set()
    work.wait_until_done()
    own_engine.docker("rm", "-f", "ui-run", check=False)
    window.go("containers")
    window.containers.wait_until_says(KEPT, "running")


@pytest.mark.parametrize("fault", [killed, restarted])
@pytest.mark.parametrize("task", TASKS)
def test_a_task_whose_engine_ends_is_told_and_done_again(
    own_engine: NativeEngine,
    open_window: OpenWindow,
    waiting: Held,
    image: str,
    task: type[Pull],
    fault: Callable[[NativeEngine], None],
    qtbot: QtBot,
) -> None:
    window = open_window(own_engine)
    window.containers.wait_until_says(KEPT, "running")
    phases = window.note_phases()
    work = task(window, waiting, image)
    work.begin()
    qtbot.waitUntil(waiting.asked.is_set, timeout=LIMIT_MS)
    fault(own_engine)
    work.wait_until_failed()
    qtbot.waitUntil(lambda: EnginePhase.LOST in phases and phases[-1] is EnginePhase.RUNNING, timeout=LIMIT_MS)
    waiting.go_on.set()
    work.again()
    work.wait_until_done()
    own_engine.docker("rm", "-f", "ui-run", check=False)
    window.go("containers")
    window.containers.wait_until_says(KEPT, "running")
    assert own_engine.docker("inspect", "--format", "{{.State.Status}}", KEPT).stdout.strip() == "running"


@pytest.mark.parametrize("ends", [False, True])
def test_an_export_and_a_clean_up_whose_engine_hangs(
    own_engine: NativeEngine, open_window: OpenWindow, ends: bool, tmp_path: Path, qtbot: QtBot
) -> None:
    """`ends`: the engine that has hung is killed; else it goes on."""
    own_engine.docker("run", "-d", "--name", KEPT, "--restart", "always", "busybox", "sleep", "1000")
    own_engine.docker("volume", "create", "ui-spare")
    window = open_window(own_engine)
    window.containers.wait_until_says(KEPT, "running")
    page = window.open_container(KEPT, "overview")
    window.go("volumes")
    window.volumes.wait_until_shown("ui-spare")
    window.volumes.choose("ui-spare")
    window.volumes.press(Qt.Key.Key_Delete)
    window.wait_until_asked()
    phases = window.note_phases()
    pid = own_engine.pid_of("cove-engine")
    os.kill(pid, signal.SIGSTOP)
    try:
        window.press("Delete ui-spare")
        qtbot.waitUntil(lambda: EnginePhase.LOST in phases, timeout=LIMIT_MS)
        if ends:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.kill(pid, signal.SIGCONT)
    qtbot.waitUntil(lambda: phases[-1] is EnginePhase.RUNNING, timeout=LIMIT_MS)
    if ends:

        def is_there() -> bool:
            return "ui-spare" in own_engine.docker("volume", "ls", "-q").stdout.split()

        # A request on a new connection waits for the engine in the socket's queue, and the next engine serves it.
        qtbot.waitUntil(
            lambda: "Volume ui-spare was not deleted" in window.toasts() or not is_there(), timeout=LIMIT_MS
        )
        if is_there():
            window.volumes.wait_until_shown("ui-spare")
            own_engine.docker("volume", "rm", "ui-spare")
    window.volumes.wait_until_gone("ui-spare")
    window.go("containers")
    window.containers.click(KEPT, "name")
    pid = own_engine.pid_of("cove-engine")
    os.kill(pid, signal.SIGSTOP)
    try:
        page.choose_more("Export its files…")
        target = tmp_path / "all.tar"
        window.choose_file(target)
        window.wait_until_lost()
        assert not target.exists()
        if ends:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.kill(pid, signal.SIGCONT)
    done, failed = f"{KEPT} was exported", f"{KEPT} was not exported"
    qtbot.waitUntil(lambda: not {done, failed}.isdisjoint(window.toasts()), timeout=LIMIT_MS)
    is_done = done in window.toasts()
    assert is_done or ends
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == (["all.tar"] if is_done else [])
    window.wait_until_connected()
    own_engine.docker("rm", "-f", KEPT)


def test_many_pulls_keep_nobody_waiting_and_end_with_the_window(
    own_engine: NativeEngine, open_window: OpenWindow, waiting: Held, image: str, qtbot: QtBot
) -> None:
    window = open_window(own_engine)
    window.containers.wait_until_says(KEPT, "running")
    for number in range(12):  # more than there are workers
        window.go("images")
        window.images.press_button("Pull…")
        window.type(f"{waiting.address}/{image}{number}")
        window.press("Pull")
        window.press("Hide")
    qtbot.waitUntil(waiting.asked.is_set, timeout=LIMIT_MS)
    window.go("containers")
    window.containers.menu_on(KEPT)
    window.containers.choose("Pause")
    window.containers.wait_until_says(KEPT, "Paused")
    window.close_for_good()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("cove-ui-task")]
    assert not left
