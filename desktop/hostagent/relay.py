"""Passes bytes between a client's connection and a stream of the tunnel, each direction by itself."""

from __future__ import annotations

import asyncio

from desktop.platform.base import Platform
from desktop.tunnel.transport import CHUNK, Stream


async def relay(platform: Platform, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream) -> None:
    """Pass bytes both ways until both directions have ended, or one end broke or was closed altogether. `stream` is
    closed at the end. Raises OSError, TunnelError."""
    try:
        hung_up = asyncio.Event()
        stop_watching = platform.watch_hangup(writer, hung_up.set)  # fails where the client has left already
        inward = asyncio.create_task(_inward(reader, stream), name="relay inward")
        outward = asyncio.create_task(_outward(stream, writer), name="relay outward")
        # Notice a client that has closed its connection even if the guest never writes, and close the stream too.
        gone = asyncio.create_task(hung_up.wait(), name="client hung up")
        running = {inward, outward, gone}
        try:
            while not gone.done() and not (inward.done() and outward.done()):
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in (inward, outward, gone):
                task.cancel()
            await asyncio.gather(inward, outward, gone, return_exceptions=True)
            stop_watching()
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
