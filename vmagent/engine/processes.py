"""`docker top`: the host's ps, limited to a container's processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from vmagent.containers.jsonobject import JsonObject
from vmagent.errors import BadRequest, EngineError

LIMIT_S = 10.0


async def process_table(pids: Sequence[int], ps_args: str) -> JsonObject:
    """{"Titles", "Processes"} of `ps`, cut down to `pids`. Raises BadRequest for bad arguments, EngineError."""
    words = ps_args.split() or ["-ef"]
    for word in words:
        # With these options ps prints something else than a process list.
        if word in ("--help", "--version") or word.startswith("-V"):
            raise BadRequest(f"invalid ps arguments: {ps_args}")
    try:
        process = await asyncio.create_subprocess_exec(
            "ps",
            *words,
            env={name: value for name, value in os.environ.items() if name != "COLUMNS"},  # ps cuts its lines to it
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as e:
        raise EngineError("ps is not installed on the engine's system") from e
    try:
        async with asyncio.timeout(LIMIT_S):
            output, errors = await process.communicate()
    except TimeoutError as e:
        process.kill()
        await process.wait()
        raise EngineError("ps did not end") from e
    if process.returncode:
        raise BadRequest(f"ps: {errors.decode(errors='replace').strip()}")
    lines = output.decode(errors="replace").splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise EngineError("Couldn't find PID field in ps output")
    at, wanted = titles.index("PID"), {str(pid) for pid in pids}
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return {"Titles": titles, "Processes": [row for row in rows if len(row) > at and row[at] in wanted]}
