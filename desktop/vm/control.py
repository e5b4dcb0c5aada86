"""The control port: the guest's init tells its steps on it, one line each, and takes a few commands.

Guest to host: `WORD UPTIME_S [DETAIL]`, the words being init, network, sshd, data, engine, error, clock, stopping,
unmounting, off. Host to guest: `clock`, `time SECONDS`, `stop`, `sync`. See guest/files/init and guest/files/control.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

from desktop.platform.base import LocalAddress

CLOCK_TOLERANCE_S = 0.2
CLOCK_LIMIT_S = 5.0
CLOCK_ROUNDS = 4


class Mark(NamedTuple):
    """One line of the guest's: what it reached, how long after its boot, and a remark."""

    word: str
    uptime_s: float
    detail: str

    @classmethod
    def parse(cls, line: str) -> Mark | None:
        """None: the line is none of ours (another program wrote to the port)."""
        word, _, rest = line.strip().partition(" ")
        uptime, _, detail = rest.partition(" ")
        try:
            return cls(word, float(uptime), detail)
        except ValueError:
            return None


class ControlPort:
    """The host's end. Marks go to `on_mark` on the loop."""

    def __init__(self, on_mark: Callable[[Mark], None]) -> None:
        self._on_mark = on_mark
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._clock: asyncio.Future[float] | None = None

    async def connect(self, address: LocalAddress) -> None:
        """Raises OSError."""
        reader, self._writer = await address.connect()
        self._task = asyncio.create_task(self._read(reader), name="control port")

    async def send(self, line: str) -> None:
        """Raises OSError where QEMU is gone."""
        if self._writer is None:
            raise ConnectionResetError("the control port is closed")
        self._writer.write(line.encode() + b"\n")
        await self._writer.drain()

    async def set_clock(self) -> float | None:
        """Step the guest's clock where it is off; returns the seconds it was ahead of ours before, None where it told
        none. Raises OSError.

        The guest can set whole seconds only, so the command is sent as a second begins; and it takes a moment to act,
        longer where the processor is emulated on a busy machine, so what is still amiss is corrected for.
        """
        before = ahead_s = await self._ahead()
        early_s = 0.0
        for _ in range(CLOCK_ROUNDS):
            if ahead_s is None or abs(ahead_s) <= CLOCK_TOLERANCE_S:
                break
            second = int(time.time() + early_s) + 1
            await asyncio.sleep(second - early_s - time.time())
            await self.send(f"time {second}")
            ahead_s = await self._ahead()
            if ahead_s is not None:
                early_s = min(max(early_s - ahead_s, 0.0), 0.9)
        return before

    async def _ahead(self) -> float | None:
        """How many seconds the guest's clock is ahead of ours; None: it did not tell."""
        self._clock = asyncio.get_running_loop().create_future()
        asked = time.time()
        await self.send("clock")
        try:
            async with asyncio.timeout(CLOCK_LIMIT_S):
                theirs = await self._clock
        except TimeoutError:
            return None
        finally:
            self._clock = None
        return theirs - (asked + time.time()) / 2

    async def close(self) -> None:
        """May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await _line(reader):
            mark = Mark.parse(line.decode(errors="replace"))
            if mark is None:
                continue
            if mark.word == "clock":
                if self._clock is not None and not self._clock.done():
                    with contextlib.suppress(ValueError):
                        self._clock.set_result(float(mark.detail))
                continue
            self._on_mark(mark)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; b"" at the end, which is also what a line longer than the reader's limit of 64 KiB is."""
    try:
        return await reader.readline()
    except (ValueError, OSError):
        return b""
