"""Serves shared folders on a Unix socket: `python -m tests.support.folderserver SOCKET FOLDER...`.

A process of its own, because the tests' process may wait in the kernel for a file that this one serves.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from pathlib import Path

from desktop.folders.server import FolderServer
from desktop.tunnel.transport import TunnelError
from tests.support.sockets import SocketStream


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)
    return listener


async def _serve(listener: socket.socket, folders: list[str]) -> None:
    server = FolderServer(lambda: folders)
    tasks = set()

    async def one(end: socket.socket) -> None:
        with suppress(TunnelError):
            await server.serve(SocketStream(end))
        end.close()

    while True:
        end, _ = await asyncio.get_running_loop().sock_accept(listener)
        tasks.add(asyncio.create_task(one(end)))


if __name__ == "__main__":
    asyncio.run(_serve(_listener(Path(sys.argv[1])), sys.argv[2:]))
