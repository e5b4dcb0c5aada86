"""The marks of a boot: the steps that the guest has reported on its control port since QEMU was launched."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from desktop.vm.errors import NoProgress, VmError

LOGS_HINT = "See what the VM said: cove vm logs"


class Mark(NamedTuple):
    """One report of the guest: the step that it reached, the time since its boot, and a detail."""

    word: str
    uptime_s: float
    detail: str

    @classmethod
    def parse(cls, line: str) -> Mark | None:
        """From `WORD UPTIME_S [DETAIL]`; None if the line has another form."""
        word, _, rest = line.strip().partition(" ")
        uptime, _, detail = rest.partition(" ")
        try:
            return cls(word, float(uptime), detail)
        except ValueError:
            return None


class Marks:
    """The latest mark of each word, and a wait for the next one."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}
        self._marked = asyncio.Event()

    def __contains__(self, word: str) -> bool:
        return word in self._marks

    def add(self, mark: Mark) -> None:
        self._marks[mark.word] = mark
        marked, self._marked = self._marked, asyncio.Event()
        marked.set()

    def clear(self) -> None:
        """Forget the marks so far."""
        self._marks.clear()

    def check(self) -> None:
        """Raises VmError if the guest has reported an error."""
        if error := self._marks.get("error"):
            raise VmError(f"the VM does not start: {error.detail}", LOGS_HINT)

    async def next(self) -> None:
        """Wait for the next mark, whatever its word."""
        await self._marked.wait()

    async def wait(self, word: str, limit_s: float) -> Mark:
        """The mark `word`, as soon as the guest has reported it. Raises VmError if the guest reports an error,
        NoProgress if it reports nothing at all for `limit_s`."""
        while word not in self._marks:
            self.check()
            try:
                async with asyncio.timeout(limit_s):
                    await self.next()
            except TimeoutError:
                raise NoProgress(f"the VM does not get on: no “{word}” after {limit_s:.0f} s", LOGS_HINT) from None
        return self._marks[word]
