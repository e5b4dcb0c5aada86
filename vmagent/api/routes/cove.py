"""What docker's API has no word for, beside it under /cove/v1 (openapi.yaml in this package's parent)."""

from __future__ import annotations

from pathlib import Path

import vmagent.api
from vmagent.api.facade import Engine
from vmagent.api.messages import NO_CONTENT, Request, Response, json_response
from vmagent.api.router import Router

DESCRIPTION = Path(vmagent.api.__file__).with_name("openapi.yaml")


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints under /cove/v1."""
    routes = _Cove(engine)
    router.add("POST", "/cove/v1/open", routes.open, before_open=True)
    router.add("GET", "/cove/v1/containers/{id}/timeline", routes.timeline)
    router.add("GET", "/cove/v1/openapi.yaml", routes.describe, before_open=True)


class _Cove:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def open(self, _: Request) -> Response:
        if not self._engine.is_open:
            await self._engine.open()
        return NO_CONTENT

    async def timeline(self, request: Request) -> Response:
        return json_response(await self._engine.containers.timeline(request.params["id"]))

    async def describe(self, _: Request) -> Response:
        return Response(200, DESCRIPTION.read_bytes(), content_type="application/yaml")
