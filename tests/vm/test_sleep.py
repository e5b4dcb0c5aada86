"""The resource saver: which requests keep a VM awake or wake it, and what becomes of the clients' connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from desktop.hostagent.proxy import EngineProxy
from desktop.hostagent.requests import Head, RequestScanner
from desktop.platform import platform_for
from desktop.tunnel.transport import Stream
from tests.support.limits import HANG_S
from tests.support.sockets import SocketStream

PING = b"HEAD /_ping HTTP/1.1\r\nHost: c\r\n\r\n"
EVENTS = b"GET /v1.41/events?filters=%7B%7D HTTP/1.1\r\nHost: c\r\n\r\n"
LIST = b"GET /v1.41/containers/json HTTP/1.1\r\nHost: c\r\n\r\n"
LOAD = b"POST /images/load HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n"
CREATE = b"POST /containers/create HTTP/1.1\r\nContent-Length: 11\r\n\r\n"
ATTACH = b"POST /v1.41/containers/c/attach?stdin=1 HTTP/1.1\r\nHost: c\r\n\r\n"
SESSION = b"POST /session HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"
CHUNKS = b"5;x=y\r\nGET /\r\n2\r\n\r\n\r\n0\r\nTrailer: x\r\n\r\n"
PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK"
LISTED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
STREAMING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def heads(parts: list[Head | bytes]) -> list[str]:
    return [part.target for part in parts if isinstance(part, Head)]


def joined(parts: list[Head | bytes]) -> bytes:
    return b"".join(part.raw if isinstance(part, Head) else part for part in parts)


@pytest.mark.parametrize("seed", range(8))
def test_requests_are_found_however_their_bytes_arrive(seed: int) -> None:
    raw = b"GET / HTTP/1.1\r\n\r\nraw"
    sent = PING + LIST + LOAD + CHUNKS + CREATE + raw[:11] + EVENTS + ATTACH + raw + LIST
    chance, scanner, parts, at = random.Random(seed), RequestScanner(), [], 0
    while at < len(sent):
        size = chance.choice((1, 2, 7, 50, len(sent)))
        parts += scanner.feed(sent[at : at + size])
        at += size
    assert joined(parts) == sent
    wanted = [one.split(b" ")[1].decode() for one in (PING, LIST, LOAD, CREATE, EVENTS, ATTACH)]
    assert heads(parts) == wanted
    assert not scanner.is_between, "an attached connection takes no further request"


@pytest.mark.parametrize(
    "sent", [b"input\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"G", b"\x16\x03\x01", b"GET " + b"x" * 70_000]
)
def test_what_is_no_request_passes_as_it_is(sent: bytes) -> None:
    scanner = RequestScanner()
    assert joined(scanner.feed(sent)) + scanner.rest() == sent


@pytest.mark.parametrize(
    ("raw", "passive"),
    [
        (PING, True),
        (b"GET /v1.47/_ping HTTP/1.1\r\n\r\n", True),
        (EVENTS, True),
        (b"GET /events?since=5 HTTP/1.1\r\n\r\n", True),
        (b"GET /events?until=5 HTTP/1.1\r\n\r\n", False),
        (b"POST /_ping HTTP/1.1\r\n\r\n", False),
        (LIST, False),
        (SESSION, False),
    ],
)
def test_pings_and_endless_events_are_passive(raw: bytes, passive: bool) -> None:
    head = Head.parse(raw)
    assert head is not None
    assert (head.is_ping or head.is_events) == passive


def test_events_are_asked_for_from_a_time_on() -> None:
    head = Head.parse(b"GET /events?since=4&filters=x HTTP/1.1\r\nHost: c\r\n\r\n")
    assert head is not None
    assert head.since(5_000_000_001).raw == b"GET /events?filters=x&since=5.000000001 HTTP/1.1\r\nHost: c\r\n\r\n"


class Sleeper:
    """An engine that the test puts to sleep and wakes. It shows what arrives on each of its streams."""

    def __init__(self) -> None:
        self.is_asleep, self.asleep_since_ns, self.ping, self.uses = False, 7_000_000_000, PONG, 0
        self._changed = asyncio.Event()
        self.ends: asyncio.Queue[socket.socket] = asyncio.Queue()
        self._open: list[socket.socket] = []

    async def awake(self) -> None:
        while self.is_asleep:
            await self._changed.wait()

    async def open(self) -> Stream:
        self.wake()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self._open += [ours, theirs]
        self.ends.put_nowait(theirs)
        return SocketStream(ours)

    def used(self) -> None:
        self.uses += 1

    def sleep(self) -> None:
        """As the saver: first no request passes, then all streams end."""
        self.is_asleep = True
        self.asleep_since_ns += 1_000_000_000
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def wake(self) -> None:
        self.is_asleep = False
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        for end in self._open:
            end.close()


class Bench:
    """A client, the proxy and an engine that sleeps."""

    def __init__(self, client: socket.socket, engine: Sleeper) -> None:
        self.client, self.engine = client, engine

    async def says(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.client, data)

    async def hears(self, size: int) -> bytes:
        return await received(self.client, size)

    async def stream(self) -> socket.socket:
        return await self.engine.ends.get()


async def received(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await asyncio.get_running_loop().sock_recv(end, size - len(data))
        if not part:
            break
        data += part
    return data


async def replies(end: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(end, data)


def on_bench(folder: Path, scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        platform, engine = platform_for("linux"), Sleeper()
        server = await platform.serve(folder / "s", EngineProxy(platform, engine).handle)
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(client, str(folder / "s"))
            async with asyncio.timeout(HANG_S):
                await scenario(Bench(client, engine))
        finally:
            client.close()
            server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG_S)
            engine.close()

    asyncio.run(run())


def test_a_connection_between_two_requests_outlasts_the_sleep(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.stream()
        await bench.says(PING + LIST)
        assert await received(first, len(PING + LIST)) == PING + LIST
        assert bench.engine.uses == 1, "the ping is no use"
        await replies(first, LISTED)
        assert await bench.hears(len(LISTED)) == LISTED
        bench.engine.sleep()
        await bench.says(PING)
        head = await bench.hears(len(b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 0\r\n\r\n"))
        assert head == b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 0\r\n\r\n"
        assert bench.engine.is_asleep, "a ping wakes nobody"
        await bench.says(LIST)
        second = await bench.stream()
        assert not bench.engine.is_asleep
        assert await received(second, len(LIST)) == LIST
        await replies(second, LISTED)
        assert await bench.hears(len(LISTED)) == LISTED

    on_bench(tmp_path, scenario)


def test_a_request_that_comes_while_the_vm_is_being_saved_is_kept_for_its_wake(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.stream()
        bench.engine.is_asleep = True  # the streams still live
        await bench.says(CREATE + b'{"Image":1}')
        second = await bench.stream()
        assert await received(second, len(CREATE) + 11) == CREATE + b'{"Image":1}'
        assert await received(first, 1) == b"", "nothing was sent to the engine that is saved"

    on_bench(tmp_path, scenario)


def test_events_go_on_after_the_sleep_in_the_same_stream(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.stream()
        await bench.says(EVENTS)
        await received(first, len(EVENTS))
        await replies(first, STREAMING + b"3\r\none\r\n")
        assert (await bench.hears(len(STREAMING) + 8)).endswith(b"one\r\n")
        for number in (2, 3):
            bench.engine.sleep()
            await asyncio.sleep(0)
            bench.engine.wake()  # another client uses it
            end = await bench.stream()
            again = EVENTS.replace(b" HTTP", b"&since=%d.000000000 HTTP" % (6 + number))
            assert await received(end, len(again)) == again
            await replies(end, STREAMING + b"1\r\n%d\r\n" % number)
            assert await bench.hears(6) == b"1\r\n%d\r\n" % number, "no second head"
        assert bench.engine.uses == 0

    on_bench(tmp_path, scenario)


def test_events_asked_for_while_it_sleeps_wait_for_its_wake(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.stream()
        bench.engine.sleep()
        await bench.says(PING)
        await bench.hears(20)
        await bench.says(EVENTS)
        await asyncio.sleep(0.05)
        assert bench.engine.is_asleep
        bench.engine.wake()
        assert await received(await bench.stream(), len(EVENTS)) == EVENTS

    on_bench(tmp_path, scenario)


def test_a_client_may_leave_while_it_sleeps(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.stream()
        await bench.says(EVENTS)
        await received(first, len(EVENTS))
        bench.engine.sleep()
        bench.client.shutdown(socket.SHUT_WR)
        assert await bench.hears(1) == b"", "the proxy has ended it too"

    on_bench(tmp_path, scenario)


def test_a_stream_that_breaks_while_the_vm_runs_ends_its_connection(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.stream()
        await bench.says(EVENTS)
        await received(first, len(EVENTS))
        first.shutdown(socket.SHUT_RDWR)
        assert await bench.hears(1) == b""

    on_bench(tmp_path, scenario)
