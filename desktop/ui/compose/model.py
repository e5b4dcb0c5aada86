"""Compose projects: the containers that carry a project's label, as one thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from desktop.ui.feed.container import Container, Port
from desktop.ui.kit.elide import fit_start
from desktop.ui.kit.rows import Cell, Column, Segment
from desktop.ui.kit.states import WORST_FIRST, State
from desktop.ui.kit.words import natural, tr

FOLDER_LABEL = "com.docker.compose.project.working_dir"
DEPENDS_LABEL = "com.docker.compose.depends_on"
FILES_LABEL = "com.docker.compose.project.config_files"


def worst(containers: Iterable[Container]) -> State:
    """The state of several containers as one."""
    states = {container.state for container in containers}
    return next((state for state in WORST_FIRST if state in states), State.STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One project with its containers, by name."""

    name: str
    containers: tuple[Container, ...]

    @property
    def running(self) -> int:
        return sum(container.is_running for container in self.containers)

    @property
    def state(self) -> State:
        return worst(self.containers)

    @property
    def words(self) -> str:
        return tr("{n} of {total} running", n=self.running, total=len(self.containers))

    @property
    def folder(self) -> str:
        """Where its compose file is, as the tool that made it has said."""
        return next((c.labels[FOLDER_LABEL] for c in self.containers if c.labels.get(FOLDER_LABEL)), "")

    @property
    def files(self) -> tuple[str, ...]:
        text = next((c.labels[FILES_LABEL] for c in self.containers if c.labels.get(FILES_LABEL)), "")
        return tuple(file for file in text.split(",") if file)

    @property
    def ports(self) -> tuple[Port, ...]:
        return tuple(port for container in self.containers if container.is_running for port in container.ports)

    @property
    def services(self) -> dict[str, tuple[Container, ...]]:
        """Its containers by service."""
        found: dict[str, list[Container]] = {}
        for container in self.containers:
            found.setdefault(container.title, []).append(container)
        return {name: tuple(members) for name, members in found.items()}

    @property
    def dependencies(self) -> dict[str, dict[str, str]]:
        """By service, those that it starts after, each with what is waited for, as the containers' labels say."""
        found: dict[str, dict[str, str]] = {name: {} for name in self.services}
        for container in self.containers:
            for entry in container.labels.get(DEPENDS_LABEL, "").split(","):
                name, _, rest = entry.partition(":")
                if name in found and name != container.title:
                    found[container.title][name] = rest.partition(":")[0]
        return found

    @property
    def networks(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """By the ids of the networks that its containers are in: the name, and which services are in it."""
        found: dict[str, tuple[str, tuple[str, ...]]] = {}
        for container in self.containers:
            for end in container.networks:
                _, members = found.get(end.network_id, ("", ()))
                found[end.network_id] = (end.network, tuple(dict.fromkeys((*members, container.title))))
        return found

    @property
    def volumes(self) -> tuple[str, ...]:
        return tuple(sorted({volume for container in self.containers for volume in container.volumes}))


def projects(containers: Iterable[Container]) -> list[Project]:
    """The projects that `containers` belong to."""
    members: dict[str, list[Container]] = {}
    for container in containers:
        if container.project:
            members.setdefault(container.project, []).append(container)
    return [
        Project(name=name, containers=tuple(sorted(found, key=lambda c: natural(c.title))))
        for name, found in members.items()
    ]


def layers(dependencies: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The services in the order of their starts: those of one layer need only what the layers before have. Services
    that wait for each other, which labels of several versions of a file can say, are in the last one."""
    left = {name: {other for other in needed if other in dependencies} for name, needed in dependencies.items()}
    found: list[list[str]] = []
    while left:
        ready = sorted((name for name, needed in left.items() if not needed & left.keys()), key=natural)
        found.append(ready or sorted(left, key=natural))
        for name in found[-1]:
            del left[name]
    return found


def columns() -> tuple[Column[Project], ...]:
    return (
        Column(
            title=tr("Name"),
            cell=lambda p: Cell(text=p.name, state=p.state, role="name", tone="text"),
            order=lambda p: natural(p.name),
            share=3,
        ),
        Column(
            title=tr("Containers"),
            cell=lambda p: Cell(text=p.words, role="body"),
            order=lambda p: p.running,
            descends=True,
            fit=fit_start,
            width=132,
        ),
        Column(
            title=tr("Ports"),
            cell=lambda p: Cell(text=", ".join(str(port.host_port) for port in p.ports), role="body"),
            fit=fit_start,
            share=2,
        ),
    )


def segments() -> tuple[Segment[Project], ...]:
    return (
        Segment(tr("All"), lambda p: True),
        Segment(tr("Running"), lambda p: p.running > 0),
        Segment(tr("Stopped"), lambda p: p.running == 0),
        Segment(tr("Problems"), lambda p: p.state is State.PROBLEM),
    )
