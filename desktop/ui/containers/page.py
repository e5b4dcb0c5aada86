"""The Containers page: the table with its filters, the bar for selected containers, and the actions."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QAction,
    QDesktopServices,
    QGuiApplication,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QMenu, QStackedLayout, QVBoxLayout, QWidget

from desktop.ui.containers.actions import ContainerActions
from desktop.ui.containers.filter import Segment, segment_of
from desktop.ui.containers.model import ContainerModel
from desktop.ui.containers.table import ContainerTable
from desktop.ui.feed.facts import Container, EngineFacts, EnginePhase
from desktop.ui.kit.buttons import Button, Segments
from desktop.ui.kit.cards import Banner, EmptyPage, Field, Label, RoundedView
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.page_head import PageHead
from desktop.ui.kit.states import State
from desktop.ui.kit.steps import StepList
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import clock, counted, memory, sentence, tr

HELLO = "cove/hello"


class BulkBar(QWidget):
    """Floats over the lower edge of the table while rows are selected. Signals: asked(action)."""

    asked = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        row = QHBoxLayout(self)
        row.setContentsMargins(28 + 16, 18 + 5, 28 + 5, 38 + 5)
        row.setSpacing(8)
        self.count = Label(theme, "", "section")
        row.addWidget(self.count)
        row.addSpacing(16)
        for key, icon, text, kind in (
            ("stop", "stop", tr("Stop"), "plain"),
            ("restart", "arrow-clockwise", tr("Restart"), "plain"),
            ("delete", "trash", tr("Delete…"), "danger"),
        ):
            button = Button(theme, icons, text, icon, kind="danger" if kind == "danger" else "plain")
            button.clicked.connect(lambda _=False, k=key: self.asked.emit(k))
            row.addWidget(button)
        row.addSpacing(14)
        close = Button(theme, icons, icon="x", kind="ghost", name=tr("Select none"))
        close.clicked.connect(lambda: self.asked.emit("none"))
        row.addWidget(close)
        theme.changed.connect(self.update)
        self.hide()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = self.rect().adjusted(28, 18, -28, -38)
        self._theme.draw_shadow(painter, box)
        painter.setPen(QPen(self._theme.colour("line2"), 1))
        painter.setBrush(self._theme.brush("raised"))
        painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 10, 10)


class ContainersPage(QWidget):
    """The Containers page.

    Signals: opened(container id, tab), run_asked(image or ""), sight_changed() when other rows are visible,
    retry_asked(wanted): start or reach the engine; False: stop trying.
    """

    opened = Signal(str, str)
    run_asked = Signal(str)
    retry_asked = Signal(bool)
    sight_changed = Signal()

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        model: ContainerModel,
        actions: ContainerActions,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("page")
        self._theme, self._icons, self._model, self._actions = theme, icons, model, actions
        self._facts: EngineFacts | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 0, 24, 0)
        column.setSpacing(0)
        head = PageHead(theme, tr("Containers"))
        self.title, self.summary = head.title, head.summary
        column.addLayout(head)
        column.addWidget(self._build_banner(theme, icons))
        column.addWidget(self._build_tools(theme, icons))
        self._body = QWidget()
        self._stack = QStackedLayout(self._body)
        self._stack.addWidget(self._build_table(theme, icons))
        self._stack.addWidget(self._build_empty(theme, icons))
        self._stack.addWidget(self._build_no_match(theme, icons))
        self._stack.addWidget(self._build_stopped(theme, icons))
        column.addWidget(self._body, 1)
        self.bulk = BulkBar(theme, icons, self)
        self._connect()
        self._add_keys()
        self.refresh()

    def _build_banner(self, theme: Theme, icons: Icons) -> QWidget:
        self.banner = Banner(theme, icons)
        self.banner.button.clicked.connect(self._on_banner)
        self._banner_room = QWidget()
        room = QVBoxLayout(self._banner_room)
        room.setContentsMargins(0, 0, 0, 12)
        room.addWidget(self.banner)
        self._banner_room.hide()
        return self._banner_room

    def _build_tools(self, theme: Theme, icons: Icons) -> QWidget:
        """The row of filters above the table."""
        self._tools = QWidget()
        tools = QHBoxLayout(self._tools)
        tools.setContentsMargins(0, 0, 0, 12)
        tools.setSpacing(12)
        names = (tr("All"), tr("Running"), tr("Paused"), tr("Stopped"), tr("Problems"))
        self.segments = Segments(theme, names, tr("Which containers"))
        self.search = Field(theme, icons, tr("Filter by name, image, port"), "funnel-simple")
        self.search.setFixedWidth(232)
        tools.addWidget(self.segments)
        tools.addWidget(self.search)
        tools.addStretch(1)
        return self._tools

    def _build_table(self, theme: Theme, icons: Icons) -> QWidget:
        frame = QWidget()
        self.table = ContainerTable(theme, icons, self._model, frame)
        self._frame = RoundedView(theme, frame)
        frame.installEventFilter(self)
        return frame

    def _build_empty(self, theme: Theme, icons: Icons) -> QWidget:
        """The page shown while the engine has no containers."""
        hello = Button(theme, icons, tr("Run {image}", image=HELLO), "play", kind="primary", height=36)
        other = Button(theme, icons, tr("Run another image…"), height=36)
        hello.clicked.connect(lambda: self.run_asked.emit(HELLO))
        other.clicked.connect(lambda: self.run_asked.emit(""))
        self.empty = EmptyPage(
            theme,
            icons,
            tr("No containers yet"),
            tr("Run the one that came with Cove, or any image you know by name."),
            (hello, other),
            f"cove run --rm {HELLO}",
        )
        return self.empty

    def _build_no_match(self, theme: Theme, icons: Icons) -> QWidget:
        """The page shown while the filter hides every container."""
        self.clear = Button(theme, icons, tr("Clear filter"))
        self.clear.clicked.connect(self._on_clear)
        self.no_match = EmptyPage(theme, icons, "", "", (self.clear,), art=False)
        return self.no_match

    def _build_stopped(self, theme: Theme, icons: Icons) -> QWidget:
        """The page shown while there is no engine and no container from an earlier contact."""
        self.start_engine = Button(theme, icons, tr("Start"), "play", kind="primary", height=36)
        self.start_engine.clicked.connect(lambda: self.retry_asked.emit(True))
        self.stopped = EmptyPage(theme, icons, tr("The engine is stopped"), "", (self.start_engine,))
        self.start_steps = StepList(theme)
        self.start_steps.hide()
        self.stopped.more.addWidget(self.start_steps, 0, Qt.AlignmentFlag.AlignHCenter)
        return self.stopped

    def _connect(self) -> None:
        """Connect the controls to the page, and the model to one delayed refresh."""
        self.bulk.asked.connect(self._on_bulk)
        self.search.textChanged.connect(self._on_filter)
        self.segments.chosen.connect(self._on_filter)
        self.table.asked.connect(self._on_asked)
        self.table.menu_asked.connect(self._on_menu)
        self.table.port_asked.connect(self._on_port)
        self.table.selection.changed.connect(self._show_bulk)
        self.table.verticalScrollBar().valueChanged.connect(self.sight_changed)
        self._later = QTimer(self)  # one refresh of the counts for a burst of changes
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self.refresh)
        model = self._model
        for signal in (model.rowsInserted, model.rowsRemoved, model.dataChanged, model.modelReset):
            signal.connect(self._later.start)

    def _add_keys(self) -> None:
        for key, verb in (
            ("Ctrl+.", "startstop"),
            ("Ctrl+Shift+R", "restart"),
            ("Ctrl+L", "logs"),
            ("Ctrl+T", "terminal"),
            ("Del", "delete"),
            ("Ctrl+O", "port"),
            ("Ctrl+C", "copy"),
        ):
            action = QAction(self.table)
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(lambda _=False, v=verb: self._on_key(v))
            self.table.addAction(action)

    # showing ---------------------------------------------------------------------------------------------------------

    def show_facts(self, facts: EngineFacts) -> None:
        self._facts = facts
        lost = facts.phase in (EnginePhase.LOST, EnginePhase.FAILED) or (
            facts.phase in (EnginePhase.STARTING, EnginePhase.STOPPING, EnginePhase.STOPPED)
            and self._model.rowCount() > 0
        )
        self._banner_room.setVisible(lost)
        if lost:
            self._tell_banner(facts)
        vm = facts.kind == "vm"
        self.start_engine.set_label(tr("Start the VM") if vm else tr("Try again"))
        busy = facts.phase in (EnginePhase.STARTING, EnginePhase.CONNECTING, EnginePhase.STOPPING)
        offered = vm or not facts.phase.is_usable
        self.start_engine.setVisible(offered and not busy and facts.phase is not EnginePhase.SAVED)
        self.stopped.title.setText(facts.word)
        said = " ".join(sentence(part) for part in (facts.problem, facts.hint) if part)
        if facts.phase in (EnginePhase.STARTING, EnginePhase.STOPPING):
            said = ""
        elif facts.phase is EnginePhase.CONNECTING:
            said = facts.address
        self.stopped.sentence.setText(said)
        self.start_steps.set_steps(facts.steps if facts.phase is EnginePhase.STARTING else ())
        self.refresh()

    def _tell_banner(self, facts: EngineFacts) -> None:
        seen = clock(self._model.lost_at_s) if self._model.lost_at_s else ""
        stopped = facts.phase in (EnginePhase.STOPPED, EnginePhase.STOPPING, EnginePhase.STARTING)
        before = (
            tr("The list below is from {time}, before it stopped.", time=seen)
            if stopped
            else tr("The list below is from {time}, before contact was lost.", time=seen)
        )
        below = before if seen else ""
        thing = tr("The virtual machine") if facts.kind == "vm" else tr("The engine")
        self.banner.button.set_label(tr("Stop trying"))
        self.banner.button.setVisible(True)
        match facts.phase:
            case EnginePhase.LOST:
                text = tr("{thing} does not answer. Cove is trying to reach it again.", thing=thing)
                self.banner.tell(State.WORKING, text, f"{sentence(facts.problem)} {below}".strip())
            case EnginePhase.STARTING:
                text = tr("{thing} is starting.", thing=thing)
                self.banner.tell(State.WORKING, text, below, facts.steps)
                self.banner.button.hide()
            case EnginePhase.STOPPING:
                self.banner.tell(State.WORKING, tr("{thing} is stopping.", thing=thing), below)
                self.banner.button.hide()
            case EnginePhase.FAILED:
                parts = (sentence(facts.problem), sentence(facts.hint), below)
                self.banner.tell(State.PROBLEM, sentence(facts.word), " ".join(part for part in parts if part))
                self.banner.button.set_label(tr("Start"))
            case _:
                self.banner.tell(State.STOPPED, tr("{thing} is stopped.", thing=thing), below)
                self.banner.button.set_label(tr("Start"))

    def _on_banner(self) -> None:
        trying = self._facts is not None and self._facts.phase is EnginePhase.LOST
        self.retry_asked.emit(not trying)
        if trying:
            self.banner.tell(State.UNKNOWN, tr("Cove stopped trying to reach the engine."), "")
            self.banner.button.set_label(tr("Try again"))
            self._facts = None

    def refresh(self) -> None:
        """Update counts and summary, and show the table or one of the empty pages."""
        containers = self._model.containers()
        counts = [0] * len(Segment)
        counts[Segment.ALL] = len(containers)
        for container in containers:
            counts[segment_of(container)] += 1
        lost = self._model.lost_at_s
        unknown = frozenset({int(Segment.RUNNING), int(Segment.PAUSED)}) if lost else frozenset()
        self.segments.set_counts(counts, unknown)
        self.summary.setText(self._summary(containers))
        up = self._facts is not None and self._facts.phase.is_usable
        self._tools.setVisible(bool(containers))
        if containers:
            self._stack.setCurrentIndex(0 if self.table.filter.rowCount() else 2)
            if not self.table.filter.rowCount():
                text = self.search.text().strip()
                said = tr("No container matches “{text}”", text=text) if text else tr("No container here")
                self.no_match.title.setText(said)
        else:
            self._stack.setCurrentIndex(1 if up else 3)
        self._show_bulk()
        self.sight_changed.emit()

    def _summary(self, containers: list[Container]) -> str:
        if self._model.lost_at_s and containers:
            return tr("last seen at {time}", time=clock(self._model.lost_at_s))
        running = sum(c.is_running for c in containers)
        if not containers:
            return ""
        looks = [row.latest for row in self._model.rows() if row.latest]
        text = counted(running, "{n} running", "{n} running")
        if not looks:
            return text
        cpus = sum(look.cpu_percent for look in looks) / 100
        used = memory(sum(look.memory_bytes for look in looks))
        total = self._facts.cpus if self._facts else 0
        if total:
            return tr(
                "{running}, using {n} of {total} CPUs and {memory}",
                running=text,
                n=f"{cpus:.1f}",
                total=total,
                memory=used,
            )
        return tr("{running}, using {memory}", running=text, memory=used)

    def visible_ids(self) -> list[str]:
        """Ids of the running containers whose rows are visible."""
        ids = self.table.visible_ids() if self._stack.currentIndex() == 0 else []
        return [i for i in ids if (c := self._model.container(i)) and c.status == "running" and not c.lost]

    def _show_bulk(self) -> None:
        count = len(self.table.selection)
        self.bulk.setVisible(count > 0 and not self._model.lost_at_s)
        if count:
            self.bulk.count.setText(counted(count, "{n} selected", "{n} selected"))
            self.bulk.adjustSize()
            self._place_bulk()
        below = 60 if count else 0
        if self.table.viewportMargins().bottom() != below:
            self.table.setViewportMargins(0, 35, 0, below)

    def _place_bulk(self) -> None:
        size = self.bulk.sizeHint()
        self.bulk.move((self.width() - size.width()) // 2, self.height() - size.height() + 38 - 6)
        self.bulk.raise_()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_bulk()
        narrow = self.width() < 860
        self.search.setFixedWidth(160 if narrow else 232)
        self.sight_changed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.table.setGeometry(watched.rect().adjusted(1, 1, -1, 0))
            self._frame.setGeometry(watched.rect().adjusted(0, 0, 0, 12))
            self._frame.raise_()
        return super().eventFilter(watched, event)

    # doing -----------------------------------------------------------------------------------------------------------

    def _on_filter(self) -> None:
        self.table.filter.choose(self.search.text(), Segment(self.segments.current))
        self.refresh()

    def _on_clear(self) -> None:
        self.search.clear()
        self.segments.choose(0)

    def _on_asked(self, key: str, container: Container) -> None:
        if key in ("open", "logs", "why", "terminal", "inspect"):
            self.opened.emit(container.id, {"open": "", "why": "logs"}.get(key, key))
        else:
            self._actions.ask(key, [container])

    def _targets(self) -> list[Container]:
        """The containers a command acts on: the selected ones, else the current row's. None while contact is lost."""
        current = self.table.current_container()
        targets = self.table.selection.containers() or ([current] if current is not None else [])
        return [container for container in targets if not container.lost]

    def _on_bulk(self, key: str) -> None:
        if key == "none":
            self.table.selection.clear()
        else:
            self._actions.ask(key, self._targets())

    def _on_port(self, container: Container, number: int, copy: bool) -> None:
        port = container.ports[number]
        if copy:
            QGuiApplication.clipboard().setText(port.where)
        else:
            QDesktopServices.openUrl(QUrl(port.url))

    def _on_key(self, verb: str) -> None:
        """Port, terminal and logs act on the current row's container; other keys act on `_targets`."""
        container = self.table.current_container()
        match verb:
            case "port" | "terminal" | "logs" if container is not None and not container.lost:
                self._on_single_key(verb, container)
            case "copy":
                self._copy(self._targets())
            case "startstop":
                targets = self._targets()
                self._actions.ask("stop" if any(c.is_running for c in targets) else "start", targets)
            case "restart" | "delete":
                self._actions.ask(verb, self._targets())

    def _on_single_key(self, verb: str, container: Container) -> None:
        if verb == "port":
            if container.ports:
                self._on_port(container, 0, False)
        elif verb == "logs" or container.status == "running":
            self._on_asked(verb, container)

    def _copy(self, containers: Sequence[Container]) -> None:
        """Copy the current container's short id, or one line of text per selected container."""
        if len(self.table.selection):
            text = "\n".join(f"{c.name}\t{c.image}\t{c.state_word}" for c in containers)
        else:
            text = "\n".join(c.id[:12] for c in containers)
        if text:
            QGuiApplication.clipboard().setText(text)

    def _on_menu(self, container: Container, place: QPoint) -> None:
        """On a selected row: the menu of the selection. Elsewhere: clear the selection; that container's menu."""
        selection = self.table.selection
        if container.id not in selection:
            selection.clear()
        several = self._targets() if len(selection) > 1 else []
        items = self._actions.menu_of_several(several) if several else self._actions.menu_items(container)
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for item in items:
            if item is None:
                menu.addSeparator()
                continue
            key, icon, text, shortcut = item
            action = menu.addAction(self._icons.icon(icon, "bad" if key == "delete" else "text2"), text)
            if shortcut:
                action.setShortcut(QKeySequence(shortcut))
            if several:
                action.triggered.connect(lambda _=False, k=key: self._on_several(k, several))
            else:
                action.triggered.connect(lambda _=False, k=key: self._on_menu_item(k, container))
        menu.popup(place)

    def _on_several(self, key: str, containers: Sequence[Container]) -> None:
        if key == "copy":
            self._copy(containers)
        else:
            self._actions.ask(key, containers)

    def _on_menu_item(self, key: str, container: Container) -> None:
        if key.startswith("port:"):
            self._on_port(container, int(key.removeprefix("port:")), False)
        elif key.startswith("copyport:"):
            self._on_port(container, int(key.removeprefix("copyport:")), True)
        elif key == "copyid":
            QGuiApplication.clipboard().setText(container.id[:12])
        else:
            self._on_asked(key, container)
