"""Swarm and plugins, which this engine does not have. The replies are those of a docker outside a swarm."""

from __future__ import annotations

from vmagent.api.messages import Request, Response
from vmagent.api.router import Router
from vmagent.engine.engine import Engine
from vmagent.errors import NotFound, NotImplementedHere, Unavailable


def add(router: Router, _: Engine) -> None:
    """Add the endpoints of swarm and plugins."""
    for kind in ("nodes", "services", "tasks", "secrets", "configs"):
        router.add("GET", f"/{kind}", _no_swarm)
        router.add("GET", f"/{kind}/{{id}}", _no_swarm)
        router.add("POST", f"/{kind}/create", _no_swarm)
        router.add("POST", f"/{kind}/{{id}}/update", _no_swarm)
        router.add("DELETE", f"/{kind}/{{id}}", _no_swarm)
        router.add("GET", f"/{kind}/{{id}}/logs", _no_swarm)
    for path in ("/swarm", "/swarm/unlockkey"):
        router.add("GET", path, _no_swarm)
    for verb in ("leave", "update", "unlock"):
        router.add("POST", f"/swarm/{verb}", _no_swarm)
    for verb in ("init", "join"):
        router.add("POST", f"/swarm/{verb}", _never_swarm)
    router.add("GET", "/plugins/privileges", _no_plugins)
    router.add("POST", "/plugins/pull", _no_plugins)
    router.add("GET", "/plugins/{name...}/json", _no_plugin)
    router.add("DELETE", "/plugins/{name...}", _no_plugin)


async def _no_swarm(_: Request) -> Response:
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to '
        "swarm and try again."
    )


async def _never_swarm(_: Request) -> Response:
    raise NotImplementedHere("this engine has no swarm mode")


async def _no_plugins(_: Request) -> Response:
    raise NotImplementedHere("this engine has no plugins")


async def _no_plugin(request: Request) -> Response:
    raise NotFound(f'plugin "{request.params["name"]}" not found')
