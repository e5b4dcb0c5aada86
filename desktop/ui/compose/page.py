"""The Compose page: the projects at the left, one with its containers and logs at the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import QWidget

from desktop.ui.compose.actions import ask_delete
from desktop.ui.compose.applying import Applying, Asked
from desktop.ui.compose.building import BuildImages
from desktop.ui.compose.file import FileTab
from desktop.ui.compose.graph import Graph
from desktop.ui.compose.log import ProjectLog
from desktop.ui.compose.model import Project, columns, projects, segments
from desktop.ui.containers.actions import ContainerActions
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.container import Container, volume_title
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import FactsView
from desktop.ui.kit.detail import DetailCard
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.filedialogs import ask_sources
from desktop.ui.kit.links import Linked, Links
from desktop.ui.kit.listing import changes_of
from desktop.ui.kit.menus import Act, open_below
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.table_page import TablePage
from desktop.ui.kit.words import counted, listed, tr

VERBS = ("start", "stop", "restart")
LOGS_TAB = 1


class ProjectDetail(DetailCard):
    """One project. Signals: asked(verb)."""

    asked = Signal(str)

    def __init__(self, desk: Desk, session: EngineSession, applying: Applying, parent: QWidget | None = None) -> None:
        self.file = FileTab(desk, session, applying)
        self.members = Links(desk.theme, tr("It has no containers."))
        self.log = ProjectLog(desk.theme, desk.icons, session)
        self.graph = Graph(desk.theme, desk.icons)
        self.resources = Links(desk.theme, tr("It has neither networks nor volumes."))
        self.facts = FactsView(desk.theme, desk.icons, "info", tr("What it is"))
        views = (
            (tr("Containers"), self.members),
            (tr("Logs"), self.log),
            (tr("Graph"), self.graph),
            (tr("Networks, volumes"), self.resources),
            (tr("File"), self.file),
            (tr("Overview"), self.facts),
        )
        super().__init__(desk, views, tr("Views of the project"), parent)
        self.project: Project | None = None
        self.start = Button(desk.theme, desk.icons, tr("Start"), "play")
        self.stop = Button(desk.theme, desk.icons, tr("Stop"), "stop")
        self.build = Button(desk.theme, desk.icons, tr("Build"), "wrench")
        self.more = Button(desk.theme, desk.icons, icon="dots-three", name=tr("More"))
        for button in (self.start, self.stop, self.build, self.more):
            self.add_button(button)
        self.start.clicked.connect(lambda: self.asked.emit("start"))
        self.stop.clicked.connect(lambda: self.asked.emit("stop"))
        self.build.clicked.connect(lambda: self.asked.emit("build"))
        self.members.chosen.connect(lambda key: desk.go(Place("container", key)))
        self.members.acted.connect(lambda key: desk.go(Place("container", key, "logs")))
        self.graph.chosen.connect(self._on_service)
        self.resources.chosen.connect(lambda key: desk.go(Place(*key.split("/", 1))))
        self.tabs.currentChanged.connect(lambda _tab: self._show_tab())

    def show_project(self, project: Project) -> None:
        self.project = project
        self.tell(project.name, about=project.words)
        self.members.tell(
            [
                Linked(
                    key=c.id,
                    text=c.title,
                    note=", ".join(part for part in (c.image, _said(c), *(p.where for p in c.ports)) if part),
                    state=c.state,
                    act=tr("Logs"),
                )
                for c in project.containers
            ]
        )
        facts = [(tr("Folder"), project.folder or tr("not known"), True)]
        facts += [(tr("Compose file"), file, True) for file in project.files]
        self.facts.tell(facts)
        self.graph.show_project(project)
        self._tell_resources(project)
        free = not any(c.lost or c.doing for c in project.containers)
        self.start.setEnabled(free and project.running < len(project.containers))
        self.stop.setEnabled(free and project.running > 0)
        self.build.setEnabled(bool(project.files) and not any(c.lost for c in project.containers))
        self._show_tab()

    def _tell_resources(self, project: Project) -> None:
        links = [
            Linked(key=f"networks/{key}", text=name, note=tr("network of {names}", names=listed(members)))
            for key, (name, members) in project.networks.items()
        ]
        for volume in project.volumes:
            users = tuple(dict.fromkeys(c.title for c in project.containers if volume in c.volumes))
            note = tr("volume of {names}", names=listed(users))
            links.append(Linked(key=f"volumes/{volume}", text=volume_title(volume), note=note))
        self.resources.tell(links)

    def _on_service(self, service: str) -> None:
        if self.project is not None and (members := self.project.services.get(service)):
            self.desk.go(Place("container", members[0].id))

    def _show_tab(self) -> None:
        """Those that read something do it when they are seen."""
        if self.project is not None and self.stack.currentWidget() is self.file and self.isVisible():
            self.file.show_project(self.project)
        if self.project is not None and self.tabs.currentIndex() == LOGS_TAB and self.isVisible():
            self.log.show_project(self.project)
        else:
            self.log.stop()

    def leave(self) -> None:
        """The page is hidden: end the streams."""
        self.log.stop()


def _said(container: Container) -> str:
    """What a container does; of one that runs, that its health check passes."""
    return container.note or (tr("healthy") if container.is_running and container.health == "healthy" else "")


class ComposePage(TablePage[Project]):
    """All projects that have a container."""

    def __init__(
        self,
        desk: Desk,
        session: EngineSession,
        containers: ContainerModel,
        actions: ContainerActions,
        parent: QWidget | None = None,
    ) -> None:
        self._session, self._containers, self._actions = session, containers, actions
        self._asking = Latest(session.workers)
        self._applying = Applying(desk, session)
        self.card = ProjectDetail(desk, session, self._applying)
        first = Button(desk.theme, desk.icons, tr("Open compose file…"), "folder-open", kind="primary")
        first.clicked.connect(self._on_open)
        empty = EmptyPage(
            desk.theme,
            desk.icons,
            tr("No Compose projects"),
            tr("A compose file describes containers that belong together. Open one, or drop it here."),
            (first,),
            "cove compose up -d",
        )
        super().__init__(
            desk,
            title=tr("Compose"),
            columns=columns(),
            segments=segments(),
            which=tr("Which projects"),
            hint=tr("Filter by name, service"),
            key=lambda project: project.name,
            haystack=lambda p: "\n".join((p.name, p.folder, *(c.haystack for c in p.containers))),
            empty=empty,
            detail=self.card,
            bulk=(
                Act("start", "play", tr("Start")),
                Act("stop", "stop", tr("Stop")),
                Act("restart", "arrow-clockwise", tr("Restart")),
                Act("delete", "trash", tr("Delete…"), "Del"),
            ),
            parent=parent,
        )
        self.open_button = Button(desk.theme, desk.icons, tr("Open compose file…"), "folder-open")
        self.open_button.clicked.connect(self._on_open)
        self.add_button(self.open_button)
        self.setAcceptDrops(True)
        self.card.asked.connect(self._on_asked)
        self.card.more.clicked.connect(self._on_more)
        self.follow(*changes_of(containers))
        self.add_keys({"Ctrl+Shift+R": lambda: self.do("restart", self.view.targets())})

    def show_place(self, thing: str, tab: str) -> None:
        super().show_place(thing, tab)
        if tab == "logs":
            self.card.tabs.setCurrentIndex(LOGS_TAB)

    def leave(self) -> None:
        self.card.leave()

    def load(self) -> None:
        self.rows.load(projects(self._containers.containers()))

    # TablePage -------------------------------------------------------------------------------------------------------

    def summarize(self) -> str:
        found = self.rows.items()
        if not found:
            return ""
        running = sum(project.running for project in found)
        text = counted(len(found), "{n} project", "{n} projects")
        return counted(running, "{text}, {n} container running", "{text}, {n} containers running", text=text)

    def no_match_title(self, text: str) -> str:
        return tr("No project matches “{text}”", text=text) if text else tr("No project here")

    def acts(self, items: Sequence[Project]) -> Sequence[Act | None]:
        members = [container for project in items for container in project.containers]
        if any(container.lost for container in members):
            return ()
        acts: list[Act | None] = [act for act in self._actions.verbs(members) if act.key in VERBS]
        if len(items) == 1:
            acts.append(Act("logs", "article", tr("Logs")))
            if items[0].files:
                acts.append(Act("build", "wrench", tr("Build")))
        acts += [None, Act("copy", "copy-simple", tr("Copy name"), "Ctrl+C"), None]
        acts.append(Act("delete", "trash", tr("Delete…"), "Del"))
        return acts

    def do(self, key: str, items: Sequence[Project]) -> None:
        members = [container for project in items for container in project.containers]
        if key in VERBS:
            self._actions.ask(key, members)
        elif key == "logs":
            self.view.choose(items[0].name)
            self.card.tabs.setCurrentIndex(LOGS_TAB)
        elif key == "build" and items[0].files and not any(container.lost for container in members):
            self._build(Asked(files=items[0].files, name=items[0].name, texts={}))
        elif key == "copy":
            QGuiApplication.clipboard().setText("\n".join(project.name for project in items))
        elif key == "delete" and not any(container.lost for container in members):
            ask_delete(self.desk, self._session, items, self._asking)

    def _build(self, asked: Asked) -> None:
        task = BuildImages(self.desk, self._session, asked, lambda: self._applying.ask(asked))
        self.desk.tasks.add(task)
        task.start()

    def show_detail(self, item: Project) -> None:
        self.card.show_project(item)

    def _on_open(self) -> None:
        ask_sources(self.window(), tr("Open compose files"), self._applying.open)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        event.acceptProposedAction()
        self._applying.open([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])

    def _on_asked(self, verb: str) -> None:
        if self.card.project is not None:
            self.do(verb, [self.card.project])

    def _on_more(self) -> None:
        project = self.card.project
        if project is not None:
            open_below(self.card.more, self.desk.icons, self.acts([project]), lambda key: self.do(key, [project]))
