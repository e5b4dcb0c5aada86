"""What the engine has of a project, known by its labels, and what a service needs to become of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from desktop.client.api import Query, path_part
from desktop.client.engine import ApiError, EngineClient
from desktop.compose import labels
from desktop.compose.errors import ComposeError
from desktop.compose.model.service import Service
from desktop.compose.project import Project

ENDED = ("created", "exited", "dead")  # states of a container without a process


@dataclass(frozen=True, slots=True)
class Container:
    """A container of the project. `listed` is the API's own entry."""

    id: str
    name: str
    service: str
    number: int
    state: str
    labels: Mapping[str, str]
    listed: Mapping[str, Any]

    @property
    def is_oneoff(self) -> bool:
        return self.labels.get(labels.ONEOFF) == "True"

    @property
    def depends_on(self) -> set[str]:
        """The services that it depends on, as its label says them."""
        entries = self.labels.get(labels.DEPENDS_ON, "").split(",")
        return {entry.split(":")[0] for entry in entries if entry}


def observe(client: EngineClient, project: str, *, all: bool = True) -> list[Container]:
    """The containers of a project, in the order of their services and numbers. Raises ApiError, ConnectionFailed."""
    return _containers(client.containers(all, filters=_of_project(project)))


def _of_project(project: str) -> dict[str, list[str]]:
    return {"label": [f"{labels.PROJECT}={project}"]}


def _containers(listed: Iterable[Mapping[str, Any]]) -> list[Container]:
    containers = []
    for item in listed:
        marks = item.get("Labels") or {}
        names = [str(name).lstrip("/") for name in item.get("Names") or ()]
        name = next((one for one in names if "/" not in one), item["Id"][:12])
        number = str(marks.get(labels.NUMBER, ""))
        containers.append(
            Container(
                item["Id"], name, marks.get(labels.SERVICE, ""), int(number) if number.isdecimal() else 0,
                item.get("State", ""), marks, item,
            )
        )  # fmt: skip
    return sorted(containers, key=lambda one: (one.service, one.number, one.name))


@dataclass(frozen=True, slots=True)
class Present:
    """What the engine has of a project: its containers, and by name the networks and volumes, as listed, and the IDs
    of images."""

    containers: list[Container]
    networks: Mapping[str, Mapping[str, Any]]
    volumes: Mapping[str, Mapping[str, Any]]
    images: Mapping[str, str]


def look(client: EngineClient, project: Project) -> Present:
    """All that decides what becomes of a project, by requests that are under way at the same time.

    Raises ApiError, ConnectionFailed.
    """
    images = sorted({project.image_of(item) for item in project.services.values()})
    networks = [item.name for item in project.networks.values()]
    volumes = [item.name for item in project.volumes.values()]
    asked: list[tuple[str, Query | None]] = [
        ("/containers/json", {"all": True, "filters": _of_project(project.name)}),
        *((f"/images/{path_part(image)}/json", None) for image in images),
    ]
    # A list has the same facts as what each one says of itself, and names of which these are parts as well.
    asked += [("/networks", {"filters": {"name": networks}})] if networks else []
    asked += [("/volumes", {"filters": {"name": volumes}})] if volumes else []
    containers, *found = client.get_all(asked)
    answers = iter([_there(answer) for answer in found])
    ids = {image: str(answer["Id"]) for image in images if (answer := next(answers)) is not None}
    listed_networks = (next(answers) if networks else None) or ()
    listed_volumes = ((next(answers) if volumes else None) or {}).get("Volumes") or ()
    return Present(
        _containers(_there(containers) or ()),
        {item["Name"]: item for item in listed_networks},
        {item["Name"]: item for item in listed_volumes},
        ids,
    )


def _there(answer: Any) -> Any:
    """None for an error 404. Raises other ApiErrors."""
    if isinstance(answer, ApiError):
        if answer.status == 404:
            return None
        raise answer
    return answer


@dataclass(frozen=True, slots=True)
class Listed:
    """A project that the engine has containers of: `status` counts their states (`exited(1), running(2)`)."""

    name: str
    status: str
    files: str


def projects(client: EngineClient, *, all: bool = False) -> list[Listed]:
    """All projects by name; those of which nothing runs only with `all`. Raises ApiError, ConnectionFailed."""
    states: dict[str, dict[str, int]] = {}
    files: dict[str, dict[str, None]] = {}
    for item in client.containers(all, filters={"label": [labels.PROJECT]}):
        marks = item.get("Labels") or {}
        name = marks[labels.PROJECT]
        counts = states.setdefault(name, {})
        counts[item["State"]] = counts.get(item["State"], 0) + 1
        files.setdefault(name, {}).update(dict.fromkeys(filter(None, marks.get(labels.FILES, "").split(","))))
    return [
        Listed(name, ", ".join(f"{state}({count})" for state, count in sorted(counts.items())), ",".join(files[name]))
        for name, counts in sorted(states.items())
    ]


def of_services(containers: Iterable[Container], services: Iterable[str]) -> list[Container]:
    """The containers of some services, without those of `run`."""
    wanted = set(services)
    return [one for one in containers if one.service in wanted and not one.is_oneoff]


def orphans(containers: Iterable[Container], services: Collection[str]) -> list[Container]:
    """The containers whose service is none of the project's, without those of `run`."""
    return [one for one in containers if one.service not in services and not one.is_oneoff]


def shared_one(containers: Iterable[Container]) -> Container | None:
    """Of a service's containers, the one whose namespaces and volumes other services share; None if there is none."""
    return min(containers, key=lambda one: one.name, default=None)


def image_id(client: EngineClient, image: str) -> str | None:
    """None if the engine lacks it. Raises ApiError, ConnectionFailed."""
    try:
        return str(client.image_inspect(image)["Id"])
    except ApiError as e:
        if e.status == 404:
            return None
        raise


class Recreate(StrEnum):
    """When a container is made anew."""

    CHANGED = "changed"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a service's containers; `create` are the numbers of new ones."""

    keep: tuple[Container, ...]
    recreate: tuple[Container, ...]
    remove: tuple[Container, ...]
    create: tuple[int, ...]

    @property
    def changes(self) -> bool:
        """Whether a container is made or removed."""
        return bool(self.recreate or self.remove or self.create)


def plan(service: Service, service_hash: str, image: str, containers: Iterable[Container], recreate: Recreate) -> Plan:
    """`image` is the ID of the service's image. Surplus containers that no longer fit go first."""

    def is_old(one: Container) -> bool:
        if recreate is not Recreate.CHANGED:
            return recreate is Recreate.ALWAYS
        return one.labels.get(labels.HASH) != service_hash or one.labels.get(labels.IMAGE, image) != image

    present = sorted(containers, key=lambda one: (is_old(one), one.number))
    kept, surplus = present[: service.replicas], present[service.replicas :]
    first = max((one.number for one in present), default=0) + 1
    return Plan(
        keep=tuple(one for one in kept if not is_old(one)),
        recreate=tuple(one for one in kept if is_old(one)),
        remove=tuple(surplus),
        create=tuple(range(first, first + service.replicas - len(kept))),
    )


def resolved(service: Service, references: Mapping[str, str]) -> Service:
    """The service with container IDs where it names other services, as its hash is computed from; itself if it names
    none."""
    if not references and not service.volumes_from:
        return service

    def shared(mode: str) -> str:
        name = mode.removeprefix("service:")
        return f"container:{references.get(name, '')}" if name != mode else mode

    def source(text: str) -> str:
        parts = text.split(":")
        return parts[1] if parts[0] == "container" else references.get(parts[0], "")

    return replace(
        service,
        network_mode=shared(service.network_mode),
        ipc=shared(service.ipc),
        pid=shared(service.pid),
        volumes_from=tuple(source(text) for text in service.volumes_from),
    )


def named_services(service: Service) -> set[str]:
    """The services whose containers this one shares namespaces or volumes with."""
    modes = (service.network_mode, service.ipc, service.pid)
    found = {mode.removeprefix("service:") for mode in modes if mode.startswith("service:")}
    return found | {text.split(":")[0] for text in service.volumes_from if not text.startswith("container:")}


def restarts(service: Service, recreated: Collection[str]) -> list[str]:
    """The services, of those made anew, with which this one's running containers are restarted."""
    return [name for name, dependency in service.depends_on.items() if dependency.restart and name in recreated]


def check_services(names: Iterable[str], known: Iterable[str]) -> None:
    """Raises ComposeError for a name that no service has."""
    every = set(known)
    for name in names:
        if name not in every:
            raise ComposeError(f"no such service: {name}")
