"""Work on the event loop whose end its caller waits for, also when it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def to_its_end(work: Awaitable[object], name: str) -> None:
    """Do `work` as a task. A caller that is cancelled gets its CancelledError only after the end: a thread that writes
    cannot be stopped, and what is in memory must match what it writes. Raises what `work` raises."""

    async def run() -> None:
        await work

    task = asyncio.create_task(run(), name=name)
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait([task])
