"""What a client's session offers to a build beside files: secrets, ssh agents, and what it knows about registries.

Services of the client: moby.buildkit.secrets.v1.Secrets, moby.sshforward.v1.SSH and moby.filesync.v1.Auth.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

from grpclib.const import Status as Code
from grpclib.exceptions import GRPCError

from vmagent.buildkit import messages as pb
from vmagent.buildkit.rpc import client_error
from vmagent.buildkit.sessions import Session
from vmagent.errors import EngineError

_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
_CHECK_AGENT = "/moby.sshforward.v1.SSH/CheckAgent"
_FORWARD_AGENT = "/moby.sshforward.v1.SSH/ForwardAgent"
_AGENT_ID = "buildkit.ssh.id"
_CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
_HUB, _HUB_REGISTRY = "docker.io", "registry-1.docker.io"  # the second is the name under which clients look it up
_IDENTITY_TOKEN = "<token>"  # in place of a user name
_CHUNK_BYTES = 32 << 10


class SessionSecrets:
    """`builder.request.Secrets`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, secret_id: str) -> bytes | None:
        if not self._session.serves(_SECRET):
            return None
        try:
            reply = await self._session.caller.ask(_SECRET, pb.GetSecretRequest(ID=secret_id), pb.GetSecretResponse)
        except GRPCError as e:
            if e.status in (Code.NOT_FOUND, Code.UNIMPLEMENTED):
                return None
            raise client_error(e) from e
        return reply.data


class SessionAgents:
    """`builder.request.SshAgents`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def has(self, agent_id: str) -> bool:
        if not self._session.serves(_CHECK_AGENT):
            return False
        try:
            await self._session.caller.ask(_CHECK_AGENT, pb.CheckAgentRequest(ID=agent_id), pb.CheckAgentResponse)
        except GRPCError:
            return False  # any refusal means that the client has no such agent (its text is only for logs)
        return True

    async def forward(self, agent_id: str, connection_fd: int) -> None:
        connection = socket.socket(fileno=socket.dup(connection_fd))
        connection.setblocking(False)
        has_ended = asyncio.Event()
        try:
            async with self._session.caller.open(_FORWARD_AGENT, pb.BytesMessage, [(_AGENT_ID, agent_id)]) as stream:
                sending = asyncio.create_task(_send(connection, stream, has_ended), name="ssh agent")
                try:
                    while (message := await stream.recv_message()) is not None:
                        await asyncio.get_running_loop().sock_sendall(connection, message.data)
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
        except EngineError:
            if not has_ended.is_set():  # after our end, the client reports the end of its input as an error
                raise
        except BrokenPipeError:
            pass  # the step's process has closed its connection before the reply; leaving `open` ended the call
        finally:
            connection.close()


async def _received(connection: socket.socket) -> bytes:
    """What the step's process sends; nothing once it has closed its connection, also with replies unread."""
    try:
        return await asyncio.get_running_loop().sock_recv(connection, _CHUNK_BYTES)
    except ConnectionResetError:
        return b""


async def _send(connection: socket.socket, stream: Any, has_ended: asyncio.Event) -> None:
    while data := await _received(connection):
        await stream.send_message(pb.BytesMessage(data=data))
    has_ended.set()
    await stream.end()


class SessionCredentials:
    """`builder.request.Credentials`; each registry is asked about once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, Mapping[str, Any]] = {}

    async def get(self, registry: str) -> Mapping[str, Any]:
        if registry not in self._known:
            self._known[registry] = await self._ask(registry)
        return self._known[registry]

    async def _ask(self, registry: str) -> Mapping[str, Any]:
        if not self._session.serves(_CREDENTIALS):
            return {}
        host = _HUB_REGISTRY if registry == _HUB else registry
        try:
            reply = await self._session.caller.ask(
                _CREDENTIALS, pb.CredentialsRequest(Host=host), pb.CredentialsResponse
            )
        except GRPCError as e:
            raise client_error(e) from e
        if not reply.Secret:
            return {}
        if not reply.Username or reply.Username == _IDENTITY_TOKEN:
            return {"identitytoken": reply.Secret}
        return {"username": reply.Username, "password": reply.Secret}
