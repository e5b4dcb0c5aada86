"""Deleting projects: their containers and networks, and on request their volumes, all named in the dialog before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus

from desktop.client.engine import ApiError, EngineClient
from desktop.ui.compose.model import Project
from desktop.ui.feed.container import PROJECT_LABEL, volume_title
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.page import Desk
from desktop.ui.kit.states import State
from desktop.ui.kit.tasks import Task
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import counted, sentence, shortened, tr

Networks = Mapping[str, Mapping[str, str]]  # by project: the name of each network, by its id


class DeleteProject(Task):
    """Deletes one project's containers, then these networks, by their ids, then these volumes."""

    def __init__(
        self, session: EngineSession, project: Project, networks: Sequence[str], volumes: Sequence[str]
    ) -> None:
        super().__init__(session)
        self._session, self._project = session, project
        self._networks, self._volumes = tuple(networks), tuple(volumes)

    @property
    def title(self) -> str:
        return tr("Deleting project {name}", name=self._project.name)

    def start(self) -> None:
        client = self._session.client
        self._session.workers.run(lambda: self._work(client), lambda _none: self.end(), lambda e: self.end(str(e)))

    def _work(self, client: EngineClient) -> None:
        for container in self._project.containers:
            _remove(partial(client.remove, container.id, force=True))
        for network in self._networks:
            _remove(partial(client.network_remove, network))
        for volume in self._volumes:
            _remove(partial(client.volume_remove, volume))

    def report(self) -> Message:
        name = self._project.name
        if self.problem:
            return Message(tr("Project {name} was not deleted completely", name=name), self.problem, State.PROBLEM)
        return Message(tr("Project {name} was deleted", name=name))


def _remove(request: Callable[[], None]) -> None:
    """What somebody else has removed since the question is as it should be. Raises ApiError."""
    try:
        request()
    except ApiError as e:
        if e.status != HTTPStatus.NOT_FOUND:
            raise


def ask_delete(desk: Desk, session: EngineSession, projects: Sequence[Project], latest: Latest) -> None:
    """Read which networks `projects` have, ask, then delete. `latest`: the page's, so that one question is asked."""
    client = session.client

    def read() -> Networks:
        found: dict[str, dict[str, str]] = {project.name: {} for project in projects}
        for network in client.networks():
            project = (network.get("Labels") or {}).get(PROJECT_LABEL)
            if project in found:
                found[project][str(network["Id"])] = str(network["Name"])
        return found

    def failed(error: Exception) -> None:
        desk.toasts.tell(tr("The project's networks could not be read"), sentence(str(error)), State.PROBLEM)

    if projects:
        latest.run(read, lambda networks: _ask(desk, session, projects, networks), failed)


def _ask(desk: Desk, session: EngineSession, projects: Sequence[Project], found: Networks) -> None:
    containers = [container.name for project in projects for container in project.containers]
    volumes = sorted({volume for project in projects for volume in project.volumes})
    running = sum(project.running for project in projects)
    networks = [name for project in projects for name in found[project.name].values()]
    one = projects[0].name
    if len(projects) == 1:
        facts = [tr("What is listed above goes: the project's containers and networks.")]
    else:
        facts = [
            tr(
                "What is listed above goes: containers and networks of {names}.",
                names=", ".join(p.name for p in projects),
            )
        ]
    if running:
        facts.append(counted(running, "{n} runs and is stopped first.", "{n} run and are stopped first."))
    facts.append(tr("Images stay. The compose file is not touched."))
    if volumes:
        facts.append(
            counted(
                len(volumes),
                "Volume {names} stays, unless the box is ticked.",
                "Volumes {names} stay, unless the box is ticked.",
                names=", ".join(volume_title(name) for name in volumes),
            )
        )
    many = counted(len(projects), "Delete {n} project", "Delete {n} projects")

    def sure(with_volumes: bool) -> None:
        for project in projects:
            task = DeleteProject(session, project, list(found[project.name]), project.volumes if with_volumes else ())
            desk.tasks.add(task)
            task.start()

    Question(
        desk.theme,
        desk.icons,
        desk.window,
        title=tr("Delete project {name}?", name=one) if len(projects) == 1 else f"{many}?",
        facts=facts,
        verb=tr("Delete {name}", name=shortened(one)) if len(projects) == 1 else many,
        safe=tr("Keep it") if len(projects) == 1 else tr("Keep them"),
        checkbox=counted(len(volumes), "Delete its volume too", "Delete {n} volumes too") if volumes else "",
        names=[*containers, *networks],
        sure=sure,
    ).open()
