"""Containers: life cycle, lists, inspection. Streams are in `attach`, `logs` and `archive`."""

from __future__ import annotations

import asyncio

from vmagent.api import bodies
from vmagent.api.messages import (
    EMPTY_OK,
    JSON,
    NO_CONTENT,
    Request,
    Response,
    Version,
    dump_json,
    json_response,
)
from vmagent.api.parameters import filters, terminal_size
from vmagent.api.pump import send_bytes
from vmagent.api.router import Router
from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.engine import Engine
from vmagent.errors import BadRequest, NotFound

LIST_FILTERS = frozenset(
    {
        "ancestor",
        "before",
        "expose",
        "exited",
        "health",
        "id",
        "is-task",
        "isolation",
        "label",
        "name",
        "network",
        "publish",
        "since",
        "status",
        "volume",
    }
)
PRUNE_FILTERS = frozenset(("label", "label!", "until"))
WAIT_CONDITIONS = frozenset(("not-running", "next-exit", "removed"))
STATS_INTERVAL_S = 1.0


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints of containers."""
    routes = _Containers(engine)
    router.add("POST", "/containers/create", routes.create)
    router.add("GET", "/containers/json", routes.list)
    router.add("POST", "/containers/prune", routes.prune)
    router.add("POST", "/containers/{id}/start", routes.start)
    router.add("POST", "/containers/{id}/wait", routes.wait, streams=True)
    router.add("DELETE", "/containers/{id...}", routes.remove)
    router.add("GET", "/containers/{id...}/json", routes.inspect)
    router.add("POST", "/containers/{id}/stop", routes.stop)
    router.add("POST", "/containers/{id}/restart", routes.restart)
    router.add("POST", "/containers/{id}/kill", routes.kill)
    router.add("POST", "/containers/{id}/resize", routes.resize)
    router.add("POST", "/containers/{id}/pause", routes.pause)
    router.add("POST", "/containers/{id}/unpause", routes.unpause)
    router.add("POST", "/containers/{id}/rename", routes.rename)
    router.add("POST", "/containers/{id}/update", routes.update)
    router.add("GET", "/containers/{id}/top", routes.top)
    router.add("GET", "/containers/{id}/stats", routes.stats, endless=True)
    router.add("GET", "/containers/{id}/changes", routes.changes)
    router.add("GET", "/containers/{id}/export", routes.export, streams=True)
    router.add("POST", "/commit", routes.commit)


class _Containers:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        config = bodies.container_create(await request.json(), "")
        container_id, warnings = await self._engine.creator.create(
            config,
            name=request.query.get("name"),
            platform=request.query.get("platform") if request.version >= Version(1, 41) else "",
            api_version=request.version,
        )
        return json_response({"Id": container_id, "Warnings": warnings}, 201)

    async def list(self, request: Request) -> Response:
        query = request.query
        return json_response(
            await self._engine.containers.list(
                all=query.flag("all"),
                limit=query.integer("limit") or 0,
                size=query.flag("size"),
                filters=filters(query, LIST_FILTERS),
            )
        )

    async def inspect(self, request: Request) -> Response:
        ref = request.params["id"]
        return json_response(await self._engine.containers.inspect(ref, size=request.query.flag("size")))

    async def start(self, request: Request) -> Response:
        if len(await request.body.read(1 << 20)) > 7:  # moby lets `{}`, `null` and the like pass
            raise BadRequest(
                "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
            )
        await self._engine.lifecycle.start(request.params["id"])
        return NO_CONTENT

    async def stop(self, request: Request) -> Response:
        await self._engine.lifecycle.stop(request.params["id"], **_stop_options(request))
        return NO_CONTENT

    async def restart(self, request: Request) -> Response:
        await self._engine.lifecycle.restart(request.params["id"], **_stop_options(request))
        return NO_CONTENT

    async def kill(self, request: Request) -> Response:
        await self._engine.lifecycle.kill(request.params["id"], signal=request.query.get("signal") or "KILL")
        return NO_CONTENT

    async def wait(self, request: Request) -> Response | None:
        condition = "not-running"
        if request.version >= Version(1, 30):
            condition = request.query.get("condition") or "not-running"
            if condition not in WAIT_CONDITIONS:
                raise BadRequest(f'invalid condition: "{condition}"')
        waiter = await self._engine.lifecycle.waiter(request.params["id"], condition)
        if request.version < Version(1, 30):
            return json_response(await waiter.result())
        stream = request.exchange.stream(
            content_type=JSON
        )  # at once: clients start the container only after they have this head
        await stream.write_last(dump_json(await waiter.result()))
        return None

    async def remove(self, request: Request) -> Response:
        query = request.query
        if query.flag("link"):
            await self._engine.links.remove(request.params["id"])
            return NO_CONTENT
        await self._engine.lifecycle.remove(
            request.params["id"],
            force=query.flag("force"),
            volumes=query.flag("v"),
            restorable=query.flag("restorable"),
        )
        return NO_CONTENT

    async def resize(self, request: Request) -> Response:
        height, width = terminal_size(request.query)
        await self._engine.streams.resize(request.params["id"], height=height, width=width)
        return EMPTY_OK

    async def pause(self, request: Request) -> Response:
        await self._engine.lifecycle.pause(request.params["id"])
        return NO_CONTENT

    async def unpause(self, request: Request) -> Response:
        await self._engine.lifecycle.unpause(request.params["id"])
        return NO_CONTENT

    async def rename(self, request: Request) -> Response:
        name = request.query.get("name")
        if not name:
            raise BadRequest("Neither old nor new names may be empty")
        await self._engine.containers.rename(request.params["id"], name)
        return NO_CONTENT

    async def update(self, request: Request) -> Response:
        body = bodies.container_update(await request.json(), "")
        if request.version < Version(1, 40):
            body.pop("PidsLimit", None)
        return json_response({"Warnings": await self._engine.containers.update(request.params["id"], body)})

    async def top(self, request: Request) -> Response:
        ps_args = request.query.get("ps_args") or "-ef"
        return json_response(await self._engine.containers.top(request.params["id"], ps_args))

    async def changes(self, request: Request) -> Response:
        return json_response(await self._engine.files.changes(request.params["id"]) or None)

    async def prune(self, request: Request) -> Response:
        return json_response(await self._engine.containers.prune(filters(request.query, PRUNE_FILTERS)))

    async def export(self, request: Request) -> None:
        source = self._engine.files.export(request.params["id"])
        await send_bytes(request, source, content_type="application/octet-stream")

    async def commit(self, request: Request) -> Response:
        query = request.query
        image_id = await self._engine.files.commit(
            query.get("container"),
            bodies.container_config(await request.json(optional=True), ""),
            repo=query.get("repo"),
            tag=query.get("tag"),
            comment=query.get("comment"),
            author=query.get("author"),
            pause=query.flag("pause", True),
            changes=query.all("changes"),
        )
        return json_response({"Id": image_id}, 201)

    async def stats(self, request: Request) -> Response | None:
        """Samples a second apart, each with the one before as `precpu_stats`; stopped containers give empty ones."""
        ref, query = request.params["id"], request.query
        sample = await self._engine.containers.stats(ref)
        container_id = str(sample.get("id") or ref)  # a name may pass to another container meanwhile
        if not query.flag("stream", True):
            one_shot = query.flag("one-shot") and request.version >= Version(1, 41)
            if not one_shot and _is_running(sample):
                before = sample
                await asyncio.sleep(STATS_INTERVAL_S)
                sample = await self._engine.containers.stats(container_id)
                return json_response(_with_previous(sample, before))
            return json_response(_with_previous(sample, None))
        stream = request.exchange.stream(content_type=JSON)
        before_or_none: JsonObject | None = None
        while True:
            await stream.write(dump_json(_with_previous(sample, before_or_none)))
            before_or_none = sample if _is_running(sample) else None
            await asyncio.sleep(STATS_INTERVAL_S)
            try:
                sample = await self._engine.containers.stats(container_id)
            except NotFound:  # the container was removed: end the stream
                stream.finish()
                return None


def _stop_options(request: Request) -> JsonObject:
    signal = request.query.get("signal") if request.version >= Version(1, 42) else ""
    return {"timeout_s": request.query.integer("t"), "signal": signal or None}


ZERO_TIME = "0001-01-01T00:00:00Z"
ZERO_CPU: JsonObject = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}


def _is_running(sample: JsonObject) -> bool:
    return bool(sample.get("read", ZERO_TIME) != ZERO_TIME)


def _with_previous(sample: JsonObject, before: JsonObject | None) -> JsonObject:
    if before is None or not _is_running(sample):
        return sample | {"preread": ZERO_TIME, "precpu_stats": ZERO_CPU}
    return sample | {"preread": before["read"], "precpu_stats": before["cpu_stats"]}
