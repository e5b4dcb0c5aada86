"""`stop`, `down` and the like: services in reverse order, those that nothing depends on at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from desktop.client.engine import ApiError, EngineClient
from desktop.compose import hooks, order
from desktop.compose.model.service import Service
from desktop.compose.resources import Report
from desktop.compose.state import ENDED, Container

Services = Mapping[str, Service]  # those that are known from files; containers of others are stopped as well


def backwards(containers: Sequence[Container], work: Callable[[Container], None]) -> None:
    """Call `work` for every container, all of a service at once, each service after those that depend on it."""
    groups: dict[str, list[Container]] = {}
    for one in containers:
        groups.setdefault(one.service, []).append(one)
    depends = {name: {other for one in group for other in one.depends_on} for name, group in groups.items()}
    order.each(order.reverse(depends), lambda name: order.together(groups[name], work))


def stop(
    client: EngineClient, containers: Sequence[Container], services: Services, timeout_s: int | None, report: Report
) -> None:
    """Stop what runs. Raises ApiError, ComposeError."""

    backwards(containers, lambda one: _stop(client, one, services, timeout_s, report))


def _stop(client: EngineClient, one: Container, services: Services, timeout_s: int | None, report: Report) -> None:
    if one.state in ENDED:
        return
    report(f"Container {one.name}", "Stopping")
    before_stop(client, one, services)
    client.stop(one.id, timeout_s)
    report(f"Container {one.name}", "Stopped")


def before_stop(client: EngineClient, one: Container, services: Services) -> None:
    """Run the service's `pre_stop` hooks if the container runs."""
    if one.state == "running" and one.service in services:
        hooks.run(client, one, services[one.service].pre_stop, "pre_stop")


def kill(client: EngineClient, containers: Iterable[Container], signal: str, report: Report) -> None:
    """Send a signal to what runs."""

    def one_kill(one: Container) -> None:
        report(f"Container {one.name}", "Killing")
        try:
            client.kill(one.id, signal)
        except ApiError as e:
            if e.status != 409:  # it has ended meanwhile
                raise
        report(f"Container {one.name}", "Killed")

    order.together([one for one in containers if one.state in ("running", "paused")], one_kill)


def remove(
    client: EngineClient, containers: Sequence[Container], report: Report, *, volumes: bool = False, force: bool = False
) -> None:
    """Remove containers, with their anonymous volumes if `volumes`."""

    def one_remove(one: Container) -> None:
        report(f"Container {one.name}", "Removing")
        try:
            client.remove(one.id, force=force, volumes=volumes)
        except ApiError as e:
            if e.status != 404:
                raise
        report(f"Container {one.name}", "Removed")

    order.together(containers, one_remove)


def stop_and_remove(
    client: EngineClient,
    containers: Sequence[Container],
    services: Services,
    timeout_s: int | None,
    report: Report,
    *,
    volumes: bool = False,
) -> None:
    """Stop and remove in reverse order: a container goes as soon as it has stopped."""

    def work(one: Container) -> None:
        _stop(client, one, services, timeout_s, report)
        remove(client, [one], report, volumes=volumes, force=True)

    backwards(containers, work)
