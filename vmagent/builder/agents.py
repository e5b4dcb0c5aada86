"""Sockets on which the programs of a build reach an ssh agent of the client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from vmagent.builder.request import SshAgents
from vmagent.errors import EngineError

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def forwarded(
    agents: SshAgents, agent_id: str, path: Path, *, mode: int = 0o600, owner: tuple[int, int] = (0, 0)
) -> AsyncIterator[None]:
    """Serve the client's agent at the new socket `path` until the exit, which removes it. Raises OSError."""
    listener = await asyncio.to_thread(_listen, path, mode, owner)
    serving = asyncio.create_task(_serve(listener, agents, agent_id), name=f"ssh agent {agent_id}")
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        listener.close()
        await asyncio.to_thread(path.unlink)


async def _serve(listener: socket.socket, agents: SshAgents, agent_id: str) -> None:
    """Forward each connection until this task is cancelled. One that fails is closed; the others go on."""
    loop = asyncio.get_running_loop()

    async def forward(connection: socket.socket) -> None:
        with connection:
            try:
                await agents.forward(agent_id, connection.fileno())
            except (EngineError, OSError) as e:  # such as a command that closes its end before the answer
                log.info("build.ssh_agent_failed", agent=agent_id, error=str(e))

    async with asyncio.TaskGroup() as group:
        while True:
            connection, _ = await loop.sock_accept(listener)
            group.create_task(forward(connection), name=f"ssh agent {agent_id}")


def _listen(path: Path, mode: int, owner: tuple[int, int]) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(str(path))
        os.chown(path, *owner)
        path.chmod(mode)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener
