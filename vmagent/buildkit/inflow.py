"""Contents of one stream of an HTTP/2 connection past the library h2, which takes 60 µs for each DATA frame.

A client that lists 20,000 files sends as many frames. Here the connection's bytes are split at the frames' borders
(RFC 9113, 4.1): DATA frames of a stream that was taken go to its `Inflow`, everything else goes to h2 in its order. h2
does not know of these bytes, so its windows stay as they were; the credit for them is given here (5.2, 6.9.1).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Callable

_HEADER = struct.Struct(">HBBBI")  # length (its high 16 and low 8 bits), type, flags, stream
_UPDATE = struct.Struct(">HBBBII")  # a whole WINDOW_UPDATE frame
_DATA, _WINDOW_UPDATE = 0x0, 0x8
_END_STREAM, _PADDED = 0x1, 0x8
_STREAM_BITS = 0x7FFFFFFF
_MAX_FRAME_BYTES = 16384  # SETTINGS_MAX_FRAME_SIZE as h2 leaves it


class FlowError(Exception):
    """The sender has sent more than it was allowed to, or a frame that is none."""


class Inflow:
    """What a taken stream has received, until `blocks` hands it on."""

    def __init__(self, stream_id: int, frames: Frames) -> None:
        self._stream_id, self._frames = stream_id, frames
        self._arrived = bytearray()
        self._cost = 0  # bytes of the sender's window that `_arrived` has used: the padding counts too
        self._unpaid = 0  # handed on, and not given back to the stream's window yet
        self._news = asyncio.Event()

    def add(self, data: memoryview, cost: int) -> None:
        """Raises FlowError if the sender had no window for it."""
        self._arrived += data
        self._cost += cost
        if self._cost + self._unpaid > self._frames.window_bytes:
            raise FlowError(f"stream {self._stream_id} has sent more than its window")
        self._news.set()

    async def blocks(self, ended: asyncio.Future[object]) -> AsyncGenerator[bytes, None]:
        """All that has arrived, again and again until `ended` is done and nothing is left. Raises what ended it."""
        ended.add_done_callback(lambda _: self._news.set())
        while True:
            is_last = ended.done()
            self._news.clear()
            if self._arrived:
                block, cost = bytes(self._arrived), self._cost
                self._arrived.clear()
                self._cost = 0
                self._unpaid += cost
                yield block
                if self._unpaid >= self._frames.window_bytes // 4:
                    self._frames.give_back(self._stream_id, self._unpaid)
                    self._unpaid = 0
            elif is_last:
                ended.result()
                return
            else:
                await self._news.wait()

    def close(self) -> None:
        """No more of it is wanted: what comes from now on goes to h2."""
        self._frames.release(self._stream_id)
        self._frames.give_back(0, self._cost + self._unpaid)
        self._arrived.clear()
        self._cost = self._unpaid = 0


class Frames:
    """The frames of one connection that this side has opened."""

    def __init__(self, to_h2: Callable[[bytes], None], write: Callable[[bytes], None], window_bytes: int) -> None:
        """`window_bytes`: of each stream and of the connection."""
        self._to_h2, self._write, self.window_bytes = to_h2, write, window_bytes
        self._taken: dict[int, Inflow] = {}
        self._rest = b""

    def take(self, stream_id: int) -> Inflow:
        """From now on the stream's contents are the Inflow's. To be called before any have come."""
        inflow = self._taken[stream_id] = Inflow(stream_id, self)
        return inflow

    def release(self, stream_id: int) -> None:
        self._taken.pop(stream_id, None)

    def feed(self, received: bytes) -> None:
        """Raises FlowError; what h2 finds wrong is its caller's to handle."""
        data = self._rest + received if self._rest else received
        view = memoryview(data)
        at = unsent = 0  # from `unsent` on everything up to `at` is h2's
        while len(data) - at >= _HEADER.size:
            high, low, kind, flags, stream_id = _HEADER.unpack_from(data, at)
            length = high << 8 | low
            begin = at + _HEADER.size
            if length > _MAX_FRAME_BYTES:  # h2 refuses it by its header
                at = len(data)
                break
            if begin + length > len(data):
                break
            at = begin + length
            if kind == _DATA and (inflow := self._taken.get(stream_id & _STREAM_BITS)) is not None:
                self._to_h2_all(data[unsent : begin - _HEADER.size])
                unsent = at
                self._to_inflow(inflow, view[begin:at], flags, stream_id & _STREAM_BITS)
        self._to_h2_all(data[unsent:at])
        self._rest = data[at:]

    def give_back(self, stream_id: int, size: int) -> None:
        """Allow the sender `size` bytes more, on the stream (0: on none) and on the connection."""
        if size:
            numbers = (stream_id, 0) if stream_id else (0,)
            self._write(b"".join(_UPDATE.pack(0, 4, _WINDOW_UPDATE, 0, number, size) for number in numbers))

    def _to_h2_all(self, data: bytes) -> None:
        if data:
            self._to_h2(data)

    def _to_inflow(self, inflow: Inflow, payload: memoryview, flags: int, stream_id: int) -> None:
        cost = len(payload)
        if flags & _PADDED:
            if not payload or payload[0] >= len(payload):
                raise FlowError("a DATA frame has more padding than bytes")
            payload = payload[1 : len(payload) - payload[0]]
        if cost:
            inflow.add(payload, cost)
        if flags & _END_STREAM:
            self._to_h2(_HEADER.pack(0, 0, _DATA, _END_STREAM, stream_id))
