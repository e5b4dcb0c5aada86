"""The Logs tab of a container: live, with search, streams and times; after a failure, a card with the reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from desktop.ui.containers.log_lines import TAIL, LogLine, LogReader, note
from desktop.ui.containers.log_pages import PAGE, Edge, Hits, LogOf
from desktop.ui.containers.log_view import LogView
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.containers.why_card import WhyCard
from desktop.ui.feed.container import Container
from desktop.ui.feed.happening import Happening
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button, Segments, Switch
from desktop.ui.kit.fields import Field
from desktop.ui.kit.glyphs import StateGlyph
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import ago, clock, counted, tr

SAME_END_NS = 10**6  # times as floating point numbers are no more exact than this
LOOK_MS = 200  # after the last key of a search, before older lines are read


class LogsTab(ContainerTab):
    """Follows the log while it is visible.

    Signals: asked(key): what the card about a failure offers.
    """

    asked = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._container: Container | None = None
        self._reader: LogReader | None = None
        self._newest = 0.0
        self._known_until = -1.0  # lines up to this time were shown before the log was opened again
        self._ends: list[int] = []  # when it ended, Unix nanoseconds
        self._is_paging = False  # a page of older lines is being read
        self._is_complete = False  # the view begins with the log's first line
        self._is_detached = False  # the view does not end with the log's newest line
        self._is_looking = False  # a search in older lines is under way
        self._hits = (0, 0)  # the current hit in the view, and how many there are
        self._older: Hits | None = None
        self._given_up = threading.Event()
        self._look = QTimer(self)
        self._look.setSingleShot(True)
        self._look.setInterval(LOOK_MS)
        self._look.timeout.connect(self._search_older)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._build_bar(theme, icons))
        column.addWidget(self._build_why(theme, icons))
        self.view = LogView(theme)
        column.addWidget(self.view, 1)
        column.addWidget(self._build_foot(theme))
        self._connect()
        session.happened.connect(self._on_happened)
        self._add_keys()
        self._clock = QTimer(self)
        self._clock.setInterval(1_000)
        self._clock.timeout.connect(self._show_foot)

    def _build_bar(self, theme: Theme, icons: Icons) -> QFrame:
        """The bar above the log: search, streams, switches and buttons."""
        bar = QFrame()
        bar.setObjectName("logbar")
        self._bar_row = row = QHBoxLayout(bar)
        row.setContentsMargins(24, 10, 24, 10)
        row.setSpacing(8)
        self.search = Field(theme, icons, tr("Find in the log"), "magnifying-glass")
        self.search.setMinimumWidth(140)
        self.search.setMaximumWidth(320)
        self.search.setTextMargins(21, 0, 62, 0)
        self._count = Label(theme, "", "small", "text2", self.search)
        self._up = Button(theme, icons, icon="caret-up", name=tr("Previous hit"), tip=tr("Previous hit (Shift+F3)"))
        self._down = Button(theme, icons, icon="caret-down", name=tr("Next hit"), tip=tr("Next hit (F3)"))
        self.streams = Segments(theme, (tr("All"), "stdout", "stderr"), tr("Which output"))
        self.follow = Switch(theme, tr("Follow"), on=True)
        self.times = Switch(theme, tr("Time"), on=True)
        self.wrap = Switch(theme, tr("Wrap"))
        self.streams.setToolTip(tr("Lines of stderr are marked with e"))
        self._erase = Button(theme, icons, icon="eraser", name=tr("Clear the view"))
        self._export = Button(theme, icons, tr("Export…"), "export")
        row.addWidget(self.search, 4)
        row.addWidget(self._up)
        row.addWidget(self._down)
        row.addSpacing(8)
        row.addWidget(self.streams)
        row.addStretch(1)
        row.addWidget(self.follow)
        row.addSpacing(8)
        row.addWidget(self.times)
        row.addSpacing(8)
        row.addWidget(self.wrap)
        row.addSpacing(8)
        row.addWidget(self._erase)
        row.addWidget(self._export)
        theme.changed.connect(self._fit_bar)
        return bar

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_bar()

    def _fit_bar(self) -> None:
        """Where the bar has too little room, the button at its end shows its icon only."""
        self._export.set_short(False)
        self._bar_row.invalidate()
        self._export.set_short(self._bar_row.minimumSize().width() > self.width())

    def _build_why(self, theme: Theme, icons: Icons) -> QWidget:
        """The card with the reason of a failure, with margins around it."""
        self._why_room = QWidget()
        why_row = QVBoxLayout(self._why_room)
        why_row.setContentsMargins(24, 12, 24, 12)
        self.why = WhyCard(theme, icons)
        self.why.asked.connect(self.asked)
        why_row.addWidget(self.why)
        return self._why_room

    def _build_foot(self, theme: Theme) -> QFrame:
        """The line below the log: number of lines, time of the first, state of the reader."""
        foot = QFrame()
        foot.setObjectName("logfoot")
        foot.setFixedHeight(30)
        foot_row = QHBoxLayout(foot)
        foot_row.setContentsMargins(25, 0, 24, 0)
        foot_row.setSpacing(10)
        self._lines = Label(theme, "", "smallsection")
        self._from = Label(theme, "", "small", "text2")
        self._glyph = StateGlyph(theme, State.RUNNING, 8)
        self._state = Label(theme, "", "smallname", "text2")
        foot_row.addWidget(self._lines)
        foot_row.addWidget(self._from)
        foot_row.addStretch(1)
        foot_row.addWidget(self._glyph)
        foot_row.addWidget(self._state)
        return foot

    def _connect(self) -> None:
        """Connect the controls to the view."""
        self.search.installEventFilter(self)
        self.search.textChanged.connect(self._on_search)
        self.search.returnPressed.connect(lambda: self._step(+1))
        self._up.clicked.connect(lambda: self._step(-1))
        self._down.clicked.connect(lambda: self._step(+1))
        self.view.top_reached.connect(self._on_top)
        self.view.found.connect(self._on_found)
        self.view.follow_changed.connect(self.follow.setChecked)
        self.follow.clicked.connect(lambda: self._on_follow(self.follow.isChecked()))
        self.times.clicked.connect(lambda: self.view.set_times(self.times.isChecked()))
        self.wrap.clicked.connect(lambda: self.view.set_wrap(self.wrap.isChecked()))
        self.streams.chosen.connect(self.view.set_streams)
        self._erase.clicked.connect(self.view.clear)
        self._export.clicked.connect(self._on_export)

    def _add_keys(self) -> None:
        for key, by in (("F3", +1), ("Shift+F3", -1)):
            action = QAction(self)
            action.setShortcut(QKeySequence(key))
            action.triggered.connect(lambda _=False, b=by: self._step(b))
            self.addAction(action)

        clear = QAction(self.search)
        clear.setShortcut(QKeySequence(Qt.Key.Key_Escape))
        clear.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        clear.triggered.connect(self.search.clear)
        self.search.addAction(clear)

    def show_container(self, container: Container) -> None:
        """Show the log of `container`, which may be the one already shown with new facts."""
        was = self._container
        self._container = container
        forced = container.ended_by == "user" and container.exit_code == 137 and not container.is_running
        bad = (container.state is State.PROBLEM or forced) and not container.lost
        self._why_room.setVisible(bad)
        if bad:
            self.why.tell(container)
        if was is None or was.id != container.id:
            self._restart()
        if (
            was is not None
            and was.id == container.id
            and (self._reader is None or self._reader.ended)
            and not container.lost
            and container.is_running
        ):
            self._known_until = self._newest
            self._open(f"{self._newest:.6f}" if self._newest else None)
        self._clock.start()
        self._show_foot()

    # older lines -----------------------------------------------------------------------------------------------------

    def _log(self) -> LogOf | None:
        container = self._container
        return None if container is None else LogOf(self._session.client, container.id, container.tty)

    @property
    def _edge(self) -> Edge | None:
        """Where the view begins; None without lines."""
        lines = [line for line in self.view.lines[:TAIL] if line.at_ns and not line.is_note]
        if not lines:
            return None
        return Edge(lines[0].at_ns, sum(line.at_ns == lines[0].at_ns for line in lines))

    @property
    def _has_older(self) -> bool:
        """Whether there may be lines before the first in the view: less than a page was all there is."""
        return not self._is_complete and (self._is_detached or len(self.view.lines) >= TAIL)

    def _on_top(self) -> None:
        """Scrolled to the top: put the page before the first line above it."""
        log, edge = self._log(), self._edge
        if log is None or edge is None or self._is_paging or not self._has_older:
            return
        self._is_paging = True

        def told(lines: list[LogLine]) -> None:
            self._is_paging = False
            if log != self._log() or edge != self._edge:
                return
            self._is_complete = len(lines) < PAGE
            if self.view.prepend(lines):
                self._detach()
            self._place_ends()
            self._show_foot()

        def failed(error: Exception) -> None:
            self._is_paging = False
            self._state.setText(str(error))

        self._session.workers.run(lambda: log.before(edge), told, failed)

    def _detach(self) -> None:
        """The newest lines are not in the view any more; new ones do not fit behind those that are."""
        self._is_detached = True
        self.follow.setChecked(False)
        self.view.set_following(False)

    def _on_follow(self, on: bool) -> None:
        if on and self._is_detached and self._container is not None:
            self._restart()
        else:
            self.view.set_following(on)
            self._show_foot()

    def _restart(self) -> None:
        """Show the newest page again, and follow."""
        self.stop()
        self.view.clear()
        self._newest, self._known_until = 0.0, -1.0
        self._is_detached = self._is_complete = self._is_paging = False
        self._ends = []
        if self._container is not None:
            self._read_ends(self._container)
        self.follow.setChecked(True)
        self.view.set_following(True)
        self._open(None)
        self._clock.start()

    def _on_search(self, text: str) -> None:
        """Look in the view at once, and in what is older a moment later, in a worker."""
        self._given_up.set()
        self._older = None
        self.view.search(text)
        self._look.start()

    def _search_older(self) -> None:
        log, text, edge = self._log(), self.search.text(), self._edge
        if log is None or not text or edge is None or not self._has_older:
            return
        self._given_up = given_up = threading.Event()
        self._is_looking = True
        self._show_count()

        def told(hits: Hits) -> None:
            if not given_up.is_set():
                self._is_looking = False
                self._older = hits
                self._show_count()

        def failed(error: Exception) -> None:
            self._is_looking = False
            if not given_up.is_set():
                self._state.setText(str(error))

        self._session.workers.run(lambda: log.search(text, edge, given_up), told, failed)

    def _step(self, by: int) -> None:
        """The next or previous hit. Before the first in the view comes the newest of the older ones."""
        older, log, edge = self._older, self._log(), self._edge
        first = by < 0 and self.view.is_at_first_hit
        if not first or older is None or not older.count or log is None or edge is None:
            self.view.next_hit(by)
            return

        def told(answer: tuple[list[LogLine], int]) -> None:
            lines, place = answer
            if log == self._log() and lines:
                self._detach()
                self._is_complete = False
                self.view.clear()
                self.view.append(lines)
                self.view.search(self.search.text())
                self.view.show_line(place)
                self._place_ends()
                self._older = None
                self._look.start()
                self._show_foot()

        self._session.workers.run(lambda: log.around(edge, older), told, lambda error: self._state.setText(str(error)))

    def _show_count(self) -> None:
        """What the search has found: in the view, and before it."""
        at, of = self._hits
        text = tr("{at} of {of}", at=at, of=of) if of else ""
        older = self._older
        if older is not None and older.count:
            more = counted(older.count, "{n} older", "{n} older")
            text = tr("{text}, {more}", text=text, more=more) if text else more
        elif not of and self.search.text():
            text = tr("looking…") if self._is_looking else tr("none")
        self._count.setText(text)
        self._count.adjustSize()
        x = self.search.width() - self._count.width() - 10
        self._count.move(x, (self.search.height() - self._count.height()) // 2)
        self.search.setTextMargins(21, 0, self._count.width() + 14, 0)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The counter stays at the right end of the search field."""
        if event.type() == QEvent.Type.Resize:
            self._show_count()
        return super().eventFilter(watched, event)

    def _open(self, since: str | None) -> None:
        container, session = self._container, self._session
        assert container is not None  # callers have set it
        reader = LogReader(
            session.client,
            container.id,
            tty=container.tty,
            ready=lambda: session.workers.here(lambda: self._on_ready(reader)),
        )
        self._reader = reader
        session.workers.lasting("log", lambda: reader.run(since))

    def _on_ready(self, reader: LogReader) -> None:
        if reader is not self._reader:
            return
        lines = [line for line in reader.take() if line.is_note or line.at_s > self._known_until]
        if self._is_detached:
            return
        if lines:
            self._newest = max(self._newest, max(line.at_s for line in lines))
            self.view.append(lines)
            self._place_ends()
        self._show_foot()

    # ends ------------------------------------------------------------------------------------------------------------

    def _read_ends(self, container: Container) -> None:
        """Ask when the container ended, as far as the engine remembers, for notes between the lines of two runs. Its
        starts would not do: it may print before the engine says that it has started."""
        client, until = self._session.client, time.time()

        def ask() -> list[int]:
            filters = {"container": [container.id], "event": ["die"]}
            with client.events(since=container.created_s or None, until=until, filters=filters) as stream:
                return [int(event["timeNano"]) for event in stream]

        def told(ends: list[int]) -> None:
            if self._container is not None and self._container.id == container.id:
                self._learn_ends(ends)
                self._place_ends()

        self._session.workers.run(ask, told, lambda error: self._state.setText(str(error)))

    def _on_happened(self, happenings: Sequence[Happening]) -> None:
        shown = self._container.id if self._container is not None else ""
        ends = [each.at_s for each in happenings if each.object_id == shown and each.action == "die"]
        if ends:
            self._learn_ends([round(at_s * 1e9) for at_s in ends])
            self._place_ends()

    def _learn_ends(self, ends: Sequence[int]) -> None:
        """The same event may come twice: among those of before, and by itself."""
        for at_ns in ends:
            if all(abs(at_ns - known) > SAME_END_NS for known in self._ends):
                self._ends.append(at_ns)

    def _place_ends(self) -> None:
        """Put a note where the container was started again, between the lines of before and after that are shown."""
        if not self._ends:
            return
        known = [line.at_ns for line in self.view.lines if line.at_ns and not line.is_note]
        noted = {line.at_ns for line in self.view.lines if line.is_note}
        ready = [at for at in self._ends if at not in noted and known and known[0] < at <= known[-1]]
        if ready:
            self.view.insert_notes(
                [note(tr("ended at {time}, then started again", time=clock(at / 1e9)), at) for at in ready]
            )

    def stop(self) -> None:
        """Stop following, and looking."""
        self._given_up.set()
        self._look.stop()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._clock.stop()

    def cover(self) -> None:
        """Stop following; `show_container` goes on where the view ends."""
        self.stop()

    def leave(self) -> None:
        """`show_container` starts again from the beginning."""
        super().leave()
        self._container = None

    @property
    def search_field(self) -> QLineEdit:
        return self.search

    def _show_foot(self) -> None:
        count = sum(not line.is_note for line in self.view.lines)
        self._lines.setText(counted(count, "{n} line", "{n} lines"))
        first = next((line.at_s for line in self.view.lines if line.at_s), 0.0)
        if first and not self._has_older:
            self._from.setText(tr("from its beginning, {time}", time=_when(first)))
        else:
            self._from.setText(tr("from {time}; scroll up for older ones", time=_when(first)) if first else "")
        reader, container = self._reader, self._container
        live = reader is not None and not reader.ended
        self._glyph.set_state(
            State.RUNNING if live else State.UNKNOWN if container and container.lost else State.STOPPED
        )
        if reader is not None and reader.problem:
            text = reader.problem
        elif self._is_detached:
            text = tr("Newer lines are not shown; Follow goes back to them")
        elif live and not self.view.following:
            text = tr("Not following")
        elif live and self._newest:
            text = tr("Following, newest line {ago}", ago=ago(self._newest))
        elif live:
            text = tr("Following")
        elif container and container.lost:
            text = tr("No contact to the engine")
        else:
            text = tr("Ended")
        self._state.setText(text)
        self.view.empty_text = tr("It has printed nothing yet") if live else tr("It printed nothing")
        if not count:
            self.view.viewport().update()

    def _on_found(self, at: int, of: int) -> None:
        self._hits = at, of
        self._show_count()

    def _on_export(self) -> None:
        assert self._container is not None  # the button is visible only with a container
        name = f"{self._container.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
        dialog = QFileDialog(self, tr("Export the log"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.selectFile(name)
        text = self.view.text()
        dialog.fileSelected.connect(
            lambda path: self._session.workers.run(lambda: _write(path, text), None, self._on_unwritten)
        )
        dialog.open()

    def _on_unwritten(self, error: Exception) -> None:
        self._state.setText(str(error))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def _when(at_s: float) -> str:
    if time.time() - at_s < 86_400:
        return clock(at_s)
    return datetime.fromtimestamp(at_s).astimezone().strftime("%d %b %H:%M")
