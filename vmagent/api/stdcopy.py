"""The frames in which stdout and stderr share one stream. Engine API, ContainerAttach, "Stream format"."""

from __future__ import annotations

import struct
from collections.abc import Iterable

MAX_PAYLOAD = 1 << 20  # larger frames make a client buffer all of it

_HEADER = struct.Struct(">B3xI")


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


def frames(entries: Iterable[tuple[int, bytes]]) -> bytes:
    """Many short pieces, a frame each, in one run of bytes."""
    pack = _HEADER.pack
    parts: list[bytes] = []
    for stream, data in entries:
        parts.append(pack(stream, len(data)))
        parts.append(data)
    return b"".join(parts)
