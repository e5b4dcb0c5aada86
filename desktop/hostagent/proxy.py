"""The Engine API's socket on the host: passes each connection through the tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

from desktop.hostagent.relay import relay
from desktop.platform.base import Platform
from desktop.tunnel.transport import Stream, TunnelError
from desktop.vm.errors import VmError

OpenEngine = Callable[[], Awaitable[Stream]]
_HEAD_LIMIT = 64 * 1024
_HEAD_WAIT_S = 5.0


class EngineProxy:
    """Serves connections: call `handle` for each."""

    def __init__(self, platform: Platform, open_engine: OpenEngine) -> None:
        """`open_engine` opens a stream to the engine, and waits for a VM that is starting. Its VmError and TunnelError
        are sent to the client as errors of the Engine API."""
        self._platform = platform
        self._open_engine = open_engine

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                stream = await self._open_engine()
            except (VmError, TunnelError) as e:
                await _refuse(reader, writer, f"{e}. {getattr(e, 'hint', '')}".strip())
                return
            await relay(self._platform, reader, writer, stream)
        except (OSError, TunnelError):
            return  # one end broke; closing the other one below informs its peer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: str) -> None:
    """Answer the client's first request with 503 in docker's error shape."""
    with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        async with asyncio.timeout(_HEAD_WAIT_S):
            await reader.readuntil(b"\r\n\r\n")
    body = json.dumps({"message": message}).encode() + b"\n"
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    await writer.drain()
