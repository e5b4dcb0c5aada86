"""Joins a hijacked connection to a process's streams, and iterators to chunked replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TypeVar

import structlog

from vmagent.api import stdcopy
from vmagent.api.detach import DetachScanner
from vmagent.api.messages import JSON, Request, dump_progress
from vmagent.api.streams import Disconnected, Hijacked
from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.options import Session
from vmagent.errors import EngineError

RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
LAST_INPUT_S = 10.0  # how long input that came before the hang-up may take to reach the process

log = structlog.get_logger(__name__)
T = TypeVar("T")


async def join(peer: Hijacked, session: Session, *, multiplexed: bool, stdin: bool, detach_keys: bytes | None) -> None:
    """Carry bytes both ways until the process has ended and all its output is written, or the client leaves.

    The client's end of file closes the process's stdin and nothing else; only both halves closed count as leaving.
    With `detach_keys`, typing them leaves too.
    """

    async def outward() -> None:
        is_first = True
        async for stream, data in session.output():
            if is_first:
                await peer.head_was_read()
                is_first = False
            await peer.write(stdcopy.frame(stream, data) if multiplexed else data)

    scanner = DetachScanner(detach_keys) if detach_keys else None

    async def inward() -> bool:
        """True: the detach keys were typed."""
        is_heard = stdin
        while data := await peer.read():
            if not is_heard:
                continue  # keep reading: the end of input must be noticed, and a client that writes must not block
            if scanner is not None:
                data, is_detached = scanner.feed(data)
                if data and not await _write(session, data):
                    is_heard = False
                if is_detached:
                    return True
            elif not await _write(session, data):
                is_heard = False
        if is_heard:
            if scanner is not None and (rest := scanner.rest()):
                await _write(session, rest)
            await session.close_stdin()
        return False

    output = asyncio.create_task(outward(), name="attach output")
    input_ = asyncio.create_task(inward(), name="attach input")
    gone = asyncio.create_task(peer.hung_up(), name="attach hang-up")
    tasks = (output, input_, gone)
    by_keys = False
    try:
        await asyncio.wait((output, gone, input_), return_when=asyncio.FIRST_COMPLETED)
        if input_.done() and not output.done() and not gone.done():
            by_keys = input_.exception() is None and input_.result()
            if not by_keys:
                await asyncio.wait((output, gone), return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not output.done() and not input_.done():
            await asyncio.wait((input_, output), timeout=LAST_INPUT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        has_ended = output.done() and not output.cancelled() and output.exception() is None
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        if not has_ended:
            await session.detach(keys=by_keys)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, Disconnected):
                log.error("attach.failed", exc_info=result)


async def _write(session: Session, data: bytes) -> bool:
    """Write `data` to the process; False once it takes no more input (it closed its stdin, or ended)."""
    try:
        await session.write(data)
    except (OSError, EngineError):
        return False
    return True


async def first_of(source: AsyncIterator[T]) -> tuple[T | None, bool]:
    """(the first item, True), or (None, False) for an empty iterator. An error here can still become a status."""
    try:
        return await anext(source), True
    except StopAsyncIteration:
        return None, False


async def send_progress(request: Request, source: AsyncIterator[JsonObject]) -> None:
    """Stream progress lines. The head is held back until the first line, so that an early failure becomes a status.

    A later failure becomes the last line, with both keys that clients look for.
    """
    async with aclosing(_each_alone(source)) as lists:
        await send_progress_lists(request, lists)


async def _each_alone(source: AsyncIterator[JsonObject]) -> AsyncGenerator[list[JsonObject], None]:
    async for item in source:
        yield [item]


async def send_progress_lists(request: Request, source: AsyncIterator[Sequence[JsonObject]]) -> None:
    """As `send_progress`, for a source that gives lists of lines, each sent in one system call."""
    first, has_first = await first_of(source)
    stream = request.exchange.stream(content_type=JSON)
    if has_first and first is not None:
        await stream.write(b"".join(map(dump_progress, first)))
        try:
            async for items in source:
                await stream.write(b"".join(map(dump_progress, items)))
        except EngineError as e:
            await stream.write(dump_progress({"errorDetail": {"message": str(e)}, "error": str(e)}))
    stream.finish()


async def send_bytes(request: Request, source: AsyncIterator[bytes], *, content_type: str, **headers: str) -> None:
    """Stream `source`; the head is held back until its first bytes. A later failure breaks the connection."""
    first, has_first = await first_of(source)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    stream = request.exchange.stream(content_type=content_type, headers=names)
    if has_first and first is not None:
        await stream.write(first)
        async for data in source:
            await stream.write(data)
    stream.finish()
