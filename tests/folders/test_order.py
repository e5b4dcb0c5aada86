"""The order of what the server sends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from desktop.folders import server
from desktop.folders.changes import Kind, Notice
from desktop.folders.wire import HEAD, PROTOCOL, SESSION_SIZE, U32, U64, Operation, Request
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


def _request(number: int, operation: Operation, body: bytes = b"") -> bytes:
    return HEAD.pack(HEAD.size - 4 + len(body), number, operation, 0) + body


async def _numbers(reader: asyncio.StreamReader, count: int) -> list[int]:
    """The numbers of the next frames; 0 is a notice."""
    found = []
    for _ in range(count):
        (length,) = U32.unpack(await reader.readexactly(4))
        found.append(U64.unpack_from(await reader.readexactly(length))[0])
    return found


def test_a_reply_does_not_overtake_what_was_told_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "Operations", Telling)

    async def talk() -> list[int]:
        serving = server.FolderServer(list)
        ours, theirs = socket.socketpair()
        task = asyncio.create_task(serving.serve(SocketStream(theirs)))
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(_request(1, Operation.HELLO, U32.pack(PROTOCOL) + bytes(SESSION_SIZE)))
        writer.write(_request(2, Operation.LOOKUP))
        found = await _numbers(reader, 3)
        writer.write(_request(3, Operation.GETATTR))
        found += await _numbers(reader, 2)
        writer.close()
        await task
        await serving.stop()
        theirs.close()
        return found

    assert asyncio.run(talk()) == [1, 0, 2, 0, 3]
