"""The name server at 127.0.0.11 in every container on a user-defined network (RFC 1035; packets by dnslib).

Its sockets are made inside the container's network namespace by the network thread, and served by the engine's loop,
because a socket stays in the namespace where it was made. It resolves the names of containers that share a network with
its container, and forwards all other queries to the host's resolvers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from vmagent.networks.model import Address

if TYPE_CHECKING:
    from dnslib import DNSRecord

ADDRESS = "127.0.0.11"
FORWARD_LIMIT_S = 4.0
_TTL_S = 600
_MAX_TCP = 1 << 16
_TCP_LIMIT_S = 30.0
_MAX_FORWARDS = 256  # concurrent queries and connections of one container

# A name in lower case without its final dot → its addresses; None: no container's name, forward the query.
Lookup = Callable[[str], Sequence[Address] | None]
# The addresses of the name servers to which a query is forwarded, now. They change while a container runs.
Upstream = Callable[[], Awaitable[Sequence[str]]]


def upstream_resolvers(resolv_conf: str) -> list[str]:
    """The name servers of a resolv.conf(5) text."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            found.append(words[1])
    return found


def answer(query: DNSRecord, lookup: Lookup) -> DNSRecord | None:
    """The reply to `query`; None if it must be forwarded.

    For a container's name without an address of the family the reply is empty, so that clients don't wait.
    """
    from dnslib import AAAA, QTYPE, RR, A

    if query.q is None:
        return None
    addresses = lookup(str(query.q.qname).rstrip(".").lower())
    if addresses is None:
        return None
    reply = query.reply(ra=1, aa=0)
    for address in addresses:
        kind, rdata = (QTYPE.A, A) if address.version == 4 else (QTYPE.AAAA, AAAA)
        if query.q.qtype in (kind, QTYPE.ANY):
            reply.add_answer(RR(query.q.qname, kind, ttl=_TTL_S, rdata=rdata(str(address))))
    return reply


class NameServer:
    """Serves one container's pair of sockets on the running loop until `close`. Owns both sockets."""

    def __init__(self, udp: socket.socket, tcp: socket.socket, lookup: Lookup, upstream: Upstream) -> None:
        self._udp, self._tcp = udp, tcp
        self._lookup, self._upstream = lookup, upstream
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._udp.setblocking(False)
        self._tcp.setblocking(False)
        loop.add_reader(self._udp.fileno(), self._on_datagram)
        self._server = await asyncio.start_server(self._on_connection, sock=self._tcp, limit=_MAX_TCP)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._udp.fileno())
        self._udp.close()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()

    def _on_datagram(self) -> None:
        try:
            data, peer = self._udp.recvfrom(4096)
        except (BlockingIOError, ConnectionError):
            return  # no valid packet after all, or an earlier reply was not delivered (ICMP)
        if len(self._tasks) >= _MAX_FORWARDS:
            return  # the client asks again
        task = asyncio.get_running_loop().create_task(self._reply_to(data, peer), name="dns query")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply_to(self, data: bytes, peer: tuple[str, int]) -> None:
        reply = await self._resolve(data, over_tcp=False)
        if reply is None:
            return
        try:
            self._udp.sendto(reply, peer)
        except (BlockingIOError, ConnectionError):
            return  # as if lost on the way: the client asks again

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _MAX_FORWARDS:  # one container must not exhaust the engine's descriptors
            writer.close()
            return
        self._tasks.add(task)
        try:
            async with asyncio.timeout(_TCP_LIMIT_S):
                size = int.from_bytes(await reader.readexactly(2), "big")
                reply = await self._resolve(await reader.readexactly(size), over_tcp=True)
                if reply is not None:
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return  # the client disconnected
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _resolve(self, data: bytes, *, over_tcp: bool) -> bytes | None:
        """The reply to the packet `data`; None if it is not a DNS query."""
        from dnslib import RCODE, DNSError, DNSRecord

        try:
            query = DNSRecord.parse(data)
        except DNSError:
            return None
        ours = answer(query, self._lookup)
        if ours is not None:
            return bytes(ours.pack())
        for server in await self._upstream():
            try:
                async with asyncio.timeout(FORWARD_LIMIT_S):
                    return await (_ask_tcp(server, data) if over_tcp else _ask_udp(server, data))
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                continue
        failed = query.reply(ra=1, aa=0)
        failed.header.rcode = RCODE.SERVFAIL
        return bytes(failed.pack())


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, identity: bytes) -> None:
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._identity = identity

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[:2] == self._identity and not self.reply.done():
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _ask_udp(server: str, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Answer(data[:2]), remote_addr=(server, 53))
    try:
        transport.sendto(data)
        return await protocol.reply
    finally:
        transport.close()


async def _ask_tcp(server: str, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, 53)
    try:
        writer.write(len(data).to_bytes(2, "big") + data)
        await writer.drain()
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()
