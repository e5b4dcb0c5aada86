"""Passes bytes between a client's connection and a stream of the tunnel, each direction by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence

from desktop.platform.base import Platform
from desktop.tunnel.transport import CHUNK, Stream


async def relay(platform: Platform, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream) -> None:
    """Pass bytes both ways until both directions have ended, or one end broke or was closed altogether. `stream` is
    closed at the end. Raises OSError, TunnelError."""
    await both_ways(platform, writer, stream, _inward(reader, stream), _outward(stream, writer))


async def both_ways(
    platform: Platform,
    writer: asyncio.StreamWriter,
    stream: Stream,
    inward: Coroutine[None, None, None],
    outward: Coroutine[None, None, None],
) -> None:
    """Run the two directions until both have ended, one has raised, or the client has closed its connection. Then
    `stream` is closed. Raises OSError, and what the directions raise."""
    directions = [asyncio.create_task(inward, name="relay inward"), asyncio.create_task(outward, name="relay outward")]
    try:
        hung_up = asyncio.Event()
        stop_watching = platform.watch_hangup(writer, hung_up.set)  # fails where the client has left already
        # Notice a client that has closed its connection even if the guest never writes, and close the stream too.
        gone = asyncio.create_task(hung_up.wait(), name="client hung up")
        running = {*directions, gone}
        try:
            while not gone.done() and not all(task.done() for task in directions):
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            stop_watching()
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
    finally:
        await end(directions, stream)


async def end(directions: Sequence[asyncio.Task[None]], stream: Stream) -> None:
    """End the tasks of `stream`, then close it, also when the caller is cancelled meanwhile."""
    for task in directions:
        task.cancel()
    try:
        await asyncio.gather(*directions, return_exceptions=True)
    finally:
        stream.close()


async def _inward(reader: asyncio.StreamReader, stream: Stream) -> None:
    while data := await reader.read(CHUNK):
        await stream.write(data)
    await stream.write_eof()


async def _outward(stream: Stream, writer: asyncio.StreamWriter) -> None:
    while data := await stream.read():
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
