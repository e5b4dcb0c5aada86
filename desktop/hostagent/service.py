"""The services of the host agent: what it starts in order, and stops in the opposite order."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from desktop.hostagent.connections import Connections
from desktop.platform.base import Handler, LocalServer, Platform


class Service(Protocol):
    """One thing that the agent does for others."""

    async def start(self) -> None:
        """Raises OSError where it cannot be served."""
        ...

    async def stop(self) -> None:
        """End it with all its connections. Called once, after `start` has returned."""
        ...


class SocketService:
    """A local socket, and a handler for each of its connections."""

    def __init__(self, platform: Platform, path: Path, handler: Handler) -> None:
        self._platform, self._path, self._handler = platform, path, handler
        self._connections = Connections()
        self._server: LocalServer | None = None

    async def start(self) -> None:
        self._server = await self._platform.serve(self._path, self._connections.tracked(self._handler))

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        # The file outlives its server. On Windows the name is a pipe's and vanishes with it.
        if self._path.is_socket():
            self._path.unlink(missing_ok=True)
        await self._connections.end()
