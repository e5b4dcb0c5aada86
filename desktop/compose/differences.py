"""What an `up` of a project would change in an engine, and why: to be shown before it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from desktop.client.engine import EngineClient
from desktop.compose import labels, order
from desktop.compose.model.service import Service
from desktop.compose.output import service_hash
from desktop.compose.project import Project
from desktop.compose.state import (
    ENDED,
    Container,
    Present,
    Recreate,
    look,
    named_services,
    of_services,
    orphans,
    plan,
    resolved,
    restarts,
    shared_one,
)


class Change(StrEnum):
    CREATE = "create"
    RECREATE = "recreate"
    REMOVE = "remove"
    RESTART = "restart"
    START = "start"


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is a container, a network or a volume (`network shop_default`); `why` half a sentence."""

    what: str
    change: Change
    why: str


def differences(client: EngineClient, project: Project, before: Project | None = None) -> list[Difference]:
    """In the order of the services' starts. `before` is the project as its containers were made, if that is known: its
    changed keys are named. Raises ApiError, ConnectionFailed, ComposeError."""
    seen = look(client, project)
    found = _resources(project, seen)
    present = seen.containers
    made_anew: set[str] = set()
    for name in order.sequence({key: item.depends_on for key, item in project.services.items()}):
        changes = _of_service(project, project.services[name], present, seen.images, made_anew, before)
        if any(one.change is Change.RECREATE for one in changes):
            made_anew.add(name)
        found += changes
    gone = orphans(present, project.every)
    return found + [Difference(one.name, Change.REMOVE, "its service is no longer in the file") for one in gone]


def _of_service(
    project: Project,
    service: Service,
    present: list[Container],
    image_ids: Mapping[str, str],
    made_anew: set[str],
    before: Project | None,
) -> list[Difference]:
    containers = of_services(present, [service.name])
    shared = {name: of_services(present, [name]) for name in named_services(service)}
    references = {name: one.id for name, members in shared.items() if (one := shared_one(members)) is not None}
    wanted = service_hash(resolved(service, references))
    image = project.image_of(service)
    # An image that is missing is fetched, and then is another one or not.
    known = image_ids.get(image) or next((one.labels.get(labels.IMAGE, "") for one in containers), "")
    todo = plan(service, wanted, known, containers, Recreate.CHANGED)
    anew = sorted(made_anew & shared.keys())
    found = [Difference(one.name, Change.REMOVE, f"{service.replicas} are wanted") for one in todo.remove]
    for one in todo.recreate:
        why = _why(service, before, one, references) if one.labels.get(labels.HASH) != wanted else ""
        found.append(Difference(one.name, Change.RECREATE, why or f"{image} is another image now"))
    for one in todo.keep:
        if anew:
            found.append(Difference(one.name, Change.RECREATE, f"it shares what {anew[0]} has, which is made anew"))
        elif one.state in ENDED:
            found.append(Difference(one.name, Change.START, "it does not run"))
        elif one.state == "paused":
            found.append(Difference(one.name, Change.START, "it is paused"))
        elif one.state == "running" and (followed := restarts(service, made_anew)):
            found.append(Difference(one.name, Change.RESTART, f"{followed[0]}, which it depends on, is made anew"))
    why = "there is none"
    if image not in image_ids:
        why += f"; {image} is built" if service.build is not None else f"; {image} is fetched"
    for number in todo.create:
        name = service.container_name or project.own_name(service.name, str(number))
        found.append(Difference(name, Change.CREATE, why))
    return found


def _why(service: Service, before: Project | None, one: Container, references: dict[str, str]) -> str:
    old = before.every.get(service.name) if before is not None else None
    if old is None or service_hash(resolved(old, references)) != one.labels.get(labels.HASH):
        return "the file says something else than when it was made"
    keys = [
        field.name for field in dataclasses.fields(Service) if getattr(old, field.name) != getattr(service, field.name)
    ]
    return f"its {', '.join(keys)} changed"


def _resources(project: Project, present: Present) -> list[Difference]:
    missing = [
        f"network {item.name}"
        for item in project.networks.values()
        if not item.external and item.name not in present.networks
    ]
    missing += [
        f"volume {item.name}"
        for item in project.volumes.values()
        if not item.external and item.name not in present.volumes
    ]
    return [Difference(what, Change.CREATE, "there is none") for what in missing]
