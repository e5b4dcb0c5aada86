"""Deleting projects: their containers and networks, and on request their volumes, all named in the dialog."""

from __future__ import annotations

from collections.abc import Sequence

from desktop.client.engine import EngineClient
from desktop.ui.compose.model import Project
from desktop.ui.feed.container import PROJECT_LABEL, volume_title
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.page import Desk
from desktop.ui.kit.states import State
from desktop.ui.kit.tasks import Task
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import counted, listed, shortened, tr


class DeleteProject(Task):
    """Deletes one project's containers, then its networks, then the volumes that were named."""

    def __init__(self, session: EngineSession, project: Project, volumes: Sequence[str]) -> None:
        super().__init__(session)
        self._session, self._project, self._volumes = session, project, tuple(volumes)

    @property
    def title(self) -> str:
        return tr("Deleting project {name}", name=self._project.name)

    def start(self) -> None:
        client = self._session.client
        self._session.workers.run(lambda: self._work(client), lambda _none: self.end(), lambda e: self.end(str(e)))

    def _work(self, client: EngineClient) -> None:
        for container in self._project.containers:
            client.remove(container.id, force=True)
        for network in client.networks():
            if (network.get("Labels") or {}).get(PROJECT_LABEL) == self._project.name:
                client.network_remove(str(network["Id"]))
        for volume in self._volumes:
            client.volume_remove(volume)

    def report(self) -> Message:
        name = self._project.name
        if self.problem:
            return Message(tr("Project {name} was not deleted completely", name=name), self.problem, State.PROBLEM)
        return Message(tr("Project {name} was deleted", name=name))


def ask_delete(desk: Desk, session: EngineSession, projects: Sequence[Project]) -> None:
    """Ask, then delete `projects`."""
    if not projects:
        return
    containers = [container.name for project in projects for container in project.containers]
    volumes = sorted({volume for project in projects for volume in project.volumes})
    running = sum(project.running for project in projects)
    facts = [
        counted(
            len(containers), "Its container goes: {names}.", "Its containers go: {names}.", names=listed(containers)
        )
        if len(projects) == 1
        else tr("Their containers go: {names}.", names=listed(containers))
    ]
    if running:
        facts.append(counted(running, "{n} runs and is stopped first.", "{n} run and are stopped first."))
    facts.append(tr("Networks of the project go too; images stay. Its compose file is not touched."))
    if volumes:
        facts.append(
            counted(
                len(volumes),
                "Volume {names} stays, unless the box is ticked.",
                "Volumes {names} stay, unless the box is ticked.",
                names=listed([volume_title(name) for name in volumes]),
            )
        )
    one = projects[0].name
    many = counted(len(projects), "Delete {n} project", "Delete {n} projects")

    def sure(with_volumes: bool) -> None:
        for project in projects:
            task = DeleteProject(session, project, project.volumes if with_volumes else ())
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
        sure=sure,
    ).open()
