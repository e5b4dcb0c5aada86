"""Attach: a container's streams over a hijacked connection."""

from __future__ import annotations

from vmagent.api import detach
from vmagent.api.messages import Request, Response, Version
from vmagent.api.pump import MULTIPLEXED_STREAM, RAW_STREAM, join
from vmagent.api.router import Router
from vmagent.api.websocket import WebSocket, handshake
from vmagent.engine.engine import Engine
from vmagent.errors import EngineError


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints of attach."""
    routes = _Attach(engine)
    router.add("POST", "/containers/{id}/attach", routes.attach, hijacks=True)
    router.add("GET", "/containers/{id}/attach/ws", routes.attach_websocket, hijacks=True)


class _Attach:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def attach(self, request: Request) -> Response | None:
        query = request.query
        keys = detach.parse(query.get("detachKeys"))
        stdin = query.flag("stdin")
        try:
            session = await self._engine.streams.attach(
                request.params["id"],
                logs=query.flag("logs"),
                stream=query.flag("stream"),
                stdin=stdin,
                stdout=query.flag("stdout"),
                stderr=query.flag("stderr"),
            )
        except EngineError as e:
            # docker hijacks before it looks for the container, so this error is text with the stream's type.
            text = f"{e}\r\n".encode()
            return Response(e.status, text, content_type=RAW_STREAM, bare=True, close=True)
        multiplexed = not session.tty
        try:
            # Clients since 1.42 learn from the type whether frames follow; older ones look at the container's Tty.
            says_frames = multiplexed and request.version >= Version(1, 42)
            peer = request.exchange.hijack(MULTIPLEXED_STREAM if says_frames else RAW_STREAM, common_headers=False)
        except ConnectionError:
            await session.detach()
            raise
        await join(
            peer,
            session,
            multiplexed=multiplexed,
            stdin=stdin and query.flag("stream"),
            detach_keys=keys if session.tty and stdin else None,
        )
        return None

    async def attach_websocket(self, request: Request) -> None:
        """Attach over a WebSocket: output in binary frames, stdout and stderr not told apart."""
        query, has_choice = request.query, request.version >= Version(1, 42)  # before, all streams were on
        keys = detach.parse(query.get("detachKeys"))
        reply = handshake(request.headers)
        stdin = query.flag("stdin") or not has_choice
        session = await self._engine.streams.attach(
            request.params["id"],
            logs=query.flag("logs"),
            stream=query.flag("stream"),
            stdin=stdin,
            stdout=query.flag("stdout") or not has_choice,
            stderr=query.flag("stderr") or not has_choice,
        )
        try:
            peer = WebSocket(request.exchange.switch_protocols(reply))
        except ConnectionError:
            await session.detach()
            raise
        await join(peer, session, multiplexed=False, stdin=stdin, detach_keys=keys if session.tty and stdin else None)
        await peer.send_close()
