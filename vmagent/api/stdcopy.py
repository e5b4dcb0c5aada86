"""The frames in which stdout and stderr share one stream. Engine API, ContainerAttach, "Stream format"."""

from __future__ import annotations

import struct
from collections.abc import Sequence

MAX_PAYLOAD = 1 << 20  # larger frames make a client buffer all of it

_HEADER = struct.Struct(">B3xI")


class _Heads(dict[int, bytes]):
    """The frame headers of one stream's short pieces, by length: few values, looked up once per log line."""

    def __init__(self, stream: int) -> None:
        super().__init__()
        self._stream = stream

    def __missing__(self, length: int) -> bytes:
        made = _HEADER.pack(self._stream, length)
        if length < 1024:
            self[length] = made
        return made


_HEADS = {stream: _Heads(stream) for stream in range(4)}


def frame(stream: int, data: bytes) -> bytes:
    """`data` (of `stream` 1 or 2) as one frame, or as several where it is over MAX_PAYLOAD; b"" for no data."""
    if not data:
        return b""
    if len(data) <= MAX_PAYLOAD:
        return _HEADER.pack(stream, len(data)) + data
    return b"".join(
        part
        for at in range(0, len(data), MAX_PAYLOAD)
        for part in (_HEADER.pack(stream, len(data[at : at + MAX_PAYLOAD])), data[at : at + MAX_PAYLOAD])
    )


def frames(stream: int, pieces: Sequence[bytes]) -> bytes:
    """Many short pieces, a frame each, in one run of bytes."""
    parts: list[bytes] = [b""] * (2 * len(pieces))
    parts[::2] = map(_HEADS[stream].__getitem__, map(len, pieces))
    parts[1::2] = pieces
    return b"".join(parts)
