"""The connections of one server: tasks that can be ended together."""

from __future__ import annotations

import asyncio

from desktop.platform.base import Handler


class Connections:
    """Keeps account of the tasks in which handlers run."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ended = False

    def tracked(self, handler: Handler) -> Handler:
        """`handler`, with its task recorded."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._is_ended:  # it was accepted before the server was closed
                writer.transport.abort()
                return
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await handler(reader, writer)
            except asyncio.CancelledError:
                # asyncio's streams would log the cancellation as an error. Here it is the normal end of a connection.
                writer.close()
            finally:
                self._tasks.discard(task)

        return handle

    async def end(self) -> None:
        """Cancel all handlers and wait for their end. Connections that are still to come are closed at once."""
        self._is_ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
