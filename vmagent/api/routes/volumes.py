"""Volumes."""

from __future__ import annotations

from vmagent.api import bodies
from vmagent.api.messages import NO_CONTENT, Request, Response, Version, json_response
from vmagent.api.parameters import filters, is_anonymous_only
from vmagent.api.router import Router
from vmagent.engine.engine import Engine
from vmagent.errors import Unavailable

LIST_FILTERS = frozenset(("dangling", "driver", "label", "name"))
PRUNE_FILTERS = frozenset(("all", "label", "label!"))


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints of volumes."""
    routes = _Volumes(engine)
    router.add("GET", "/volumes", routes.list)
    router.add("POST", "/volumes/create", routes.create)
    router.add("POST", "/volumes/prune", routes.prune)
    router.add("GET", "/volumes/{name}", routes.inspect)
    router.add("PUT", "/volumes/{name}", routes.update)
    router.add("DELETE", "/volumes/{name}", routes.remove)


class _Volumes:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self, request: Request) -> Response:
        volumes = await self._engine.volumes.list(filters(request.query, LIST_FILTERS))
        return json_response({"Volumes": volumes, "Warnings": None})

    async def inspect(self, request: Request) -> Response:
        return json_response(await self._engine.volumes.inspect(request.params["name"]))

    async def create(self, request: Request) -> Response:
        return json_response(
            await self._engine.volumes.create(bodies.volume_create(await request.json(optional=True), "")), 201
        )

    async def remove(self, request: Request) -> Response:
        query = request.query
        await self._engine.volumes.remove(
            request.params["name"], force=query.flag("force"), restorable=query.flag("restorable")
        )
        return NO_CONTENT

    async def update(self, request: Request) -> Response:
        raise Unavailable("this node is not a swarm manager: only cluster volumes can be updated")

    async def prune(self, request: Request) -> Response:
        wanted = filters(request.query, PRUNE_FILTERS)
        everything = wanted.pop("all", [])
        only_anonymous = request.version >= Version(1, 42) and is_anonymous_only(everything)
        return json_response(await self._engine.volumes.prune(wanted, anonymous_only=only_anonymous))
