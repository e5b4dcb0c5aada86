"""The Processes tab of a container: what runs in it now, read again every two seconds while the tab is visible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QTimer
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QStackedWidget, QVBoxLayout, QWidget

from desktop.client.engine import ApiError, EngineClient
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Framed
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.fields import Field
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Desk
from desktop.ui.kit.rows import Cell, Column, RowFilter, Rows, Segment
from desktop.ui.kit.table import Table
from desktop.ui.kit.words import counted, memory, span, tr

PERIOD_MS = 2_000
# For procps' ps(1): resident memory in KiB, times in seconds.
PS_FORMAT = "-eo pid,ppid,user:32,stat,cputimes,rss,etimes,args"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. `pid` and `parent` are numbers where the engine runs; -1: ps did not tell the amount."""

    pid: int
    parent: int = 0
    user: str = ""
    state: str = ""
    cpu_s: int = -1
    memory_bytes: int = -1
    age_s: int = -1
    command: str = ""


def processes_of(table: Mapping[str, Any]) -> list[Process]:
    """From ContainerTop: `Titles` and rows; a row may end early. Raises ValueError for a row without a pid."""
    titles = [str(title).upper() for title in table.get("Titles") or ()]

    def value(row: Mapping[str, str], *names: str) -> str:
        return next((row[name] for name in names if name in row), "")

    def number(row: Mapping[str, str], name: str) -> int:
        text = value(row, name)
        return int(text) if text.isdecimal() else -1

    found = []
    for cells in table.get("Processes") or ():
        row = dict(zip(titles, map(str, cells), strict=False))
        resident = number(row, "RSS")
        found.append(
            Process(
                pid=int(value(row, "PID")),
                parent=number(row, "PPID"),
                user=value(row, "USER", "UID"),
                state=value(row, "STAT", "S"),
                cpu_s=number(row, "TIME"),
                memory_bytes=resident * 1024 if resident >= 0 else -1,
                age_s=number(row, "ELAPSED"),
                command=value(row, "COMMAND", "CMD"),
            )
        )
    return found


def read(client: EngineClient, container_id: str) -> list[Process]:
    """What runs in the container. Raises the client's errors."""
    try:
        return processes_of(client.top(container_id, PS_FORMAT))
    except ApiError as e:
        if e.status in (404, 409):  # it is gone, or does not run
            raise
        return processes_of(client.top(container_id))  # another ps than procps'


def _state(code: str) -> str:
    words = {
        "R": tr("runs"),
        "S": tr("waits"),
        "D": tr("waits for a disk"),
        "T": tr("stopped"),
        "Z": tr("ended, not collected"),
        "I": tr("idle"),
    }
    return words.get(code[:1], code)


def _measure(title: str, amount: Callable[[Process], int], words: Callable[[int], str], width: int) -> Column[Process]:
    """A column of amounts, the greatest first; empty where ps did not tell one."""
    return Column(
        title=title,
        cell=lambda p: Cell(text="" if amount(p) < 0 else words(amount(p))),
        order=amount,
        width=width,
        right=True,
        descends=True,
    )


def columns() -> tuple[Column[Process], ...]:
    return (
        Column(title=tr("PID"), cell=lambda p: Cell(text=str(p.pid), role="mono"), order=lambda p: p.pid, width=96),
        Column(
            title=tr("Command"),
            cell=lambda p: Cell(text=p.command, role="mono", tone="text"),
            tip=lambda p: p.command,
            share=4,
        ),
        Column(title=tr("User"), cell=lambda p: Cell(text=p.user), width=110),
        Column(title=tr("State"), cell=lambda p: Cell(text=_state(p.state)), width=130),
        _measure(tr("CPU time"), lambda p: p.cpu_s, span, 92),
        _measure(tr("Memory"), lambda p: p.memory_bytes, memory, 92),
        _measure(tr("Age"), lambda p: p.age_s, span, 84),
    )


class ProcessesTab(ContainerTab):
    """A table of the container's processes."""

    def __init__(self, desk: Desk, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._container: Container | None = None
        self._latest = Latest(session.workers)
        self.rows: Rows[Process] = Rows(columns(), lambda p: str(p.pid), lambda p: f"{p.pid}\n{p.user}\n{p.command}")
        self.filter = RowFilter(self.rows, (Segment(tr("All"), lambda _: True),), self)
        self.view: Table[Process] = Table(desk.theme, desk.icons, self.filter, columns(), tr("Processes"), checks=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 12, 24, 16)
        column.setSpacing(12)
        row = QHBoxLayout()
        row.setSpacing(12)
        self.search = Field(desk.theme, desk.icons, tr("Filter by command, user, PID"), "funnel-simple", clears=True)
        self.search.setFixedWidth(280)
        self.search.textChanged.connect(lambda text: self.filter.choose(text, 0))
        self.summary = Label(desk.theme, "", "small", "text2")
        self.copy = Button(desk.theme, desk.icons, tr("Copy command"), "copy-simple")
        self.copy.clicked.connect(self._on_copy)
        row.addWidget(self.search)
        row.addWidget(self.summary)
        row.addStretch(1)
        row.addWidget(self.copy)
        column.addLayout(row)
        self._stack = QStackedWidget()
        self._framed = Framed(desk.theme, self.view)
        self.none = EmptyPage(desk.theme, desk.icons, "", "", art=False)
        self._stack.addWidget(self._framed)
        self._stack.addWidget(self.none)
        column.addWidget(self._stack, 1)
        copy = QAction(self.view)
        copy.setShortcut(QKeySequence.StandardKey.Copy)
        copy.triggered.connect(self._on_copy)
        self.view.addAction(copy)
        self._clock = QTimer(self)
        self._clock.setInterval(PERIOD_MS)
        self._clock.timeout.connect(self._on_clock)

    def show_container(self, container: Container) -> None:
        self._container = container
        if container.is_running and not container.lost:
            self._read()
            self._clock.start()
        else:
            self._clock.stop()
            self._latest.drop()
            self._say(tr("{name} is not running", name=container.title), tr("It has no processes."))

    def cover(self) -> None:
        self._clock.stop()

    def leave(self) -> None:
        super().leave()
        self._latest.drop()
        self._container = None
        self.rows.load(())
        self.summary.setText("")
        self._stack.setCurrentWidget(self._framed)

    @property
    def search_field(self) -> QLineEdit:
        return self.search

    def _on_clock(self) -> None:
        if not self._latest.is_waiting:  # a slow engine's answer is awaited: another request would drop it
            self._read()

    def _read(self) -> None:
        container, client = self._container, self._session.client
        if container is None:
            return

        def told(processes: list[Process]) -> None:
            self.rows.load(processes)
            self.summary.setText(counted(len(processes), "{n} process", "{n} processes"))
            self.copy.setEnabled(True)
            self._stack.setCurrentWidget(self._framed)
            if not self.view.currentIndex().isValid() and processes:
                self.view.setCurrentIndex(self.filter.index(0, 0))

        def failed(error: Exception) -> None:
            self._say(tr("The processes cannot be read"), str(error))

        self._latest.run(lambda: read(client, container.id), told, failed)

    def _say(self, title: str, sentence: str) -> None:
        self.none.title.setText(title)
        self.none.sentence.setText(sentence)
        self.summary.setText("")
        self.copy.setEnabled(False)
        self._stack.setCurrentWidget(self.none)

    def _on_copy(self) -> None:
        if (process := self.view.current()) is not None:
            QGuiApplication.clipboard().setText(process.command)
