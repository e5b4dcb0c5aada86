"""Networks."""

from __future__ import annotations

from vmagent.api import bodies
from vmagent.api.messages import EMPTY_OK, NO_CONTENT, Request, Response, json_response
from vmagent.api.parameters import filters
from vmagent.api.router import Router
from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.engine import Engine
from vmagent.errors import BadRequest

LIST_FILTERS = frozenset(("dangling", "driver", "id", "label", "name", "scope", "type"))
PRUNE_FILTERS = frozenset(("label", "label!", "until"))


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints of networks."""
    routes = _Networks(engine)
    router.add("GET", "/networks", routes.list)
    router.add("GET", "/networks/", routes.list)
    router.add("POST", "/networks/create", routes.create)
    router.add("POST", "/networks/prune", routes.prune)
    router.add("GET", "/networks/{id}", routes.inspect)
    router.add("DELETE", "/networks/{id}", routes.remove)
    router.add("POST", "/networks/{id}/connect", routes.connect)
    router.add("POST", "/networks/{id}/disconnect", routes.disconnect)


class _Networks:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self, request: Request) -> Response:
        return json_response(await self._engine.networks.list(filters(request.query, LIST_FILTERS)))

    async def inspect(self, request: Request) -> Response:
        return json_response(await self._engine.networks.inspect(request.params["id"]))

    async def create(self, request: Request) -> Response:
        return json_response(await self._engine.networks.create(bodies.network_create(await request.json(), "")), 201)

    async def remove(self, request: Request) -> Response:
        await self._engine.networks.remove(request.params["id"])
        return NO_CONTENT

    async def connect(self, request: Request) -> Response:
        body = bodies.network_connect(await request.json(), "")
        endpoint = body.get("EndpointConfig", {})
        await self._engine.networks.connect(request.params["id"], _container(body), endpoint)
        return EMPTY_OK

    async def disconnect(self, request: Request) -> Response:
        body = bodies.network_disconnect(await request.json(), "")
        await self._engine.networks.disconnect(request.params["id"], _container(body), force=body.get("Force", False))
        return EMPTY_OK

    async def prune(self, request: Request) -> Response:
        return json_response(await self._engine.networks.prune(filters(request.query, PRUNE_FILTERS)))


def _container(body: JsonObject) -> str:
    """The container that a body names. Raises BadRequest."""
    name = body.get("Container")
    if not name:
        raise BadRequest("invalid container name or ID: value is empty")
    return str(name)
