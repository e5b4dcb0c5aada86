"""Serves shared folders on a Unix socket: `python -m tests.support.folderserver SOCKET FOLDER...`.

At SIGUSR1 it writes how many requests of each kind have come so far, as JSON, to SOCKET.counts. At SIGUSR2 it ends its
connections.

A process of its own, because the tests' process may wait in the kernel for a file that this one serves.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from desktop.folders.server import FolderServer
from desktop.folders.wire import HEAD
from desktop.tunnel.transport import TunnelError
from tests.support.sockets import SocketStream


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)
    return listener


class CountedStream(SocketStream):
    """Counts the requests that are read from it."""

    def __init__(self, end: socket.socket, counts: Counter[int]) -> None:
        super().__init__(end)
        self._counts, self._head = counts, bytearray()
        self._rest = 0  # of the body that is being read

    async def read(self) -> bytes:
        data = await super().read()
        at = 0
        while at < len(data):
            skipped = min(self._rest, len(data) - at)
            self._rest -= skipped
            at += skipped
            taken = data[at : at + HEAD.size - len(self._head)]
            self._head += taken
            at += len(taken)
            if len(self._head) == HEAD.size:
                length, _, operation, _ = HEAD.unpack(self._head)
                self._counts[operation] += 1
                self._rest = max(4 + length - HEAD.size, 0)  # a test may send what is no request
                self._head.clear()
        return data


async def _serve(path: Path, folders: list[str]) -> None:
    listener = _listener(path)
    server = FolderServer(lambda: folders)
    tasks = set()
    counts: Counter[int] = Counter()

    def show() -> None:
        written = path.with_suffix(".new")
        written.write_text(json.dumps(counts))
        written.rename(path.with_suffix(".counts"))

    ends: set[socket.socket] = set()

    def cut() -> None:
        for end in ends:
            end.shutdown(socket.SHUT_RDWR)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, show)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, cut)

    async def one(end: socket.socket) -> None:
        ends.add(end)
        with suppress(TunnelError):
            await server.serve(CountedStream(end, counts))
        ends.remove(end)
        end.close()

    while True:
        end, _ = await asyncio.get_running_loop().sock_accept(listener)
        tasks.add(asyncio.create_task(one(end)))


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2:]))
