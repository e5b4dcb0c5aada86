"""Calls that the Docker Engine API lacks, served beside it under /cove/v1 (openapi.yaml in this package's parent)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import vmagent.api
from vmagent.api.messages import JSON, NO_CONTENT, Request, Response, dump_json, json_response
from vmagent.api.router import Router
from vmagent.api.routes.archive import path_of
from vmagent.engine.engine import Engine
from vmagent.engine.surroundings import Told
from vmagent.errors import BadRequest

DESCRIPTION = Path(vmagent.api.__file__).with_name("openapi.yaml")
STATS_INTERVAL_MS = range(100, 60_001)
FOLDER_MOST = range(1, 5_001)


@dataclass(frozen=True, slots=True)
class Activity:
    """What the engine does: containers that run, are paused or wait for their restart; requests under way, passive ones
    left out; seconds since there was the last of either."""

    containers: int
    requests: int
    idle_s: float


def add(router: Router, engine: Engine, activity: Callable[[], Activity]) -> None:
    """Add the endpoints under /cove/v1."""
    routes = _Cove(engine, activity)
    router.add("GET", "/cove/v1/activity", routes.activity, passive=True)
    router.add("POST", "/cove/v1/open", routes.open, before_open=True)
    router.add("GET", "/cove/v1/containers/{id}/timeline", routes.timeline)
    router.add("GET", "/cove/v1/containers/{id}/xray", routes.xray)
    router.add("GET", "/cove/v1/containers/{id}/files", routes.files)
    router.add("GET", "/cove/v1/containers/{id}/usage", routes.usage)
    router.add("GET", "/cove/v1/stats", routes.stats, endless=True)
    router.add("POST", "/cove/v1/check", routes.check, streams=True)
    router.add("PUT", "/cove/v1/surroundings", routes.surroundings, passive=True, before_open=True)
    router.add("GET", "/cove/v1/registries", routes.registries)
    router.add("GET", "/cove/v1/openapi.yaml", routes.describe, before_open=True)


class _Cove:
    def __init__(self, engine: Engine, activity: Callable[[], Activity]) -> None:
        self._engine = engine
        self._activity = activity

    async def activity(self, _: Request) -> Response:
        now = self._activity()
        return json_response({"containers": now.containers, "requests": now.requests, "idle_s": round(now.idle_s, 3)})

    async def open(self, _: Request) -> Response:
        if not self._engine.is_open:
            await self._engine.open()
        return NO_CONTENT

    async def timeline(self, request: Request) -> Response:
        return json_response(await self._engine.containers.timeline(request.params["id"]))

    async def stats(self, request: Request) -> None:
        """A JSON line for each moment, with the samples of all wanted containers, until the client leaves."""
        interval_ms = 1000
        if "interval_ms" in request.query:
            interval_ms = request.query.integer("interval_ms") or 0
        if interval_ms not in STATS_INTERVAL_MS:
            least, most = STATS_INTERVAL_MS[0], STATS_INTERVAL_MS[-1]
            raise BadRequest(f'invalid value for "interval_ms": {interval_ms} is not between {least} and {most}')
        refs = [ref for value in request.query.all("containers") for ref in value.split(",") if ref]
        if "containers" in request.query and not refs:
            raise BadRequest('invalid value for "containers": it names no container')
        moments = self._engine.usage.follow(refs, interval_ms / 1000)
        stream = request.exchange.stream(content_type=JSON)
        async for samples in moments:
            await stream.write(dump_json({"containers": [sample.to_json() for sample in samples]}))

    async def usage(self, request: Request) -> Response:
        """What the container has used in the last minutes and in the last day."""
        return json_response((await self._engine.history.points(request.params["id"])).to_json())

    async def files(self, request: Request) -> Response:
        """What is in one folder of the container."""
        found = await self._engine.files.folder(request.params["id"], path_of(request), most_of(request))
        return Response(200, found, content_type=JSON)

    async def check(self, request: Request) -> None:
        """A JSON line for each step of the check and for each finding; the last one has the result."""
        async with self._engine.check.run(repair=request.query.flag("repair")) as lines:
            stream = request.exchange.stream(content_type=JSON)
            async for line in lines:
                await stream.write(dump_json(line))
        stream.finish()

    async def xray(self, request: Request) -> Response:
        """The container as the kernel has it; with `path`, also which layer that comes from."""
        path = request.query.get("path") if "path" in request.query else None
        return json_response((await self._engine.xray.document(request.params["id"], path)).to_json())

    async def surroundings(self, request: Request) -> Response:
        await self._engine.surround(Told.from_json(await request.json()))
        return NO_CONTENT

    async def registries(self, _: Request) -> Response:
        """How registries are reached."""
        return json_response(await self._engine.system.registries())

    async def describe(self, _: Request) -> Response:
        return Response(200, await asyncio.to_thread(DESCRIPTION.read_bytes), content_type="application/yaml")


def most_of(request: Request) -> int:
    """The parameter `most`: how many entries of a folder the client wants. Raises BadRequest."""
    most = (request.query.integer("most") or 0) if "most" in request.query else FOLDER_MOST[-1]
    if most not in FOLDER_MOST:
        raise BadRequest(f'invalid value for "most": {most} is not between {FOLDER_MOST[0]} and {FOLDER_MOST[-1]}')
    return most
