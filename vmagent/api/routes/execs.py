"""Exec: another process in a running container."""

from __future__ import annotations

from vmagent.api import bodies, detach, stdcopy
from vmagent.api.messages import EMPTY_OK, Request, Response, Version, json_response
from vmagent.api.parameters import console_size, terminal_size
from vmagent.api.pump import MULTIPLEXED_STREAM, RAW_STREAM, join
from vmagent.api.router import Router
from vmagent.engine.engine import Engine
from vmagent.errors import BadRequest, EngineError


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints of exec."""
    routes = _Execs(engine)
    router.add("POST", "/containers/{id}/exec", routes.create)
    router.add("POST", "/exec/{id}/start", routes.start, hijacks=True)
    router.add("POST", "/exec/{id}/resize", routes.resize)
    router.add("GET", "/exec/{id}/json", routes.inspect)


class _Execs:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        config = bodies.exec_create(await request.json(), "")
        if not config.get("Cmd"):
            raise BadRequest("No exec command specified")
        detach.parse(config.get("DetachKeys") or "")
        if request.version < Version(1, 42):
            config.pop("ConsoleSize", None)
        return json_response({"Id": await self._engine.execs.create(request.params["id"], config)}, 201)

    async def start(self, request: Request) -> Response | None:
        body = bodies.exec_start(await request.json(optional=True), "")
        execs, exec_id = self._engine.execs, request.params["id"]
        tty = bool(body.get("Tty"))
        size = console_size(body) if request.version >= Version(1, 42) else None
        await execs.check(exec_id)
        if body.get("Detach"):
            try:
                await execs.start(exec_id, detach=True, tty=tty, console_size=size)
            except EngineError as e:
                raise BadRequest(str(e)) from e  # docker's status for a detached exec that cannot start
            return EMPTY_OK
        says_frames = not tty and request.version >= Version(1, 42)
        # The head goes out before the process exists, so that no output can share its segment.
        peer = request.exchange.hijack(MULTIPLEXED_STREAM if says_frames else RAW_STREAM, common_headers=True)
        try:
            session = await execs.start(exec_id, detach=False, tty=tty, console_size=size)
        except EngineError as e:
            text = f"{e}\r\n".encode()
            await peer.head_was_read()
            await peer.write(text if tty else stdcopy.frame(2, text))
            return None
        assert session is not None, "an exec that is not detached has a session"
        keys = detach.parse((await execs.inspect(exec_id)).get("DetachKeys") or "") if tty else None
        await join(peer, session, multiplexed=not tty, stdin=True, detach_keys=keys)
        return None

    async def resize(self, request: Request) -> Response:
        height, width = terminal_size(request.query)
        await self._engine.execs.resize(request.params["id"], height=height, width=width)
        return EMPTY_OK

    async def inspect(self, request: Request) -> Response:
        return json_response(await self._engine.execs.inspect(request.params["id"]))
