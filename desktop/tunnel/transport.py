"""The interface of a carrier into the VM. Streams are independent, and so are the two directions of each stream."""

from __future__ import annotations

import asyncio
from typing import Protocol

CHUNK = 64 * 1024


class TunnelError(Exception):
    """The carrier broke, or the guest refused a stream; str() is one line."""


class Stream(Protocol):
    """One connection to a socket in the guest."""

    async def read(self) -> bytes:
        """The next bytes, at most CHUNK; b"" when the guest has ended its direction. Raises TunnelError."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of `data`; waits while the guest does not read. Raises TunnelError."""
        ...

    async def write_eof(self) -> None:
        """End our direction; the guest's goes on. Raises TunnelError."""
        ...

    def close(self) -> None:
        """Give up both directions at once. May be called twice."""
        ...


class Transport(Protocol):
    """A carrier that is connected."""

    gone: asyncio.Event  # set when the carrier broke; all its streams raise from then on

    async def open_stream(self, path: str) -> Stream:
        """Connect to the Unix socket `path` in the guest. Raises TunnelError; the carrier lives on."""
        ...

    async def close(self) -> None:
        """End the carrier and all its streams. May be called twice."""
        ...
