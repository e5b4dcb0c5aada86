"""The bin: what was deleted with `restorable`, brought back or deleted for good (under /cove/v1/bin)."""

from __future__ import annotations

from vmagent.api.messages import Request, Response, json_response
from vmagent.api.router import Router
from vmagent.engine.engine import Engine


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints."""
    routes = _Bin(engine)
    router.add("GET", "/cove/v1/bin", routes.list)
    router.add("DELETE", "/cove/v1/bin", routes.empty)
    router.add("POST", "/cove/v1/bin/{id}/restore", routes.restore)
    router.add("DELETE", "/cove/v1/bin/{id}", routes.delete)


class _Bin:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self, _: Request) -> Response:
        return json_response(await self._engine.bin.shown())

    async def empty(self, _: Request) -> Response:
        deleted, reclaimed = await self._engine.bin.empty()
        return json_response({"deleted": deleted, "reclaimed_bytes": reclaimed})

    async def restore(self, request: Request) -> Response:
        name = request.query.get("name") or ""
        return json_response(await self._engine.restorer.restore(request.params["id"], name))

    async def delete(self, request: Request) -> Response:
        entry = self._engine.bin.find(request.params["id"])
        return json_response({"deleted": [entry.id], "reclaimed_bytes": await self._engine.bin.delete(entry)})
