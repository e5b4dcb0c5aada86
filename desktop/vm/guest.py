"""The guest's control port: requests to the program that serves them there, and the marks of the guest's progress.

The port is a serial line. A request is one line with a number and gets one reply with the same number; several may be
under way. The verbs are described where they are served: vmagent/native/control.c.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import Any

from desktop.platform.base import LocalAddress
from desktop.vm.errors import NoProgress, VmError
from desktop.vm.marks import LOGS_HINT, Mark, Marks

REQUEST_LIMIT_S = 30.0
CLOCK_TOLERANCE_S = 0.05
CLOCK_ROUNDS = 4
_ENTROPY_BYTES = 64
_MOVING_SHARE = 0.05  # of one processor: a guest that works more is busy


class Guest:
    """The host's end of the port. Every request raises VmError if the guest refuses it, if the port is closed, or if
    the guest neither replies nor makes any progress for the time of its limit."""

    def __init__(self) -> None:
        self.marks = Marks()
        # A late reply to an earlier host agent must not be taken for one to us.
        self._number = secrets.randbits(48)
        self._replies: dict[int, asyncio.Future[str]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    async def connect(self, address: LocalAddress) -> None:
        """Raises OSError."""
        reader, self._writer = await address.connect()
        self._writer.write(b"\n")  # ends a line that an earlier host agent began
        self._task = asyncio.create_task(self._read(reader), name="control port")

    # Verbs ------------------------------------------------------------------------------------------------------

    async def attach(self, limit_s: float, *, may_format: bool) -> str:
        """Mount the data disk, as soon as the guest sees it. Returns what was done with it, in a word. An empty one is
        formatted if that is allowed, else it is an error."""
        return await self.request("attach", "format" if may_format else "keep", limit_s=limit_s)

    async def keys(self, host_key: bytes, authorized_keys: bytes) -> None:
        """Start sshd with these files' contents; returns when it listens."""
        await self.request("keys", host_key.hex(), authorized_keys.hex())

    async def set_clock(self) -> float:
        """Set the guest's clock if it is wrong. Returns the seconds by which it was ahead of ours."""
        tolerance_ns, late_ns = int(CLOCK_TOLERANCE_S * 1e9), 0
        first: int | None = None
        for _ in range(CLOCK_ROUNDS):
            asked = time.time_ns()
            ahead_ns = int(await self.request("time", str(asked + late_ns), str(tolerance_ns)))
            if first is None:
                first = ahead_ns
            if abs(ahead_ns) <= tolerance_ns:
                break
            # It was set to our time, which was older by the way of the request: the next round corrects that.
            late_ns = (time.time_ns() - asked) // 2
        return (first or 0) / 1e9

    async def add_entropy(self) -> None:
        """Make the guest's randomness differ from that of every other machine restored from the same state."""
        await self.request("entropy", secrets.token_hex(_ENTROPY_BYTES))

    async def sync(self, limit_s: float) -> None:
        """Write everything to the data disk."""
        await self.request("sync", limit_s=limit_s)

    async def worked_s(self) -> float:
        """The time for which the guest's processors have worked since its boot."""
        return float(await self.request("worked"))

    async def reach(self, word: str, limit_s: float) -> None:
        """Wait for the mark `word`. A guest that reports nothing for `limit_s`, but works, is waited for on: on a busy
        machine a step may take minutes. Raises VmError."""
        before_s = 0.0
        while True:
            try:
                await self.marks.wait(word, limit_s)
                return
            except NoProgress:
                now_s = await self.worked_s()
                if now_s - before_s < limit_s * _MOVING_SHARE:
                    raise
                before_s = now_s

    async def reclaim(self) -> None:
        """Have the guest free what its memory holds of files; it goes back to the host within some seconds."""
        await self.request("reclaim")

    async def stop(self) -> None:
        """Begin the guest's end in order; QEMU's end is the end of it."""
        await self.request("stop")

    async def engine(self, method: str, path: str, limit_s: float) -> bytes:
        """The first 12 KiB of the engine's response to a request without a body. An engine that is not there yet, or
        ends meanwhile, is waited for. Raises VmError also where the guest has reported an error."""
        return bytes.fromhex(await self.request("engine", method, path, limit_s=limit_s, unless_error=True))

    async def request(
        self, verb: str, *words: str, limit_s: float = REQUEST_LIMIT_S, unless_error: bool = False
    ) -> str:
        """The reply's text. `limit_s` begins anew with each mark of the guest."""
        self._number += 1
        number = self._number
        reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        try:
            await self._send(" ".join((str(number), verb, *words)))
            while not reply.done():
                if unless_error:
                    self.marks.check()
                marked = asyncio.create_task(self.marks.next(), name="mark")
                either: set[asyncio.Future[Any]] = {reply, marked}
                await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
                progress = marked.done()
                marked.cancel()
                await asyncio.gather(marked, return_exceptions=True)
                if not reply.done() and not progress:
                    raise VmError(f"the VM does not reply to “{verb}” within {limit_s:.0f} s", LOGS_HINT)
            return reply.result()
        finally:
            del self._replies[number]
            reply.cancel()

    # The port ---------------------------------------------------------------------------------------------------

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

    async def _send(self, line: str) -> None:
        try:
            if self._writer is None or self._task is None or self._task.done():
                raise ConnectionResetError("it is closed")
            self._writer.write(line.encode() + b"\n")
            await self._writer.drain()
        except OSError as e:
            raise VmError(f"the VM's control port: {e}") from e

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await _line(reader):
                self._take(line.decode(errors="replace"))
        finally:
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(VmError("the VM has ended, or its control port was closed", LOGS_HINT))

    def _take(self, line: str) -> None:
        """A mark or a reply; a line of another form is the rest of one that nobody waits for."""
        head, _, rest = line.strip().partition(" ")
        if head == "mark":
            if (mark := Mark.parse(rest)) is not None:
                self.marks.add(mark)
            return
        reply = self._replies.get(int(head)) if head.isascii() and head.isdigit() else None
        if reply is None or reply.done():
            return
        outcome, _, text = rest.partition(" ")
        if outcome == "ok":
            reply.set_result(text)
        else:
            reply.set_exception(VmError(text or "the VM refuses a request", LOGS_HINT))


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; b"" at the end. A line longer than the reader's limit of 64 KiB counts as the end."""
    try:
        return await reader.readline()
    except (ValueError, OSError):
        return b""
