"""Waiting until a service that others depend on is started, healthy, or has ended well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desktop.client.engine import EngineClient
from desktop.compose.errors import ComposeError
from desktop.compose.model.service import Dependency
from desktop.compose.order import together
from desktop.compose.rehearsal import Rehearsal
from desktop.compose.resources import Report
from desktop.compose.state import Container


def wait_for(
    client: EngineClient,
    name: str,
    containers: Sequence[Container],
    dependency: Dependency,
    report: Report,
    warn: Callable[[str], None],
) -> None:
    """Return when the service `name` meets the condition. Raises ComposeError as soon as it no longer can.

    If the dependency is not required, that is only a warning.
    """
    if dependency.condition == "service_started":
        return
    check = _healthy if dependency.condition == "service_healthy" else _completed
    try:
        together(containers, lambda one: check(client, name, one, report))
    except ComposeError as e:
        if dependency.required:
            raise
        warn(f"optional dependency {name!r} failed to start: {e}")


def _completed(client: EngineClient, name: str, one: Container, report: Report) -> None:
    report(f"Container {one.name}", "Waiting")
    status = client.wait(one.id)
    if status:
        report(f"Container {one.name}", f"Error: exit {status}")
        raise ComposeError(f"service {name!r} didn't complete successfully: exit {status}")
    report(f"Container {one.name}", "Exited")


def _healthy(client: EngineClient, name: str, one: Container, report: Report) -> None:
    report(f"Container {one.name}", "Waiting")
    wait_healthy(client, one)
    report(f"Container {one.name}", "Healthy")


def wait_healthy(client: EngineClient, one: Container, *, or_running: bool = False) -> None:
    """Return when the container is healthy; with `or_running` also when it runs and has no health check. In a dry run
    every container is."""
    if isinstance(client, Rehearsal):
        return
    filters = {"container": [one.id], "event": ["health_status", "die", "destroy"]}
    with client.events(filters=filters) as events:
        if _is_healthy(client, one, or_running=or_running):
            return
        for _ in events:
            if _is_healthy(client, one, or_running=or_running):
                return
    raise ComposeError(f"dependency failed to start: the engine ended the events of container {one.name}")


def _is_healthy(client: EngineClient, one: Container, *, or_running: bool) -> bool:
    state = client.inspect(one.id)["State"]
    if state["Status"] in ("exited", "dead"):
        raise ComposeError(f"dependency failed to start: container {one.name} exited ({state['ExitCode']})")
    health = (state.get("Health") or {}).get("Status")
    if health in (None, "none"):
        if or_running:
            return bool(state["Running"])
        raise ComposeError(f"dependency failed to start: container {one.name} has no healthcheck configured")
    if health == "unhealthy":
        raise ComposeError(f"dependency failed to start: container {one.name} is unhealthy")
    return bool(health == "healthy")
