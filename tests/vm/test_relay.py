"""The proxy between a client's socket and a stream of the tunnel: half-closes, hang-ups, refusals.

The stream here is a socket pair instead of an SSH channel; the real tunnel passes the same half-close in test_vm.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from desktop.hostagent.proxy import EngineProxy
from desktop.hostagent.relay import relay
from desktop.platform import platform_for
from desktop.tunnel.transport import CHUNK, Stream
from desktop.vm.errors import VmError
from tests.support.limits import HANG_S
from tests.support.sockets import SocketStream

LIMIT_S = HANG_S


class Awake:
    """An engine that never sleeps, and hands out one stream."""

    is_asleep, asleep_since_ns, ping = False, 0, None

    def __init__(self, stream: Stream | VmError) -> None:
        self._stream = stream

    async def awake(self) -> None:
        raise AssertionError("it is awake")

    async def open(self) -> Stream:
        if isinstance(self._stream, VmError):
            raise self._stream
        return self._stream

    def used(self) -> None:
        pass


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """A client's socket that is connected through the proxy, and the engine's end of its stream."""
    ours, engine = socket.socketpair()
    engine.setblocking(False)

    platform = platform_for("linux")
    proxy = EngineProxy(platform, Awake(SocketStream(ours)))
    server = await platform.serve(folder / "s", proxy.handle)
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(client, str(folder / "s"))
        async with asyncio.timeout(LIMIT_S):
            yield client, engine
    finally:
        client.close()
        engine.close()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), LIMIT_S)
        with contextlib.suppress(OSError):
            ours.close()


async def read_all(end: socket.socket) -> bytes:
    data = b""
    while chunk := await asyncio.get_running_loop().sock_recv(end, CHUNK):
        data += chunk
    return data


def test_each_direction_ends_by_itself(tmp_path: Path) -> None:
    """`echo x | docker run -i`: the client ends its input and still gets all output."""

    async def scenario() -> tuple[bytes, bytes]:
        loop = asyncio.get_running_loop()
        async with proxied(tmp_path) as (client, engine):
            await loop.sock_sendall(client, b"input")
            client.shutdown(socket.SHUT_WR)
            heard = await read_all(engine)
            await loop.sock_sendall(engine, b"late output" * 10_000)
            engine.shutdown(socket.SHUT_WR)
            return heard, await read_all(client)

    assert asyncio.run(scenario()) == (b"input", b"late output" * 10_000)


def test_the_engine_may_end_first(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        loop = asyncio.get_running_loop()
        async with proxied(tmp_path) as (client, engine):
            engine.shutdown(socket.SHUT_WR)
            assert await read_all(client) == b""
            await loop.sock_sendall(client, b"still heard")
            client.shutdown(socket.SHUT_WR)
            return await read_all(engine)

    assert asyncio.run(scenario()) == b"still heard"


def test_a_client_that_is_gone_is_told_to_an_engine_that_says_nothing(tmp_path: Path) -> None:
    """`docker wait`, killed: a half-close alone would leave the engine waiting for ever."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with proxied(tmp_path) as (client, engine):
            await loop.sock_sendall(client, b"wait")
            assert await loop.sock_recv(engine, 10) == b"wait"
            client.close()
            assert await read_all(engine) == b""
            # Both directions are closed: the client can receive nothing more.
            broken = False
            while not broken:
                try:
                    await loop.sock_sendall(engine, b"x" * CHUNK)
                except OSError:
                    broken = True

    asyncio.run(scenario())


def test_without_a_vm_the_client_is_answered_as_docker_answers(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        loop, platform = asyncio.get_running_loop(), platform_for("linux")
        stopped = VmError("the VM is stopped", "Start it: cove vm start")
        server = await platform.serve(tmp_path / "s", EngineProxy(platform, Awake(stopped)).handle)
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            await loop.sock_connect(client, str(tmp_path / "s"))
            await loop.sock_sendall(client, b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(LIMIT_S):
                answer = await read_all(client)
        server.close()
        return answer

    head, _, body = asyncio.run(scenario()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body) == {"message": "the VM is stopped. Start it: cove vm start"}


class _Slow(SocketStream):
    """A stream whose read takes a moment to be cancelled; `is_closed` says whether it was closed."""

    is_closed = False

    def __init__(self, end: socket.socket) -> None:
        super().__init__(end)
        self.goes_on = asyncio.Event()
        self.is_cancelled = asyncio.Event()

    async def read(self) -> bytes:
        try:
            return await super().read()
        finally:
            self.is_cancelled.set()
            await self.goes_on.wait()

    def close(self) -> None:
        super().close()
        self.is_closed = True


def test_a_connection_that_is_ended_while_it_ends_leaves_no_stream() -> None:
    """The agent stops while the directions of a client that has left are being cancelled."""

    async def scenario() -> None:
        ours, guest = socket.socketpair()
        client, served = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=served)
        stream = _Slow(ours)
        task = asyncio.create_task(relay(platform_for("linux"), reader, writer, stream))
        client.close()
        async with asyncio.timeout(LIMIT_S):
            await stream.is_cancelled.wait()
            task.cancel()
            await asyncio.wait([task])
        assert stream.is_closed
        stream.goes_on.set()
        writer.close()
        await writer.wait_closed()
        guest.close()
        await asyncio.sleep(0)

    asyncio.run(scenario())
