"""What the server sends: a reply to each request, in order with what it tells."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from desktop.folders import server
from desktop.folders.changes import Kind, Notice
from desktop.folders.wire import EIO, HEAD, PROTOCOL, SESSION_SIZE, U32, U64, Operation, Request
from tests.support.limits import HANG_S
from tests.support.sockets import SocketStream


class Telling:
    """Takes the operations' place: a change is told just before each request is looked at."""

    def __init__(self, sharing: object, handles: object, tell: Callable[[Notice], None], do: object) -> None:
        self._tell = tell

    def at_once(self, request: Request) -> bytes | None:
        if request.operation != Operation.LOOKUP:
            return None
        return self._told()

    def carry_out(self, request: Request) -> bytes:
        return self._told()

    def _told(self) -> bytes:
        self._tell(Notice(b"folder", b"name", Kind.CREATED, False, None))
        return b""

    def end(self) -> None:
        pass


class Defective(Telling):
    """Each request meets a defect in a thread."""

    def carry_out(self, request: Request) -> bytes:
        raise ZeroDivisionError


def _request(number: int, operation: Operation, body: bytes = b"") -> bytes:
    return HEAD.pack(HEAD.size - 4 + len(body), number, operation, 0) + body


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame, without its length."""
    (length,) = U32.unpack(await reader.readexactly(4))
    return await reader.readexactly(length)


async def _numbers(reader: asyncio.StreamReader, count: int) -> list[int]:
    """The numbers of the next frames; 0 is a notice."""
    return [U64.unpack_from(await _frame(reader))[0] for _ in range(count)]


@asynccontextmanager
async def _session() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The client's end of a session that has begun."""
    serving = server.FolderServer(list)
    ours, theirs = socket.socketpair()
    task = asyncio.create_task(serving.serve(SocketStream(theirs)))
    reader, writer = await asyncio.open_connection(sock=ours)
    writer.write(_request(1, Operation.HELLO, U32.pack(PROTOCOL) + bytes(SESSION_SIZE)))
    assert await _numbers(reader, 1) == [1]
    yield reader, writer
    writer.close()
    await task
    await serving.stop()
    theirs.close()


def test_a_reply_does_not_overtake_what_was_told_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "Operations", Telling)

    async def talk() -> list[int]:
        async with _session() as (reader, writer):
            writer.write(_request(2, Operation.LOOKUP))
            found = await _numbers(reader, 2)
            writer.write(_request(3, Operation.GETATTR))
            return found + await _numbers(reader, 2)

    assert asyncio.run(talk()) == [0, 2, 0, 3]


def test_a_request_that_meets_a_defect_fails_and_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))
    monkeypatch.setattr(server, "Operations", Defective)
    count = server.AT_ONCE + 1

    async def talk() -> list[bytes]:
        async with _session() as (reader, writer), asyncio.timeout(HANG_S):
            for number in range(count):
                writer.write(_request(number + 2, Operation.GETATTR))
            return [(await _frame(reader))[U64.size :] for _ in range(count)]

    assert asyncio.run(talk()) == [U32.pack(EIO)] * count
    assert reported == [ZeroDivisionError] * count
