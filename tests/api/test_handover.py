"""A connection that ends in another protocol: HTTP/2 by upgrade and by prior knowledge, gRPC in both directions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpclib.server
from grpclib.client import Channel
from grpclib.health.service import Health
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.protocol import H2Protocol

from tests.api.conftest import LIMIT_S
from tests.api.fake_engine import FakeEngine
from vmagent.api.messages import Request
from vmagent.api.server import Server

UPGRADE = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
SERVING = HealthCheckResponse.SERVING


class Peer(Channel):
    """A gRPC client on a connection that exists already."""

    def __init__(self, connect: Callable[[Callable[[], H2Protocol]], Awaitable[H2Protocol]]) -> None:
        super().__init__()
        self._connect = connect

    async def _create_connection(self) -> H2Protocol:
        return await self._connect(self._protocol_factory)


async def ask(channel: Channel) -> int:
    """The status that the health service at the other end reports (grpc.health.v1)."""
    reply = await HealthStub(channel).Check(HealthCheckRequest(), timeout=LIMIT_S)
    return int(reply.status)


class Site:
    """The API server with the two routes of BuildKit's wire, each by grpclib: `/grpc` serves, `/session` asks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.health = grpclib.server.Server([Health()])
        self.server = Server(FakeEngine(), http2=self.health._protocol_factory)
        self.server.router.add("POST", "/test/grpc", self._grpc, hijacks=True)
        self.server.router.add("POST", "/test/session", self._session, hijacks=True)
        self.answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.protocols: list[H2Protocol] = []

    async def _grpc(self, request: Request) -> None:
        self.protocols.append(request.exchange.hand_over(self.health._protocol_factory, upgrade="h2c"))

    async def _session(self, request: Request) -> None:
        async def take(factory: Callable[[], H2Protocol]) -> H2Protocol:
            return request.exchange.hand_over(factory, upgrade="h2c")

        channel = Peer(take)
        try:
            self.answered.set_result(await ask(channel))
        finally:
            channel.close()

    async def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(self.path))
        return sock

    async def upgrade(self, path: str, behind: bytes = b"") -> socket.socket:
        """Ask for h2c on a new connection and read the reply's head; `behind` travels in the request's segment."""
        loop, sock = asyncio.get_running_loop(), await self.connect()
        await loop.sock_sendall(sock, f"POST {path} HTTP/1.1\r\n".encode() + UPGRADE % 0 + behind)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await loop.sock_recv(sock, 1)
        lines = head.decode().lower().split("\r\n")
        assert lines[0].startswith("http/1.1 101 ")
        assert {"connection: upgrade", "upgrade: h2c"} <= set(lines)
        return sock


@asynccontextmanager
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "api.sock"))
        made = Site(tmp_path / "api.sock")
        await made.server.listen(listener)
        async with asyncio.timeout(LIMIT_S):
            yield made
            await made.server.stop(grace_s=LIMIT_S)


def over(sock: socket.socket) -> Peer:
    async def take(factory: Callable[[], H2Protocol]) -> H2Protocol:
        _, protocol = await asyncio.get_running_loop().create_unix_connection(factory, sock=sock)
        return protocol

    return Peer(take)


async def until_no_connection(made: Site) -> None:
    while made.server.connections:  # noqa: ASYNC110  (the server has no event for it)
        await asyncio.sleep(0.005)


def test_grpc_is_served_after_an_upgrade_to_h2c(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as made:
            channel = over(await made.upgrade("/test/grpc"))
            assert [await ask(channel) for _ in range(3)] == [SERVING] * 3
            channel.close()
            await until_no_connection(made)

    asyncio.run(scenario())


def test_bytes_behind_the_request_belong_to_the_new_protocol(tmp_path: Path) -> None:
    """A client need not wait for the 101 before it sends the preface of HTTP/2."""

    async def scenario() -> None:
        async with site(tmp_path) as made:
            preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)  # and an empty SETTINGS frame
            sock = await made.upgrade("/test/grpc", preface)
            loop, frames = asyncio.get_running_loop(), b""
            while b"\0\0\0\x04\x01" not in frames:  # the acknowledgement of our SETTINGS: RFC 9113, 6.5
                received = await loop.sock_recv(sock, 4096)
                assert received, frames
                frames += received
            sock.close()

    asyncio.run(scenario())


def test_grpc_is_served_to_a_client_with_prior_knowledge_of_http2(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as made:
            async with Channel(path=str(made.path)) as channel:
                assert await ask(channel) == SERVING
            await until_no_connection(made)

    asyncio.run(scenario())


def test_the_preface_may_arrive_in_pieces(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as made:
            loop, sock = asyncio.get_running_loop(), await made.connect()
            for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
                await loop.sock_sendall(sock, bytes([byte]))
                await asyncio.sleep(0)
            frame = await loop.sock_recv(sock, 9)
            assert frame[3] == 4, frame  # the server's SETTINGS
            sock.close()

    asyncio.run(scenario())


def test_the_engine_is_the_grpc_client_on_a_session(tmp_path: Path) -> None:
    """The client that asked for the upgrade serves on it, as `docker build` does on /session."""

    async def scenario() -> None:
        async with site(tmp_path) as made:
            sock = await made.upgrade("/test/session")
            service = grpclib.server.Server([Health()])
            await asyncio.get_running_loop().create_unix_connection(service._protocol_factory, sock=sock)
            assert await made.answered == SERVING
            await until_no_connection(made)

    asyncio.run(scenario())


def test_a_body_that_is_not_whole_prevents_the_upgrade(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as made:
            loop, sock = asyncio.get_running_loop(), await made.connect()
            await loop.sock_sendall(sock, b"POST /test/grpc HTTP/1.1\r\n" + UPGRADE % 5 + b"ab")
            assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 400 ")
            assert not made.protocols
            sock.close()

    asyncio.run(scenario())


def test_a_stopping_server_closes_what_it_handed_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as made:
            channel = over(await made.upgrade("/test/grpc"))
            assert await ask(channel) == SERVING
            await made.server.stop(grace_s=LIMIT_S)
            assert not made.server.connections
            channel.close()

    asyncio.run(scenario())
