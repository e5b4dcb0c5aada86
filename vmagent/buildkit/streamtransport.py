"""A byte stream inside a gRPC call, as the transport of another protocol: what `Control.Session` carries."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from vmagent.buildkit.messages import BytesMessage

_CHUNK_BYTES = 32 << 10  # in one message
_HIGH_BYTES = 256 << 10  # waiting to be sent: from here on the protocol is asked to pause


class StreamTransport(asyncio.Transport):
    """Messages with bytes, both ways. `run` moves them until either side ends."""

    def __init__(self, stream: Any, protocol: asyncio.Protocol) -> None:
        """`stream`: grpclib's `server.Stream` of BytesMessage."""
        super().__init__()
        self._stream, self._protocol = stream, protocol
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_paused = False
        self._changed = asyncio.Event()  # something to send, or the end
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._is_closing = False

    async def run(self) -> None:
        """Raises what the call ends with."""
        self._protocol.connection_made(self)
        tasks = [
            asyncio.create_task(self._receive(), name="session: receive"),
            asyncio.create_task(self._send(), name="session: send"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_closing = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._protocol.connection_lost(None)

    async def _receive(self) -> None:
        while (message := await self._stream.recv_message()) is not None:
            await self._may_read.wait()
            if message.data:
                self._protocol.data_received(message.data)

    async def _send(self) -> None:
        while True:
            while self._waiting:
                data = self._waiting.popleft()
                for start in range(0, len(data), _CHUNK_BYTES):
                    await self._stream.send_message(BytesMessage(data=data[start : start + _CHUNK_BYTES]))
                self._waiting_bytes -= len(data)
                if self._is_paused and self._waiting_bytes < _HIGH_BYTES // 2:
                    self._is_paused = False
                    self._protocol.resume_writing()
            if self._is_closing:
                return
            self._changed.clear()
            await self._changed.wait()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._is_closing or not data:
            return
        self._waiting.append(bytes(data))
        self._waiting_bytes += len(data)
        self._changed.set()
        if self._waiting_bytes > _HIGH_BYTES and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """What was written is still sent."""
        self._is_closing = True
        self._changed.set()

    def abort(self) -> None:
        self._waiting.clear()
        self.close()

    def is_reading(self) -> bool:
        return self._may_read.is_set()

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def get_write_buffer_size(self) -> int:
        return self._waiting_bytes

    def can_write_eof(self) -> bool:
        return False
