"""The tray: Cove's mark with the state, and a menu with quick-run, containers and the VM, built without requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import QObject, QPointF, QRectF, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.container import Container
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.kit.glyphs import mark_icon, paint_state
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.states import WORST_FIRST, State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import counted, natural, shortened, tr
from desktop.ui.run.options import RunWish

MOST_CONTAINERS = 8


def tray_state(facts: EngineFacts, containers: Sequence[Container]) -> State:
    """The state that the mark shows: the engine's if it is not running, else the worst of the containers."""
    if facts.phase is not EnginePhase.RUNNING:
        return State.PROBLEM if facts.phase is EnginePhase.FAILED else facts.phase.state
    running = [c for c in containers if c.is_running]
    if any(c.state is State.PROBLEM for c in running):
        return State.PROBLEM
    return State.PAUSED if running and all(c.state is State.PAUSED for c in running) else State.RUNNING


class Tray(QObject):
    """Signals: asked(quick-run, open, quit, vm-start, vm-stop); run_asked(RunWish); container_asked(key, Container)."""

    asked = Signal(str)
    run_asked = Signal(object)
    container_asked = Signal(str, object)

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        model: ContainerModel,
        recent: Callable[[], Sequence[RunWish]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._theme, self._icons, self._model, self._recent = theme, icons, model, recent
        self._facts = EngineFacts(phase=EnginePhase.CONNECTING, kind="native")
        self.menu = QMenu()
        self.icon = QSystemTrayIcon(self)
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._on_activated)
        self.menu.aboutToShow.connect(self.build)
        self._shown_state: tuple[State, str] | None = None
        theme.changed.connect(self.refresh)
        self.build()
        self.refresh()

    @staticmethod
    def is_available() -> bool:
        return QSystemTrayIcon.isSystemTrayAvailable()

    def show(self) -> None:
        self.icon.show()

    def show_facts(self, facts: EngineFacts) -> None:
        self._facts = facts
        self.refresh()

    def refresh(self) -> None:
        """Update the mark and its tooltip."""
        state = tray_state(self._facts, self._model.containers())
        self.icon.setToolTip(f"Cove: {self._facts.word}")
        if self._shown_state == (state, self._theme.scheme):
            return
        self._shown_state = (state, self._theme.scheme)
        token = "text3" if state is State.STOPPED else "text"
        icon = mark_icon(self._theme.colour(token), state, self._theme.colour("bad"))
        icon.setIsMask(state is not State.PROBLEM)
        self.icon.setIcon(icon)

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.ActivationReason.Trigger:
            self.asked.emit("open")
        elif reason == QSystemTrayIcon.ActivationReason.MiddleClick:
            self.asked.emit("quick-run")

    def _glyph(self, state: State) -> QIcon:
        pixmap = QPixmap(16, 16)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        paint_state(painter, self._theme, state, QRectF(0, 0, 16, 16).center() + QPointF(0, 0), 10)
        painter.end()
        return QIcon(pixmap)

    def _add(self, menu: QMenu, icon: str, text: str, call: Callable[[], None]) -> None:
        menu.addAction(self._icons.icon(icon), text).triggered.connect(lambda _=False: call())

    def build(self) -> None:
        """Rebuild the menu from the models."""
        menu, facts = self.menu, self._facts
        menu.clear()
        running = facts.phase.is_usable
        head = menu.addAction(
            self._glyph(facts.phase.state), tr("{name}, {state}", name=facts.name, state=facts.word.lower())
        )
        head.setEnabled(False)
        menu.addSeparator()
        self._add(menu, "lightning", tr("Quick run…"), lambda: self.asked.emit("quick-run"))
        recent = self._recent()
        if recent and running:
            again = recent[0]
            self._add(
                menu,
                "clock-counter-clockwise",
                tr("Run again: {image}", image=again.image),
                lambda: self.run_asked.emit(again),
            )
        if len(recent) > 1 and running:
            more = menu.addMenu(self._icons.icon("stack"), tr("Recent images"))
            for wish in recent[1:8]:
                self._add(more, "play", wish.image, partial(self.run_asked.emit, wish))
        menu.addSeparator()
        self._add_containers(menu)
        if facts.kind == "vm":
            menu.addSeparator()
            if facts.phase in (EnginePhase.STOPPED, EnginePhase.FAILED):
                self._add(menu, "play", tr("Start VM"), lambda: self.asked.emit("vm-start"))
            elif facts.phase in (EnginePhase.RUNNING, EnginePhase.LOST, EnginePhase.SAVED):
                self._add(menu, "power", tr("Stop VM"), lambda: self.asked.emit("vm-stop"))
        menu.addSeparator()
        self._add(menu, "app-window", tr("Open Cove"), lambda: self.asked.emit("open"))
        self._add(menu, "sign-out", tr("Quit Cove"), lambda: self.asked.emit("quit"))

    def _add_containers(self, menu: QMenu) -> None:
        containers = sorted(self._model.containers(), key=_urgency)
        groups: dict[str, list[Container]] = {}
        for container in containers:
            groups.setdefault(container.project or f"\0{container.name}", []).append(container)
        for key in list(groups)[:MOST_CONTAINERS]:
            members = groups[key]
            state = next(s for s in WORST_FIRST if any(c.state is s for c in members))
            if key.startswith("\0"):
                self._container_menu(menu, members[0], shortened(members[0].title))
                continue
            total = [c for c in self._model.containers() if c.project == key]
            up = sum(c.is_running for c in total)
            text = tr("{name}   {n} of {total} running", name=shortened(key), n=up, total=len(total))
            group = menu.addMenu(self._glyph(state), text)
            for container in sorted(members, key=lambda c: c.title):
                self._container_menu(group, container, shortened(container.title))
        if len(groups) > MOST_CONTAINERS:
            more = counted(len(groups) - MOST_CONTAINERS, "{n} more, in the window", "{n} more, in the window")
            self._add(menu, "app-window", more, lambda: self.asked.emit("open"))

    def _container_menu(self, menu: QMenu, container: Container, title: str) -> None:
        ports = " ".join(str(p.host_port) for p in container.ports) if container.is_running else ""
        text = "   ".join(part for part in (title, shortened(ports or container.note)) if part)
        inner = menu.addMenu(self._glyph(container.state), text.replace("&", "&&"))
        if container.lost:
            inner.setEnabled(False)
            return
        for port in container.ports if container.is_running else ():
            self._add(
                inner, "arrow-square-out", tr("Open {port}", port=port.host_port),
                partial(_open, port.url),
            )  # fmt: skip
        self._add(inner, "article", tr("Logs"), lambda: self.container_asked.emit("logs", container))
        if container.status == "running":
            self._add(
                inner, "terminal-window", tr("Terminal"), lambda: self.container_asked.emit("terminal", container)
            )
        if container.is_running:
            self._add(inner, "stop", tr("Stop"), lambda: self.container_asked.emit("stop", container))
            self._add(inner, "arrow-clockwise", tr("Restart"), lambda: self.container_asked.emit("restart", container))
        else:
            self._add(inner, "play", tr("Start"), lambda: self.container_asked.emit("start", container))


def _urgency(container: Container) -> tuple[int, float, tuple[tuple[int, int, str], ...]]:
    """What is wanted first: what runs, the latest start before others, then problems, then what ended last."""
    if container.is_running:
        return 0, -(container.started_s or 0.0), natural(container.name)
    rank = 1 if container.state is State.PROBLEM else 2
    return rank, -(container.finished_s or 0.0), natural(container.name)


def _open(url: str) -> None:
    QDesktopServices.openUrl(QUrl(url))
