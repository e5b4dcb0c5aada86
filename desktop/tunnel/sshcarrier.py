"""The SSH carrier without its library, which is loaded when a connection is made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from desktop.tunnel.keys import KeyFiles

if TYPE_CHECKING:
    from desktop.tunnel.ssh import SshTransport


class SshCarrier:
    """Connects to the VM's sshd behind `port` of the loopback. Only a VM whose multiplexer fails needs it, and paramiko
    takes as long to load as all else of the host agent."""

    name = "SSH"

    def __init__(self, port: int, keys: KeyFiles) -> None:
        self._port, self._keys = port, keys

    async def connect(self) -> SshTransport:
        """Raises TunnelError."""
        transport = await asyncio.to_thread(_transport)
        return await transport.connect(self._port, self._keys)


def _transport() -> type[SshTransport]:
    from desktop.tunnel.ssh import SshTransport

    return SshTransport
