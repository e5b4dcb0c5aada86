"""The Stats tab of a container: charts of what it uses, live, and what it has used in the last day."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.client.api import JsonStream
from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.containers.usage_points import Point, Rates, as_csv, of_history, of_sample, of_stats, rates, starts
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button, Segments
from desktop.ui.kit.cards import Card, CardTitle
from desktop.ui.kit.chart import Chart, Curve, Plot
from desktop.ui.kit.filedialogs import ask_target
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Desk
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import clock, disk, memory, percent, tr

SPANS_S = (60, 600, 3_600, 6 * 3_600, 24 * 3_600)
SECONDS_KEPT, MINUTES_KEPT = 600, 1_440
MINUTE_S = 60.0
SECONDS_UP_TO_S = 600  # longer spans are drawn from a point a minute
DRAW_MS = 1_000


class _Past(NamedTuple):
    """What the engine has recorded; `is_kept`: it records at all."""

    seconds: list[Point]
    minutes: list[Point]
    is_kept: bool


def _read_past(client: EngineClient, container_id: str) -> _Past:
    try:
        told = client.usage_history(container_id)
    except ApiError as e:
        if e.status != 404:
            raise
        return _Past([], [], is_kept=False)  # another engine than Cove's
    return _Past(of_history(told["seconds"]), of_history(told["minutes"]), is_kept=True)


class Follower:
    """Reads one container's usage once a second in its own thread (`run`), until `close`."""

    def __init__(self, client: EngineClient, container_id: str, told: Callable[[Point], None]) -> None:
        self._client, self._id, self._told = client, container_id, told
        self._lock = threading.Lock()
        self._stream: JsonStream | None = None
        self._closed = False
        self.problem = ""

    def run(self) -> None:
        try:
            try:
                self._follow(lambda: self._client.usage(1_000, (self._id,)), own=True)
            except ApiError as e:
                if e.status != 404:
                    raise
                path = f"/containers/{self._id}/stats"
                self._follow(lambda: self._client.stream("GET", path, {"stream": True}), own=False)
        except (ApiError, ConnectionFailed, ProtocolError, OSError, ValueError, KeyError) as e:
            self.problem = "" if self._closed else str(e)

    def _follow(self, begin: Callable[[], JsonStream], *, own: bool) -> None:
        with begin() as stream:
            with self._lock:
                if self._closed:
                    return
                self._stream = stream
            for sample in stream:
                found = [of_sample(entry) for entry in sample["containers"]] if own else [of_stats(sample)]
                for point in found:
                    if point is not None:
                        self._told(point)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._stream is not None:
                self._stream.close()


class ChartCard(Card):
    """A chart with its title, its legend and the value of now."""

    def __init__(self, desk: Desk, icon: str, title: str, chart: Chart, legend: str = "") -> None:
        super().__init__(desk.theme)
        self.chart = chart
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 14, 8)
        column.setSpacing(6)
        head = CardTitle(desk.theme, desk.icons, icon, title)
        self._value = Label(desk.theme, "", "section")
        self._note = Label(desk.theme, "", "small", "text2")
        if legend:
            head.fact.set_text(legend)
        head.add(self._value)
        head.add(self._note)
        column.addWidget(head)
        column.addWidget(chart, 1)

    def tell(self, plot: Plot, value: str, note: str) -> None:
        self._value.setText(value)
        self._note.setText(note)
        self._note.setVisible(bool(note))
        self.chart.tell(plot)


def _speed(value: float) -> str:
    return tr("{size}/s", size=disk(value))


class StatsTab(ContainerTab):
    """Four charts over a chosen time. They are drawn once a second while the tab is visible."""

    def __init__(self, desk: Desk, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk, self._session = desk, session
        self._container: Container | None = None
        self._follower: Follower | None = None
        self._past = _Past([], [], is_kept=True)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self._build_bar(desk))
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inner = QWidget()
        inner.setObjectName("scrolled")
        grid = QGridLayout(inner)
        grid.setContentsMargins(24, 0, 24, 16)
        grid.setSpacing(12)
        self._build_charts(desk, desk.theme)
        for number, card in enumerate((self.cpu, self.memory, self.network, self.disk)):
            grid.addWidget(card, number // 2, number % 2)
        area.setWidget(inner)
        outer.addWidget(area, 1)
        self._clock = QTimer(self)
        self._clock.setInterval(DRAW_MS)
        self._clock.timeout.connect(self._draw)

    def _build_bar(self, desk: Desk) -> QWidget:
        bar = QWidget()
        row = QHBoxLayout(bar)
        row.setContentsMargins(24, 12, 24, 12)
        row.setSpacing(12)
        names = (tr("1 min"), tr("10 min"), tr("1 h"), tr("6 h"), tr("24 h"))
        self.spans = Segments(desk.theme, names, tr("How far back"))
        self.spans.chosen.connect(lambda _number: self._draw())
        self.state = Label(desk.theme, "", "small", "text2")
        self.export = Button(desk.theme, desk.icons, tr("Export CSV…"), "export")
        self.export.clicked.connect(self._on_export)
        row.addWidget(self.spans)
        row.addStretch(1)
        row.addWidget(self.state)
        row.addWidget(self.export)
        return bar

    def _build_charts(self, desk: Desk, theme: Theme) -> None:
        sides, ways = tr("out, in (dashed)"), tr("written, read (dashed)")
        self.cpu = ChartCard(desk, "cpu", tr("CPU"), Chart(theme, tr("CPU"), percent, least=2.0))
        self.memory = ChartCard(
            desk, "selection-all", tr("Memory"), Chart(theme, tr("Memory"), memory, base=1024, least=1024**2)
        )
        self.network = ChartCard(
            desk, "arrows-down-up", tr("Network"), Chart(theme, tr("Network"), _speed, least=1_000), sides
        )
        self.disk = ChartCard(desk, "hard-drives", tr("Disk"), Chart(theme, tr("Disk"), _speed, least=1_000), ways)

    # ContainerTab ----------------------------------------------------------------------------------------------------

    def show_container(self, container: Container) -> None:
        was, self._container = self._container, container
        if was is None or was.id != container.id:
            self._past = _Past([], [], is_kept=True)
        runs = container.is_running and not container.lost
        if runs and self._follower is None:
            self._open(container)
        elif not runs:
            self._end()
            self._read(container)
        self._clock.start()
        self._draw()

    def cover(self) -> None:
        self._clock.stop()
        self._end()

    def leave(self) -> None:
        super().leave()
        self._container = None

    def _open(self, container: Container) -> None:
        """Read what was, then follow what is."""
        workers = self._session.workers
        follower = Follower(self._session.client, container.id, lambda point: workers.here(lambda: take(point)))
        self._follower = follower

        def take(point: Point) -> None:
            if follower is self._follower:
                self._take(point)

        self._read(container)
        workers.lasting("stats", follower.run)

    def _end(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _read(self, container: Container) -> None:
        client = self._session.client

        def told(past: _Past) -> None:
            if self._container is not None and self._container.id == container.id:
                newest = past.seconds[-1].at_s if past.seconds else 0.0
                live = [point for point in self._past.seconds if point.at_s > newest]
                self._past = past._replace(seconds=past.seconds + live)
                self._draw()

        self._session.workers.run(
            lambda: _read_past(client, container.id), told, lambda error: self.state.setText(str(error))
        )

    def _take(self, point: Point) -> None:
        seconds, minutes = self._past.seconds, self._past.minutes
        if seconds and point.at_s <= seconds[-1].at_s:
            return
        seconds.append(point)
        del seconds[:-SECONDS_KEPT]
        if not minutes or point.at_s - minutes[-1].at_s >= MINUTE_S or point.run != minutes[-1].run:
            minutes.append(point)
            del minutes[:-MINUTES_KEPT]

    # drawing ---------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        container = self._container
        if container is None or not self.isVisible():
            return
        length = SPANS_S[self.spans.current]
        is_fine = length <= SECONDS_UP_TO_S
        points = self._past.seconds if is_fine else self._past.minutes
        shown = rates(points, 1.0 if is_fine else MINUTE_S)
        newest = rates(self._past.seconds[-4:], 1.0)
        now = newest[-1] if newest and container.is_running else Rates(at_s=0.0)
        end_s = time.time()
        marks = [(at_s, tr("started")) for at_s in starts(points)]

        def plot(*curves: tuple[str, str, Callable[[Rates], float | None]], limit: float = 0.0) -> Plot:
            return Plot(
                begin_s=end_s - length,
                end_s=end_s,
                times=[row.at_s for row in shown],
                curves=[Curve(name, token, [value(row) for row in shown]) for name, token, value in curves],
                limit=limit,
                marks=marks,
            )

        none = tr("not running") if not container.is_running else tr("measuring")
        self.cpu.tell(
            plot((tr("CPU"), "c1", lambda row: row.cpu)),
            none if now.cpu is None else percent(now.cpu),
            tr("of one CPU"),
        )
        held = tr("of {limit}, without file cache", limit=memory(container.memory_limit))
        self.memory.tell(
            plot((tr("Memory"), "c2", lambda row: row.memory), limit=container.memory_limit),
            none if now.memory is None else memory(now.memory),
            held if container.memory_limit else tr("without file cache"),
        )
        pair = tr("{one} out, {two} in", one=_speed(now.sent or 0), two=_speed(now.received or 0))
        self.network.tell(
            plot((tr("out"), "c4", lambda row: row.sent), (tr("in"), "c3", lambda row: row.received)),
            none if now.sent is None else pair,
            "",
        )
        pair = tr("{one} written, {two} read", one=_speed(now.written or 0), two=_speed(now.read or 0))
        self.disk.tell(
            plot((tr("written"), "c4", lambda row: row.written), (tr("read"), "c3", lambda row: row.read)),
            none if now.written is None else pair,
            "",
        )
        self._say(length)

    def _say(self, length: float) -> None:
        points = self._past.seconds if length <= SECONDS_UP_TO_S else self._past.minutes
        if self._follower is not None and self._follower.problem:
            self.state.setText(self._follower.problem)
        elif not self._past.is_kept and points:
            self.state.setText(tr("Measured since {time}, when this was opened", time=clock(points[0].at_s)))
        else:
            self.state.setText(tr("Kept by the engine for 24 h"))
        self.export.setEnabled(bool(points))

    # a file ----------------------------------------------------------------------------------------------------------

    def _on_export(self) -> None:
        container = self._container
        assert container is not None  # the button is visible only with a container
        is_fine = SPANS_S[self.spans.current] <= SECONDS_UP_TO_S
        points = self._past.seconds if is_fine else self._past.minutes
        rows = rates(list(points), 1.0 if is_fine else MINUTE_S)

        def failed(error: Exception) -> None:
            self._desk.toasts.tell(tr("The figures were not exported"), str(error), State.PROBLEM)

        ask_target(
            self,
            tr("Export the figures"),
            f"{container.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv",
            lambda path: self._session.workers.run(lambda: _write(path, rows), None, failed),
        )


def _write(path: Path, rows: list[Rates]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(as_csv(rows))
