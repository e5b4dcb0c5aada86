"""The control port: a serial line on which the guest's init reports its steps and takes a few commands.

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
    """One line from the guest: the step that it reached, the time since its boot, and a detail."""

    word: str
    uptime_s: float
    detail: str

    @classmethod
    def parse(cls, line: str) -> Mark | None:
        """None if the line has another form: another program in the guest wrote to the port."""
        word, _, rest = line.strip().partition(" ")
        uptime, _, detail = rest.partition(" ")
        try:
            return cls(word, float(uptime), detail)
        except ValueError:
            return None


class ControlPort:
    """The host's end. `on_mark` is called on the loop for each mark."""

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
        """Set the guest's clock if it is wrong. Returns the seconds by which it was ahead of ours, None if the guest
        did not reply. Raises OSError.

        The guest can only set whole seconds, so the command is sent when a second begins. The guest needs some time to
        act, more if the processor is emulated on a busy machine, so the remaining error is measured and corrected.
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
        """The seconds by which the guest's clock is ahead of ours; None if the guest did not reply."""
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
    """The next line; b"" at the end. A line longer than the reader's limit of 64 KiB counts as the end."""
    try:
        return await reader.readline()
    except (ValueError, OSError):
        return b""
