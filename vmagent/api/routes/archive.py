"""docker cp: files in and out of a container as tar. Engine API, ContainerArchive."""

from __future__ import annotations

import base64
import json

from vmagent.api.messages import EMPTY_OK, Request, Response
from vmagent.api.pump import send_bytes
from vmagent.api.router import Router
from vmagent.engine.engine import Engine
from vmagent.engine.options import PathStat
from vmagent.errors import BadRequest


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints of archive."""
    routes = _Archive(engine)
    router.add("HEAD", "/containers/{id}/archive", routes.stat)
    router.add("GET", "/containers/{id}/archive", routes.get, streams=True)
    router.add("PUT", "/containers/{id}/archive", routes.put)


class _Archive:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def stat(self, request: Request) -> Response:
        stat = await self._engine.files.stat(request.params["id"], path_of(request))
        return Response(200, headers=stat_header(stat))

    async def get(self, request: Request) -> None:
        stat, chunks = await self._engine.files.get(request.params["id"], path_of(request))
        await send_bytes(request, chunks, content_type="application/x-tar", **stat_header(stat))

    async def put(self, request: Request) -> Response:
        await self._engine.files.put(
            request.params["id"],
            path_of(request),
            aiter(request.body),
            no_overwrite_dir_non_dir=request.query.flag("noOverwriteDirNonDir"),
            copy_uid_gid=request.query.flag("copyUIDGID"),
            more=request.query.flag("more"),
        )
        return EMPTY_OK


def path_of(request: Request) -> str:
    """The parameter `path`. Raises BadRequest."""
    path = request.query.get("path")
    if not path:
        raise BadRequest("bad parameter: 'path' cannot be empty")
    if "\0" in path:
        raise BadRequest("bad parameter: 'path' holds a zero byte")
    return path


def stat_header(stat: PathStat) -> dict[str, str]:
    """The header that describes a path."""
    text = json.dumps(
        {
            "name": stat.name,
            "size": stat.size,
            "mode": stat.mode,
            "mtime": stat.mtime,
            "linkTarget": stat.link_target,
        }
    )
    return {"X-Docker-Container-Path-Stat": base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")}
