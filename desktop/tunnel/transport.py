"""The interfaces of the tunnel: targets in the guest, streams to them, and what carries the streams.

A `Carrier` is a way into the VM that can be tried at any time; what it connects is a `Transport`. Streams of a
transport are independent, and so are the two directions of each stream. `desktop.tunnel.tunnel` connects again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

CHUNK = 64 * 1024


class TunnelError(Exception):
    """The carrier broke, or the guest refused a stream; str() is one line."""


@dataclass(frozen=True, slots=True)
class UnixTarget:
    """A Unix stream socket in the guest."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """A TCP port in the guest, or of a container there. `host` is a numeric address."""

    host: str
    port: int

    def __str__(self) -> str:
        return _shown(self.host, self.port)


@dataclass(frozen=True, slots=True)
class UdpTarget:
    """A UDP port in the guest, or of a container there. `host` is a numeric address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{_shown(self.host, self.port)}/udp"


Target = UnixTarget | TcpTarget | UdpTarget


class Stream(Protocol):
    """One connection to a target. With a UDP target each `read` and `write` is one datagram, and any may be lost."""

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


class Opener(Protocol):
    """What opens streams: a transport, or the tunnel, which outlives its transports."""

    gone: asyncio.Event  # set when it opens none any more

    async def open_stream(self, target: Target) -> Stream:
        """Connect to `target`. Raises TunnelError, after which others may still be opened."""
        ...


class Transport(Opener, Protocol):
    """A carrier that is connected."""

    gone: asyncio.Event  # set when the carrier broke; all its streams raise from then on
    idle: asyncio.Event  # set while it has no streams

    async def close(self) -> None:
        """End the carrier and all its streams. May be called twice."""
        ...


class Carrier(Protocol):
    """One way into the VM."""

    name: str  # in words for the user

    async def connect(self) -> Transport:
        """Raises TunnelError, at the latest after the carrier's own limit."""
        ...


# A program in the guest has connected to the service of that name on the host.
OnService = Callable[[str, Stream], Awaitable[None]]


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
