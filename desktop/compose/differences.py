"""What an `up` of a project would change in an engine, and why: to be shown before it is done."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from desktop.client.api import path_part
from desktop.client.engine import ApiError, EngineClient
from desktop.compose import labels, order
from desktop.compose.model.service import Service
from desktop.compose.output import service_hash
from desktop.compose.project import Project
from desktop.compose.state import ENDED, Container, Recreate, named_services, observe, of_services, plan, resolved


class Change(StrEnum):
    CREATE = "create"
    RECREATE = "recreate"
    REMOVE = "remove"
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
    found = _resources(client, project)
    present = observe(client, project.name)
    made_anew: set[str] = set()
    for name in order.sequence({key: item.depends_on for key, item in project.services.items()}):
        changes = _of_service(client, project, project.services[name], present, made_anew, before)
        if any(one.change is Change.RECREATE for one in changes):
            made_anew.add(name)
        found += changes
    gone = [one for one in present if one.service not in project.every and not one.is_oneoff]
    return found + [Difference(one.name, Change.REMOVE, "its service is no longer in the file") for one in gone]


def _of_service(
    client: EngineClient,
    project: Project,
    service: Service,
    present: list[Container],
    made_anew: set[str],
    before: Project | None,
) -> list[Difference]:
    containers = of_services(present, [service.name])
    shared = {name: of_services(present, [name]) for name in named_services(service)}
    references = {name: members[0].id for name, members in shared.items() if members}
    wanted = service_hash(resolved(service, references))
    image = project.image_of(service)
    image_id = _image_id(client, image)
    # An image that is missing is fetched, and then is another one or not.
    known = image_id or next((one.labels.get(labels.IMAGE, "") for one in containers), "")
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
    for number in todo.create:
        name = service.container_name or project.own_name(service.name, str(number))
        found.append(
            Difference(name, Change.CREATE, "there is none" if image_id else f"there is none; {image} is fetched")
        )
    return found


def _why(service: Service, before: Project | None, one: Container, references: dict[str, str]) -> str:
    old = before.every.get(service.name) if before is not None else None
    if old is None or service_hash(resolved(old, references)) != one.labels.get(labels.HASH):
        return "the file says something else than when it was made"
    keys = [
        field.name for field in dataclasses.fields(Service) if getattr(old, field.name) != getattr(service, field.name)
    ]
    return f"its {', '.join(keys)} changed"


def _resources(client: EngineClient, project: Project) -> list[Difference]:
    found = []
    for kind, items in (("network", project.networks), ("volume", project.volumes)):
        for item in items.values():
            if not item.external and not _exists(client, f"/{kind}s/{path_part(item.name)}"):
                found.append(Difference(f"{kind} {item.name}", Change.CREATE, "there is none"))
    return found


def _exists(client: EngineClient, path: str) -> bool:
    try:
        client.json_object("GET", path)
    except ApiError as e:
        if e.status == 404:
            return False
        raise
    return True


def _image_id(client: EngineClient, image: str) -> str:
    """Empty if the engine lacks it."""
    try:
        return str(client.image_inspect(image)["Id"])
    except ApiError as e:
        if e.status == 404:
            return ""
        raise
