"""BuildKit's wire on the API's socket: `POST /session`, `POST /grpc`, and HTTP/2 from the first byte.

What serves it is loaded and made with the first connection, as it needs libraries that an engine without builds does
not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from vmagent.api.messages import Request, Response
from vmagent.api.router import Router
from vmagent.builder.classic import Recorder
from vmagent.engine.engine import Engine
from vmagent.errors import EngineError

log = structlog.get_logger(__name__)

Protocols = Callable[[], asyncio.Protocol]


class Builds(Protocol):
    """What `/cove/v1/builds` tells of (`buildkit.builds.BuildBook`)."""

    def list(self) -> dict[str, Any]: ...
    def one(self, ref: str) -> dict[str, Any]:
        """Raises NotFound, as the three below."""

    def follow(self) -> AsyncIterator[dict[str, Any]]: ...
    def log(self, ref: str) -> AsyncIterator[dict[str, Any]]: ...
    async def delete(self, ref: str) -> None:
        """Raises Conflict while it runs."""

    def cancel(self, ref: str) -> None:
        """Raises Conflict if it has ended."""


class Served(Protocol):
    """The wire once it is made (`buildkit.service.BuildKit`)."""

    def protocol(self) -> asyncio.Protocol:
        """Of a connection on which the client calls services."""

    async def session(self, headers: Mapping[str, str], hand_over: Callable[[Protocols], object]) -> None:
        """Returns when the session's connection has ended. Raises BadRequest before `hand_over`."""

    def build(
        self, reference: str, session: str, options: Mapping[str, str], exporter: Mapping[str, str]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The lines of ImageBuild, version 2. Raises EngineError."""

    def cancel(self, reference: str) -> None:
        """End such a build."""

    def record(self, options: Mapping[str, str], names: Sequence[str], dockerfile: bytes) -> Recorder:
        """A build of the classic wire in the history."""

    async def close(self) -> None:
        """Bring the history to the disk."""

    @property
    def builds(self) -> Builds:
        """All builds."""


async def connect(engine: Engine) -> Served:
    """The wire of an open engine, its modules loaded now. Raises EngineError, OSError."""
    return await (await asyncio.to_thread(_load))(engine)


def _load() -> Callable[[Engine], Awaitable[Served]]:
    import vmagent.builder.stages  # noqa: F401  # the builder needs it with its first build, then on the loop
    from vmagent.buildkit.product import connect as made_of

    return made_of


class BuildKitWire:
    """The handlers of the three ways in."""

    def __init__(self, make: Callable[[], Awaitable[Served]]) -> None:
        """`make`: called once; its failure is the failure of each request that waited for it."""
        self._make = make
        self._made: asyncio.Task[Served] | None = None

    def add(self, router: Router) -> None:
        """Add the endpoints."""
        router.add("POST", "/session", self.session, endless=True, hijacks=True)
        router.add("POST", "/grpc", self.grpc, hijacks=True)

    async def get(self) -> Served:
        """What serves the wire. Raises EngineError, OSError."""
        if self._made is None or (self._made.done() and (self._made.cancelled() or self._made.exception())):
            self._made = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._made)

    async def cancel(self, reference: str) -> None:
        """End a build of `Served.build`, if there is one."""
        if self._made is not None:
            (await self.get()).cancel(reference)

    async def close(self) -> None:
        """No request is running any more: bring to the disk what is not there yet."""
        if self._made is not None and self._made.done() and not self._made.cancelled() and not self._made.exception():
            await self._made.result().close()

    async def session(self, request: Request) -> Response | None:
        served = await self.get()
        await served.session(request.headers, lambda factory: request.exchange.hand_over(factory, upgrade="h2c"))
        return None

    async def grpc(self, request: Request) -> Response | None:
        served = await self.get()
        request.exchange.hand_over(served.protocol, upgrade="h2c")
        return None

    def protocol(self) -> asyncio.Protocol:
        """Of a connection that began with the preface of HTTP/2."""
        return _Waiting(self.get)


class _Waiting(asyncio.Protocol):
    """Keeps what arrives until the wire is made, then passes everything on."""

    def __init__(self, get: Callable[[], Awaitable[Served]]) -> None:
        self._get = get
        self._received: list[bytes] = []
        self._protocol: asyncio.Protocol | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._begin(), name="begin http/2")

    async def _begin(self) -> None:
        try:
            served = await self._get()
        except (EngineError, OSError) as e:
            log.warning("buildkit.unavailable", error=str(e))
            self._transport.abort()
            return
        self._protocol = served.protocol()
        self._protocol.connection_made(self._transport)
        for data in self._received:
            self._protocol.data_received(data)
        self._received.clear()
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._protocol is None:
            self._received.append(data)
        else:
            self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._protocol is None else self._protocol.eof_received()

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(exc)
        elif self._task is not None:
            self._task.cancel()
