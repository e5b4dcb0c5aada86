"""The endpoints, one module per domain. Each has `add(router, engine)`; `add_all` makes the whole table."""

from __future__ import annotations

from collections.abc import Callable

from vmagent.api.buildkit import BuildKitWire
from vmagent.api.router import Router
from vmagent.api.routes import (
    archive,
    attach,
    build,
    containers,
    cove,
    covebin,
    covevolumes,
    execs,
    images,
    logs,
    networks,
    swarm,
    system,
    volumes,
)
from vmagent.engine.engine import Engine


def add_all(router: Router, engine: Engine, wire: BuildKitWire, activity: Callable[[], cove.Activity]) -> None:
    """Fill `router` with every endpoint we serve. `activity` is the server's."""
    for domain in (
        containers,
        attach,
        logs,
        execs,
        archive,
        images,
        networks,
        volumes,
        system,
        swarm,
        covebin,
        covevolumes,
    ):
        domain.add(router, engine)
    cove.add(router, engine, activity)
    build.add(router, engine, wire)
    wire.add(router)
