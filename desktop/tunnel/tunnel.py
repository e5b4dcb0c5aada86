"""The tunnel into one VM: several carriers, the best one first; each that breaks is connected again.

A carrier is tried with growing pauses for as long as the tunnel lives. One of lower rank is tried only when all above
it have been without a connection for a while. It is left when one above it is back and its own streams have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from desktop.tunnel.transport import Carrier, Stream, Target, Transport, TunnelError

CONNECTED_LIMIT_S = 15.0  # how long a new stream waits for a connection
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
# How long a carrier may be without a connection before the next one is tried. A VM that starts greets after its kernel.
GRACE_S = 12.0


class Tunnel:
    """A Transport that lasts: `gone` is set by `close` alone. Call `start` first."""

    def __init__(self, carriers: Sequence[Carrier]) -> None:
        self.gone = asyncio.Event()
        self._carriers = list(carriers)
        self._transports: list[Transport | None] = [None] * len(self._carriers)
        self._reasons = [""] * len(self._carriers)  # why the last try of each failed
        self._tasks: list[asyncio.Task[None]] = []
        self._change = asyncio.Event()

    @property
    def carrier(self) -> str | None:
        """The name of the carrier that takes new streams; None: none is connected."""
        rank = self._rank()
        return None if rank is None else self._carriers[rank].name

    def start(self) -> None:
        """Begin to connect."""
        self._tasks = [
            asyncio.create_task(self._hold(rank), name=f"tunnel by {carrier.name}")
            for rank, carrier in enumerate(self._carriers)
        ]

    async def connected(self, limit_s: float = CONNECTED_LIMIT_S) -> None:
        """Wait until a carrier is connected. Raises TunnelError."""
        try:
            async with asyncio.timeout(limit_s):
                while self._rank() is None:
                    if self.gone.is_set():
                        raise TunnelError("the tunnel into the VM is closed")
                    await self._change.wait()
        except TimeoutError:
            raise TunnelError(f"no connection into the VM: {self._reason()}") from None

    async def open_stream(self, target: Target) -> Stream:
        await self.connected()
        rank = self._rank()
        transport = None if rank is None else self._transports[rank]
        if transport is None:  # it broke just now
            raise TunnelError("the tunnel into the VM broke")
        return await transport.open_stream(target)

    async def close(self) -> None:
        self.gone.set()
        self._changed()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Parts -------------------------------------------------------------------------------------------------------

    def _rank(self) -> int | None:
        """Of the best carrier that is connected."""
        for rank, transport in enumerate(self._transports):
            if transport is not None and not transport.gone.is_set():
                return rank
        return None

    def _reason(self) -> str:
        said = [f"{c.name}: {why}" for c, why in zip(self._carriers, self._reasons, strict=True) if why]
        return "; ".join(said) or "it does not answer"

    def _changed(self) -> None:
        change, self._change = self._change, asyncio.Event()
        change.set()

    async def _hold(self, rank: int) -> None:
        """Keep the carrier `rank` connected while it is wanted, until the tunnel is closed."""
        pause_s = FIRST_PAUSE_S
        while True:
            await self._wanted(rank)
            try:
                transport = await self._carriers[rank].connect()
            except TunnelError as e:
                self._reasons[rank] = str(e)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            self._reasons[rank] = ""
            self._transports[rank] = transport
            self._changed()
            try:
                await self._until_over(rank, transport)
            finally:
                self._transports[rank] = None
                self._changed()
                await transport.close()

    async def _wanted(self, rank: int) -> None:
        """Wait until all carriers above `rank` have been without a connection for the time that each of them has."""
        while rank:
            await self._until(lambda: not self._has_better(rank))
            try:
                async with asyncio.timeout(GRACE_S * rank):
                    await self._until(lambda: self._has_better(rank))
            except TimeoutError:
                return

    async def _until_over(self, rank: int, transport: Transport) -> None:
        """Wait until the transport broke, or a better one has taken its place and its streams have ended."""
        over = asyncio.create_task(transport.gone.wait(), name="carrier gone")
        replaced = asyncio.create_task(self._replaced(rank, transport), name="carrier replaced")
        try:
            await asyncio.wait({over, replaced}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, replaced):
                task.cancel()
            await asyncio.gather(over, replaced, return_exceptions=True)

    async def _replaced(self, rank: int, transport: Transport) -> None:
        while True:
            await self._until(lambda: self._has_better(rank))
            await transport.idle.wait()
            if self._has_better(rank):
                return

    def _has_better(self, rank: int) -> bool:
        best = self._rank()
        return best is not None and best < rank

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await self._change.wait()
