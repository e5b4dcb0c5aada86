"""The Containers page: the table with its filters, the bar for selected containers, and the actions."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop.ui.bin.button import BinButton
from desktop.ui.containers.actions import ContainerActions, fits, verbs
from desktop.ui.containers.filter import Segment, segment_of
from desktop.ui.containers.model import ContainerModel
from desktop.ui.containers.table import ContainerTable
from desktop.ui.feed.container import Container
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Banner, RoundedView
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.listing import ListPage
from desktop.ui.kit.menus import Act, open_menu
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.steps import StepList
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.tree import HEAD
from desktop.ui.kit.words import clock, counted, memory, sentence, tr

HELLO = "cove/hello"


class ContainersPage(ListPage):
    """The Containers page.

    Signals: run_asked(image or ""), sight_changed() when other rows are visible, retry_asked(wanted): start or reach
    the engine; False: stop trying.
    """

    run_asked = Signal(str)
    retry_asked = Signal(bool)
    sight_changed = Signal()

    def __init__(
        self,
        desk: Desk,
        model: ContainerModel,
        actions: ContainerActions,
        session: EngineSession,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(
            desk,
            title=tr("Containers"),
            segments=(tr("All"), tr("Running"), tr("Paused"), tr("Stopped"), tr("Problems")),
            which=tr("Which containers"),
            hint=tr("Filter by name, image, port"),
            foot=0,
            parent=parent,
        )
        self._model, self._actions, self._session = model, actions, session
        self._facts: EngineFacts | None = None
        theme, icons = desk.theme, desk.icons
        self.bin = BinButton(desk, session, "container")
        self.add_button(self.bin)
        self.above.addWidget(self._build_banner(theme, icons))
        framed = QWidget()
        self.tree = ContainerTable(theme, icons, model, framed)
        self._frame = RoundedView(theme, framed)
        framed.installEventFilter(self)
        self.build(framed, self.tree, self._build_empty(theme, icons))
        self.add_state(self._build_stopped(theme, icons))
        bar = [act for act in verbs() if act.key in ("start", "stop", "restart", "pause")]
        self.add_bulk((*bar, Act("delete", "trash", tr("Delete…"))), self.tree.selection, self._on_bulk)
        self._connect()
        self.add_keys(
            {
                "Ctrl+.": lambda: self._on_key("startstop"),
                "Ctrl+Shift+R": lambda: self._on_key("restart"),
                "Ctrl+L": lambda: self._on_key("logs"),
                "Ctrl+T": lambda: self._on_key("terminal"),
                "Del": lambda: self._on_key("delete"),
                "Ctrl+O": lambda: self._on_key("port"),
                "Ctrl+C": lambda: self._on_key("copy"),
            }
        )
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
            (hello, other, BinButton(self.desk, self._session, "container")),
            f"cove run --rm {HELLO}",
        )
        return self.empty

    def _build_stopped(self, theme: Theme, icons: Icons) -> QWidget:
        """The page shown while there is no engine and no container from an earlier contact."""
        self.start_engine = Button(theme, icons, tr("Start"), "play", kind="primary", height=36)
        self.start_engine.clicked.connect(lambda: self.retry_asked.emit(True))
        self.find_out = Button(theme, icons, tr("Find out why"), "first-aid-kit", height=36)
        self.find_out.clicked.connect(lambda: self.desk.go(Place("troubleshoot")))
        buttons = (self.start_engine, self.find_out)
        self.stopped = EmptyPage(theme, icons, tr("The engine is stopped"), "", buttons)
        self.start_steps = StepList(theme)
        self.start_steps.hide()
        self.stopped.more.addWidget(self.start_steps, 0, Qt.AlignmentFlag.AlignHCenter)
        return self.stopped

    def _connect(self) -> None:
        self.tree.asked.connect(self._on_asked)
        self.tree.menu_asked.connect(self._on_menu)
        self.tree.port_asked.connect(self._on_port)
        self.tree.verticalScrollBar().valueChanged.connect(self.sight_changed)
        self.watch(self._model)

    # showing ---------------------------------------------------------------------------------------------------------

    def show_facts(self, facts: EngineFacts) -> None:
        self._facts = facts
        # Without a list below, the page in its place says it all.
        lost = not facts.phase.is_usable and facts.phase is not EnginePhase.CONNECTING and self._model.rowCount() > 0
        self._banner_room.setVisible(lost)
        if lost:
            self._tell_banner(facts)
        vm = facts.kind == "vm"
        self.start_engine.set_label(tr("Start the VM") if vm else tr("Try again"))
        busy = facts.phase in (EnginePhase.STARTING, EnginePhase.CONNECTING, EnginePhase.STOPPING)
        offered = vm or not facts.phase.is_usable
        self.start_engine.setVisible(offered and not busy and facts.phase is not EnginePhase.SAVED)
        self.find_out.setVisible(facts.phase in (EnginePhase.FAILED, EnginePhase.LOST))
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

    # ListPage --------------------------------------------------------------------------------------------------------

    def choose(self, text: str, segment: int) -> None:
        self.tree.filter.choose(text, Segment(segment))

    def counts(self) -> Sequence[int]:
        containers = self._model.containers()
        counts = [0] * len(Segment)
        counts[Segment.ALL] = len(containers)
        for container in containers:
            counts[segment_of(container)] += 1
        return counts

    def unknown_segments(self) -> frozenset[int]:
        return frozenset({int(Segment.RUNNING), int(Segment.PAUSED)}) if self._model.lost_at_s else frozenset()

    def shown_count(self) -> int:
        return self.tree.filter.rowCount()

    def summarize(self) -> str:
        return self._summary(self._model.containers())

    def no_match_title(self, text: str) -> str:
        return tr("No container matches “{text}”", text=text) if text else tr("No container here")

    def shown_widget(self, total: int) -> QWidget:
        up = self._facts is not None and self._facts.phase.is_usable
        return super().shown_widget(total) if total or up else self.stopped

    def fitting(self) -> frozenset[str]:
        targets = self._targets()
        verbs = ("start", "stop", "restart", "pause", "delete")
        return frozenset(verb for verb in verbs if any(fits(verb, container) for container in targets))

    def refresh(self) -> None:
        super().refresh()
        self.sight_changed.emit()

    def _summary(self, containers: list[Container]) -> str:
        if self._model.lost_at_s and containers:
            return tr("last seen at {time}", time=clock(self._model.lost_at_s))
        if not containers:
            return ""
        text = self._counted()
        looks = [row.latest for row in self._model.rows() if row.latest]
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

    def _counted(self) -> str:
        """How many containers there are in each state that uses something, with the numbers of the segments."""
        counts = self.counts()
        parts = [counted(counts[Segment.RUNNING], "{n} running", "{n} running")]
        if counts[Segment.PAUSED]:
            parts.append(counted(counts[Segment.PAUSED], "{n} paused", "{n} paused"))
        if counts[Segment.PROBLEMS]:
            parts.append(counted(counts[Segment.PROBLEMS], "{n} problem", "{n} problems"))
        return ", ".join(parts)

    def visible_ids(self) -> list[str]:
        """Ids of the running containers whose rows are visible."""
        ids = self.tree.visible_ids() if self.is_list_shown else []
        return [i for i in ids if (c := self._model.container(i)) and c.status == "running" and not c.lost]

    def show_bulk(self) -> None:
        super().show_bulk()
        count = len(self.tree.selection)
        if self._model.lost_at_s and self.bulk is not None:
            self.bulk.hide()
        below = 60 if count else 0
        if self.tree.viewportMargins().bottom() != below:
            self.tree.setViewportMargins(0, HEAD, 0, below)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.sight_changed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.tree.setGeometry(watched.rect().adjusted(1, 1, -1, 0))
            self._frame.setGeometry(watched.rect().adjusted(0, 0, 0, 12))
            self._frame.raise_()
        return super().eventFilter(watched, event)

    # doing -----------------------------------------------------------------------------------------------------------

    def _on_asked(self, key: str, container: Container) -> None:
        if key in ("open", "logs", "why", "terminal", "inspect"):
            tab = {"open": "", "why": "logs"}.get(key, key)
            self.desk.go(Place("container", container.id, tab))
        else:
            self._actions.ask(key, [container])

    def _targets(self) -> list[Container]:
        """The containers a command acts on: the selected ones, else the current row's. None while contact is lost."""
        current = self.tree.current_container()
        selected = self.tree.filter.containers(set(self.tree.selection.keys()))
        targets = selected or ([current] if current is not None else [])
        return [container for container in targets if not container.lost]

    def _on_bulk(self, key: str) -> None:
        self._actions.ask(key, self._targets())

    def _on_port(self, container: Container, number: int, copy: bool) -> None:
        port = container.ports[number]
        if copy:
            QGuiApplication.clipboard().setText(port.where)
        else:
            QDesktopServices.openUrl(QUrl(port.url))

    def _on_key(self, verb: str) -> None:
        """Port, terminal and logs act on the current row's container; other keys act on `_targets`."""
        container = self.tree.current_container()
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
        if len(self.tree.selection):
            text = "\n".join(f"{c.name}\t{c.image}\t{c.state_word}" for c in containers)
        else:
            text = "\n".join(c.id[:12] for c in containers)
        if text:
            QGuiApplication.clipboard().setText(text)

    def _on_menu(self, container: Container, place: QPoint) -> None:
        """On a selected row: the menu of the selection. Elsewhere: clear the selection; that container's menu."""
        selection = self.tree.selection
        if container.id not in selection:
            selection.clear()
        several = self._targets() if len(selection) > 1 else []
        if several:
            acts = self._actions.acts_on_several(several)
            open_menu(self, self.desk.icons, acts, lambda key: self._on_several(key, several), place)
        else:
            acts = self._actions.acts_on_one(container)
            open_menu(self, self.desk.icons, acts, lambda key: self._on_menu_item(key, container), place)

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
        elif key == "copyname":
            QGuiApplication.clipboard().setText(container.name)
        elif key == "copyid":
            QGuiApplication.clipboard().setText(container.id[:12])
        else:
            self._on_asked(key, container)
