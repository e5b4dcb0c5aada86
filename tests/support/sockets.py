"""Sockets for tests of the host's side."""

from __future__ import annotations

import asyncio
import socket

from desktop.tunnel.transport import CHUNK, TunnelError


class SocketStream:
    """A Stream of the tunnel over a connected socket, which takes the tunnel's place."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    async def read(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._end, CHUNK)
        except OSError as e:
            raise TunnelError(str(e)) from e

    async def write(self, data: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._end, data)
        except OSError as e:
            raise TunnelError(str(e)) from e

    async def write_eof(self) -> None:
        self._end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._end.close()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
