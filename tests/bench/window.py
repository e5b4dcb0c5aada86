"""What the window costs: its start, memory, processor time, and how long it keeps its user waiting.

    sudo .venv/bin/python tests/bench/window.py [PART ...]

Parts: start, idle, look, log, many, busy, pull, held; all of them by default. An engine of its own, the window on an X
server of its own, in a process of its own that the numbers are of. Times of the GUI thread are processor time (the
machine may be busy with others); what is wall time says so. A program, not a test: a test of a time fails on a busy
machine.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from desktop.ui.kit.tasks import Task
    from desktop.ui.shell.app import Cove
    from tests.support.engine import NativeEngine

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

IMAGE = "busybox:latest"
PARTS = ("start", "idle", "look", "log", "many", "busy", "pull", "held")
BIG_BYTES, BIG_LAYERS = 1_000_000_000, 4
IDLE_S, BUSY_S = 20.0, 15.0
LINES = 1_000_000
TICK_S = 0.016
ROUNDS = 15


# beside the window ---------------------------------------------------------------------------------------------------


def main(parts: list[str]) -> int:
    from tests.support.engine import measured_engine
    from tests.support.tools import busybox_tar
    from tests.ui.screen import NO_BUS, open_screen

    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    big = ""
    with (
        tempfile.TemporaryDirectory() as folder,
        measured_engine() as engine,
        open_screen() as screen,
        ExitStack() as closed,
    ):
        tar = busybox_tar(Path(folder) / "busybox.tar")
        engine.docker("import", "-c", "ENV PATH=/bin", str(tar), IMAGE)
        for number in range(20):
            engine.docker("run", "-d", "--name", f"idle-{number}", IMAGE, "sleep", "100000")
        if "log" in parts:
            engine.docker("run", "--name", "million", IMAGE, "seq", str(LINES))
        if "pull" in parts:
            big = closed.enter_context(big_image(engine, Path(folder)))
        environment = {**os.environ, **screen.environment, **NO_BUS, "COVE_HOME": folder}
        for part in parts:
            if part == "many":
                make_many(engine.host, 1_000)
            command = [sys.executable, __file__, "--window", part, engine.host, repr(time.time())]
            subprocess.run(command, env={**environment, "COVE_BENCH_IMAGE": big}, check=True)
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    return 0


@contextmanager
def big_image(engine: NativeEngine, folder: Path) -> Iterator[str]:
    """The name of an image of `BIG_BYTES` that cannot be compressed, in a registry and not at the engine."""
    from tests.support.registry import registry

    context = folder / "big"
    context.mkdir()
    lines = [f"FROM {IMAGE}"]
    for number in range(BIG_LAYERS):
        with (context / f"part-{number}").open("wb") as file:
            for _ in range(100):
                file.write(os.urandom(BIG_BYTES // BIG_LAYERS // 100))
        lines.append(f"COPY part-{number} /part-{number}")
    (context / "Dockerfile").write_text("\n".join(lines))
    (folder / "registry").mkdir()
    with registry(folder / "registry") as address:
        name = f"{address}/big:1"
        engine.cove("build", "-q", "-t", name, str(context))
        engine.docker("push", "-q", name)
        engine.docker("rmi", name)
        engine.docker("builder", "prune", "-af")
        yield name


def make_many(host: str, count: int) -> None:
    """Containers that were made and never started."""
    from desktop.client.engine import EngineClient
    from desktop.client.http import Endpoint

    def make(number: int) -> None:
        with closing(EngineClient(Endpoint.parse(host))) as client:
            client.create({"Image": IMAGE, "Cmd": ["true"]}, name=f"many-{number * 7919 % count}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(count)))


# in the window's process ---------------------------------------------------------------------------------------------


def in_window(part: str, host: str, began_s: float) -> int:
    from desktop.paths import host_paths
    from desktop.settings.store import Store
    from desktop.ui.shell.application import Application
    from desktop.ui.shell.look import kept_theme
    from tests.ui.opening import cove_on

    paths = host_paths(os.environ, sys.platform)
    app = Application(["cove-desktop"])
    theme = kept_theme(Store(paths, os.environ), "light")
    theme.apply(app)
    cove = cove_on(host, app, theme, paths, paths.home)
    cove.open()
    measured = Measured(cove)
    measured.until(lambda: cove.model.containers() and not cove.window.visibleRegion().isEmpty())
    app.processEvents()
    usable_s, cpu_s = time.time() - began_s, time.process_time()
    if part == "start":
        print(f"usable after {usable_s:.2f} s wall, {cpu_s:.2f} s of processor time")
    else:
        getattr(measured, part)()
    cove.close()
    return 0


class Measured:
    """One window, and what is measured of it."""

    def __init__(self, cove: Cove) -> None:
        from PySide6.QtWidgets import QApplication

        self.cove, self.process = cove, QApplication.processEvents

    def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            self.process()
            time.sleep(0.002)

    def rest(self, seconds: float) -> None:
        from PySide6.QtCore import QEventLoop, QTimer

        loop = QEventLoop()
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        loop.exec()

    def settle(self) -> None:
        self.rest(0.4)

    def gui_ms(self, act: Callable[[], object]) -> float:
        """Processor time of the GUI thread for `act` and what it brings about at once, painting too."""
        began = time.thread_time()
        act()
        for _ in range(3):
            self.process()
        return (time.thread_time() - began) * 1000

    def report(self, what: str, act: Callable[[int], object], rounds: int = ROUNDS) -> None:
        times = []
        for number in range(rounds):
            times.append(self.gui_ms(lambda number=number: act(number)))  # type: ignore[misc]
            self.rest(0.05)
        print(f"{what:34} median {statistics.median(times):6.1f} ms, most {max(times):6.1f} ms")

    # parts

    def idle(self) -> None:
        self.rest(70)  # until lines of the last minute are filled
        acts: list[tuple[str, Callable[[], object]]] = [("visible", lambda: None), ("hidden", self.cove.window.hide)]
        for what, act in acts:
            act()
            self.rest(2)
            began = time.process_time()
            self.rest(IDLE_S)
            print(f"idle, {what:8} {(time.process_time() - began) / IDLE_S * 100:5.2f} % of a processor")
        print(f"RSS with {len(self.cove.model.containers())} containers {rss_mb():.0f} MB")

    def look(self) -> None:
        """Changes of theme and zoom, with every page made."""
        from PySide6.QtWidgets import QWidget

        from desktop.ui.kit.page import Place
        from desktop.ui.shell.pages import in_sidebar

        container = self.cove.model.containers()[0].id
        places = [Place(spec.key) for spec in in_sidebar()]
        places += [Place("container", container, tab) for tab in ("logs", "stats", "files", "overview", "environment")]
        for place in (*places, Place("containers")):
            self.cove.window.go(place)
            self.settle()
        print(f"{len(self.cove.window.findChildren(QWidget))} widgets")
        self.report("theme", lambda n: self.cove.theme.set_scheme("light" if n % 2 else "dark"), 6)
        self.report("zoom", lambda n: self.cove.theme.set_zoom(1 - n % 2), 6)

    def log(self) -> None:
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        from desktop.ui.kit.page import Place

        million = next(c.id for c in self.cove.model.containers() if c.name == "million")
        self.cove.window.go(Place("container", million, "logs"))
        self.rest(5)
        window = self.cove.window.windowHandle()
        for key in (Qt.Key.Key_Home, Qt.Key.Key_End, Qt.Key.Key_Home):
            QTest.keyClick(window, key, Qt.KeyboardModifier.ControlModifier)
            self.rest(3)
        print(f"RSS after a log of {LINES} lines {rss_mb():.0f} MB")

    def many(self) -> None:
        from PySide6.QtCore import QPoint, QPointF, Qt
        from PySide6.QtGui import QWheelEvent
        from PySide6.QtTest import QTest

        from desktop.ui.containers.page import ContainersPage
        from desktop.ui.containers.table import ContainerTable

        page = self.cove.window.page("containers")
        assert isinstance(page, ContainersPage)
        self.rest(5)
        print(f"{len(self.cove.model.containers())} containers")
        field, view = page.search, page.table.viewport()
        keys = [*"many-1", *[""] * 6]

        def type_one(number: int) -> None:
            key = keys[number % len(keys)]
            QTest.keyClicks(field, key) if key else QTest.keyClick(field, Qt.Key.Key_Backspace)

        def turn(number: int) -> None:
            place, angle = QPointF(300, 200), QPoint(0, -120 if number % 20 < 10 else 120)
            buttons, held = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
            on_screen = QPointF(view.mapToGlobal(place.toPoint()))
            phase = Qt.ScrollPhase.NoScrollPhase
            event = QWheelEvent(place, on_screen, QPoint(), angle, buttons, held, phase, False)
            self.cove.app.sendEvent(view, event)

        assert isinstance(page.table, ContainerTable)
        header = page.table.header()
        sort = lambda _n: QTest.mouseClick(  # noqa: E731
            header.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(60, 15)
        )
        self.report("a key in the filter", type_one, 24)
        self.report("a notch of the wheel", turn, 40)
        self.report("a sort", sort, 8)

    def busy(self) -> None:
        from desktop.ui.kit.page import Place

        client = self.cove.session.client
        flood = client.create({"Image": IMAGE, "Cmd": ["sh", "-c", "while :; do seq 1 6000; sleep 0.1; done"]})["Id"]
        client.start(flood)
        self.until(lambda: self.cove.model.container(flood))
        self.cove.window.go(Place("container", flood, "logs"))
        self.latest("a container prints 60,000 lines/s", lambda: None)
        client.remove(flood, force=True)
        self.cove.window.go(Place("containers"))
        self.settle()
        ids = [client.create({"Image": IMAGE, "Cmd": ["sleep", "1000"]})["Id"] for _ in range(50)]

        def start() -> None:
            for each in ids:
                client.start(each)

        self.latest("50 containers start", start)

    def pull(self) -> None:
        """A pull of an image, its dialog open."""
        self.cove.parts.pulls.start(os.environ["COVE_BENCH_IMAGE"])
        task = self.cove.tasks.current
        assert task is not None
        self.latest("1 GB is pulled", lambda: self.wait_for(task))
        print(f"{'':34} the pull took {task.took_s:.1f} s{', ' + task.problem if task.problem else ''}")

    @staticmethod
    def wait_for(task: Task) -> None:
        while not task.is_over:
            time.sleep(0.05)

    def held(self) -> None:
        """What holds the memory of the window: its biggest mappings, and the modules by their code."""
        from collections import Counter

        self.rest(5)
        sizes: Counter[str] = Counter()
        name = ""
        for line in Path("/proc/self/smaps").read_text().splitlines():
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                name = Path(words[5]).name if len(words) > 5 else "anonymous"
            elif words[0] == "Pss:":
                sizes[name] += int(words[1])
        print(f"RSS {rss_mb():.0f} MB, of which")
        for each, kib in sizes.most_common(16):
            print(f"{each[:40]:42} {kib / 1000:6.1f} MB")
        print(f"{len(sys.modules)} modules")

    def latest(self, what: str, job: Callable[[], None]) -> None:
        """How late a timer of 16 ms is at most, wall time, and the most processor time between two of its ticks."""
        from PySide6.QtCore import Qt, QTimer

        late: list[tuple[float, float]] = []
        last = [time.monotonic(), time.thread_time()]

        def tick() -> None:
            now, used = time.monotonic(), time.thread_time()
            late.append((now - last[0] - TICK_S, used - last[1]))
            last[:] = now, used

        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(tick)
        timer.start(int(TICK_S * 1000))
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(job)
            self.rest(BUSY_S)
            self.until(done.done)
        timer.stop()
        wall, used = max(each[0] for each in late) * 1000, max(each[1] for each in late) * 1000
        share = sum(each[1] for each in late) / BUSY_S * 100
        print(f"{what:34} a timer is late by {wall:.0f} ms (wall), {used:.0f} ms of processor time, at most")
        print(f"{'':34} the GUI thread uses {share:.0f} % of a processor")


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--window"]:
        sys.exit(in_window(sys.argv[2], sys.argv[3], float(sys.argv[4])))
    sys.exit(main(sys.argv[1:] or list(PARTS)))
