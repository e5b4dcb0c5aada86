"""The containers that a verb of `cove compose` works on: those of a project, of some services, or one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from desktop.cli.app import Failure
from desktop.cli.flags import Flag

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call
    from desktop.client.engine import EngineClient
    from desktop.compose.model.service import Service
    from desktop.compose.project import Project
    from desktop.compose.state import Container

INDEX = Flag("index", kind="int", help="The container of this number, if the service has several")


class Chosen(NamedTuple):
    """Containers of the project `name`. There is no `project` if -p names one whose files are elsewhere."""

    client: EngineClient
    name: str
    project: Project | None
    containers: list[Container]

    @property
    def services(self) -> dict[str, Service]:
        return dict(self.project.services) if self.project is not None else {}

    def groups(self) -> dict[str, list[Container]]:
        """The containers by service."""
        found: dict[str, list[Container]] = {}
        for one in self.containers:
            found.setdefault(one.service, []).append(one)
        return found

    def depends(self) -> dict[str, set[str]]:
        """The services that each one's containers were made to depend on."""
        return {name: {other for one in group for other in one.depends_on} for name, group in self.groups().items()}


def chosen(call: Call, names: Sequence[str], *, number: int | None = None) -> Chosen:
    """The project's containers, or those of some services; without those of `run`. Raises ComposeError, ApiError.

    `number`: only the containers of this number.
    """
    from desktop.compose.state import observe

    name, project = call.name_and_project(names)
    client = call.client()
    containers = [one for one in observe(client, name) if not one.is_oneoff and number in (None, one.number)]
    if project is not None:
        containers = [one for one in containers if one.service in project.services or one.service in names]
    if names:
        containers = [one for one in containers if one.service in names]
    return Chosen(client, name, project, containers)


def is_up(one: Container) -> bool:
    """It has a process, or will have one again."""
    return one.state in ("running", "paused", "restarting")


def one_container(call: Call, service: str, number: int | None, *, stopped: bool = False) -> Container:
    """The first container of a service, or that of a number. Raises Failure if it does not run, unless `stopped`."""
    for one in chosen(call, [service], number=number).containers:
        if stopped or is_up(one):
            return one
    if stopped:
        raise Failure(f'no container found for service "{service}"' + (f" #{number}" if number is not None else ""))
    what = "" if number is None else f" container #{number}"
    raise Failure(f'service "{service}" is not running{what}')
