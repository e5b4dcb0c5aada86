"""The API server: listening sockets, connections, and the one place where failures become replies."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from vmagent.api.buildkit import BuildKitWire, connect
from vmagent.api.hangup import HangupWatch
from vmagent.api.http import Connection
from vmagent.api.messages import Request, Response, error_response
from vmagent.api.router import Route, Router
from vmagent.api.routes import add_all
from vmagent.api.routes.cove import Activity
from vmagent.api.streams import Disconnected
from vmagent.engine.engine import Engine
from vmagent.errors import EngineError

BACKLOG = 512  # connections that wait to be accepted: 50 clients at once must not get EAGAIN

TcpClients = Callable[[Callable[[socket.socket], Awaitable[object]]], asyncio.Protocol]

log = structlog.get_logger(__name__)


class Server:
    """Serves one engine on any number of listening sockets. Made by `serve`."""

    def __init__(
        self,
        engine: Engine,
        *,
        http2: Callable[[], asyncio.Protocol] | None = None,
        tcp: TcpClients | None = None,
    ) -> None:
        """`tcp`: the protocol of clients by TCP, which has us serve a socket; None: they are served as they are."""
        self._tcp = tcp
        self._wire = wire = BuildKitWire(lambda: connect(engine))
        self.http2: Callable[[], asyncio.Protocol] | None = http2 or wire.protocol
        self.hangups = HangupWatch(asyncio.get_running_loop())
        self.is_stopping = False
        self._engine = engine
        self.router = Router()
        self.connections: set[Connection] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self.match = self.router.match
        self._last_active = time.monotonic()
        add_all(self.router, engine, wire, self.activity)

    async def listen(self, listener: socket.socket) -> None:
        """Accept connections on `listener`, which the keeper owns: its path is not removed at the end."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        if listener.family == socket.AF_UNIX:
            keep_path = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
            server: asyncio.AbstractServer = await loop.create_unix_server(
                lambda: Connection(self),
                sock=listener,
                backlog=BACKLOG,
                **keep_path,  # type: ignore[arg-type]  # an argument that 3.11 lacks
            )
        else:
            server = await loop.create_server(self._tcp_client, sock=listener, backlog=BACKLOG)
        self._servers.append(server)

    def _tcp_client(self) -> asyncio.Protocol:
        return Connection(self) if self._tcp is None else self._tcp(self._serve_socket)

    async def _serve_socket(self, sock: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(self), sock)

    def opened(self, connection: Connection) -> None:
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def activity(self) -> Activity:
        """What is under way now, and for how long nothing was."""
        requests = sum(connection.is_active for connection in self.connections)
        containers = self._engine.active_containers()
        if requests or containers:
            self._last_active = time.monotonic()
        return Activity(containers, requests, time.monotonic() - self._last_active)

    async def respond(self, request: Request, route: Route) -> Response | None:
        try:
            return await self._respond(request, route)
        finally:
            if not route.passive:
                self._last_active = time.monotonic()

    async def _respond(self, request: Request, route: Route) -> Response | None:
        try:
            if not self._engine.is_open and not route.before_open:
                return error_response(503, "engine is not open yet")
            return await route.handler(request)
        except EngineError as e:
            if request.exchange.has_answered:
                request.exchange.break_off()
                log.warning("request.broken", method=request.method, path=request.path, error=str(e))
                return None
            return error_response(e.status, str(e), reason=e.reason)
        except Disconnected:
            return None
        except Exception as e:  # an unexpected error is a 500 and a log record; the connection goes on
            log.exception("request.failed", method=request.method, path=request.path)
            if request.exchange.has_answered:
                request.exchange.break_off()
                return None
            return error_response(500, f"{type(e).__name__}: {e}")

    async def stop(self, *, grace_s: float) -> None:
        """Accept no more, let running requests finish for up to `grace_s`, then drop what is left.

        Containers that are stopped meanwhile thus end the requests that wait for them or read their output.
        """
        self.is_stopping = True
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            if connection.is_idle:
                connection.close()
            elif connection.is_endless:
                connection.cancel()
        tasks = [task for connection in self.connections if (task := connection.task) is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)  # lets connection_lost run
        await self._wire.close()
        self.hangups.close()


async def serve(
    engine: Engine,
    listeners: Sequence[socket.socket],
    *,
    http2: Callable[[], asyncio.Protocol] | None = None,
    tcp: TcpClients | None = None,
) -> Server:
    """Serve `engine` on `listeners`. Connections that begin with the preface of HTTP/2 are `http2`'s, else BuildKit's.

    Raises OSError if a listener can't listen.
    """
    server = Server(engine, http2=http2, tcp=tcp)
    for listener in listeners:
        await server.listen(listener)
    return server
