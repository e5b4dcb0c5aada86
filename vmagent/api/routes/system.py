"""The engine itself: ping, version, info, events, disk use, registry logins."""

from __future__ import annotations

from vmagent.api.messages import JSON, Request, Response, Version, dump_json, json_response
from vmagent.api.parameters import filters, time_ns
from vmagent.api.router import Router
from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.engine import Engine
from vmagent.engine.events import EVENT_FILTERS, EventsLost
from vmagent.errors import BadRequest

PING_HEADERS = {
    "Docker-Experimental": "false",
    "Builder-Version": "2",  # BuildKit sessions: docker's CLI 18.09 to 22 builds by them
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}
_TEXT = "text/plain; charset=utf-8"
_PONG = Response(200, b"OK", content_type=_TEXT, headers=PING_HEADERS)
_PONG_HEAD = Response(200, content_type=_TEXT, headers=PING_HEADERS)  # HEAD: Content-Length is 0


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints of the system."""
    routes = _System(engine)
    router.add("GET", "/_ping", routes.ping, passive=True)
    router.add("HEAD", "/_ping", routes.ping_head, passive=True)
    router.add("GET", "/version", routes.version)
    router.add("GET", "/info", routes.info)
    router.add("GET", "/events", routes.events, endless=True, passive=True)
    router.add("GET", "/system/df", routes.df)
    router.add("POST", "/auth", routes.auth)
    router.add("GET", "/plugins", routes.plugins)


class _System:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ping(self, _: Request) -> Response:
        return _PONG

    async def ping_head(self, _: Request) -> Response:
        return _PONG_HEAD

    async def version(self, _: Request) -> Response:
        return json_response(await self._engine.system.version())

    async def info(self, _: Request) -> Response:
        return json_response(await self._engine.system.info())

    async def plugins(self, _: Request) -> Response:
        return json_response([])

    async def auth(self, request: Request) -> Response:
        return json_response(await self._engine.system.auth(await request.json()))

    async def df(self, request: Request) -> Response:
        usage = await self._engine.system.df()
        wanted = request.query.all("type") if request.version >= Version(1, 42) else []
        return json_response(_only(usage, wanted) if wanted else usage)

    async def events(self, request: Request) -> None:
        query = request.query
        since, until = time_ns(query, "since"), time_ns(query, "until")
        if since is not None and until is not None and since > until:
            raise BadRequest(f"`since` time (since: {query.get('since')}) must be before `until` time")
        source = self._engine.events.subscribe(since_ns=since, until_ns=until, filters=filters(query, EVENT_FILTERS))
        stream = request.exchange.stream(content_type=JSON)  # at once: Go's client waits for it
        try:
            async for event in source:
                await stream.write(dump_json(event.to_json()))
        except EventsLost:
            request.exchange.break_off()  # break the connection, so that the client notices and subscribes again
            return
        stream.finish()


_DF_PARTS = {
    "container": ("Containers",),
    "image": ("LayersSize", "Images"),
    "volume": ("Volumes",),
    "build-cache": ("BuildCache", "BuilderSize"),
}


def _only(usage: JsonObject, wanted: list[str]) -> JsonObject:
    kept: JsonObject = {}
    for kind in wanted:
        if kind not in _DF_PARTS:
            raise BadRequest(f"unknown object type: {kind}")
        kept |= {name: usage[name] for name in _DF_PARTS[kind] if name in usage}
    return kept
