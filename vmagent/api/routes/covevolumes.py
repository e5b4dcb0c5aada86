"""What the Docker Engine API lacks for volumes: their files, copies, another name (under /cove/v1/volumes)."""

from __future__ import annotations

from vmagent.api.messages import EMPTY_OK, JSON, NO_CONTENT, Request, Response
from vmagent.api.pump import send_bytes
from vmagent.api.router import Router
from vmagent.api.routes.archive import path_of, stat_header
from vmagent.api.routes.cove import most_of
from vmagent.engine.engine import Engine
from vmagent.errors import BadRequest


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints."""
    routes = _Volumes(engine)
    router.add("GET", "/cove/v1/volumes/{name}/files", routes.files)
    router.add("HEAD", "/cove/v1/volumes/{name}/archive", routes.stat)
    router.add("GET", "/cove/v1/volumes/{name}/archive", routes.get, streams=True)
    router.add("PUT", "/cove/v1/volumes/{name}/archive", routes.put)
    router.add("POST", "/cove/v1/volumes/{name}/clone", routes.clone)
    router.add("POST", "/cove/v1/volumes/{name}/rename", routes.rename)


class _Volumes:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def files(self, request: Request) -> Response:
        """What is in one folder of the volume."""
        name, path, most = request.params["name"], path_of(request), most_of(request)
        return Response(200, await self._engine.volume_files.folder(name, path, most), content_type=JSON)

    async def stat(self, request: Request) -> Response:
        stat = await self._engine.volume_files.stat(request.params["name"], path_of(request))
        return Response(200, headers=stat_header(stat))

    async def get(self, request: Request) -> None:
        stat, chunks = await self._engine.volume_files.get(request.params["name"], path_of(request))
        await send_bytes(request, chunks, content_type="application/x-tar", **stat_header(stat))

    async def put(self, request: Request) -> Response:
        await self._engine.volume_files.put(
            request.params["name"],
            path_of(request),
            aiter(request.body),
            no_overwrite_dir_non_dir=request.query.flag("noOverwriteDirNonDir"),
        )
        return EMPTY_OK

    async def clone(self, request: Request) -> Response:
        await self._engine.volume_files.clone(request.params["name"], _new(request))
        return NO_CONTENT

    async def rename(self, request: Request) -> Response:
        await self._engine.volumes.rename(request.params["name"], _new(request))
        return NO_CONTENT


def _new(request: Request) -> str:
    """The parameter `name`. Raises BadRequest."""
    name = request.query.get("name")
    if not name:
        raise BadRequest("bad parameter: 'name' cannot be empty")
    return name
