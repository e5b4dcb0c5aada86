"""Published ports: what containers in the VM publish is served on this machine, and each connection goes through the
tunnel to its container.

The engine asks on the tunnel's service `ports` (its protocol is in vmagent/networks/forwards.py) before it lets a start
succeed. What it has published stays while the engine or the tunnel is away: listeners are replaced by what an engine
says next, and closed when the VM ends.

On the same service the engine reports what containers with `--network host` listen on: vmagent/engine/hostlisteners.py.
It is served here too, where no published port and no other program has that number; else it is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from desktop.hostagent.connections import Connections
from desktop.hostagent.relay import relay
from desktop.hostagent.udp import UdpForward
from desktop.platform.base import LocalServer, Platform
from desktop.tunnel.transport import Opener, Stream, TcpTarget, TunnelError, UdpTarget

BACKLOG = 1024
_RANDOM_TRIES = 20
_IN_USE = "address already in use"
_LINE_LIMIT = 4 << 20
# One family may be missing on this machine; then "anywhere" means the other one.
_NO_FAMILY = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True)
class Binding:
    """One published port of this machine. `host_ip` is "" where the user named none."""

    protocol: str
    host_ip: str
    host_port: int


class PortRefusedError(Exception):
    """`number` could not be bound; `is_ours`: another container has published it."""

    def __init__(self, number: int, reason: str, *, is_ours: bool = False) -> None:
        super().__init__(reason)
        self.number, self.is_ours = number, is_ours


class PortForwarder:
    """A service of the host agent."""

    def __init__(
        self,
        platform: Platform,
        opener: Callable[[], Opener | None],
        anywhere: Callable[[], tuple[str, ...]],
        has_host_network: Callable[[], bool] = lambda: True,
    ) -> None:
        """`opener` returns the tunnel, None without a VM; `anywhere` the addresses that a port without one gets;
        `has_host_network` whether what host networks listen on is served."""
        self._platform = platform
        self._opener = opener
        self._anywhere = anywhere
        self._has_host_network = has_host_network
        self._forwards: _Forwards = {}  # published
        self._listened: _Forwards = {}  # of host networks
        self._turn = asyncio.Lock()
        self.engines = 0  # connections of engines that may ask
        self._ending: asyncio.Task[None] | None = None
        self._stops = 0

    async def start(self) -> None:
        """Nothing is listened on before an engine asks."""

    def end_soon(self) -> None:
        """The VM has ended: close all ports."""
        if (self._forwards or self._listened) and (self._ending is None or self._ending.done()):
            self._ending = asyncio.create_task(self.stop(), name="end ports")

    async def stop(self) -> None:
        """Close all ports with their connections. A change that waits for its turn is not made any more."""
        self._stops += 1
        async with self._turn:
            for forwards in (self._forwards, self._listened):
                for binding in list(forwards):
                    await _close(forwards, binding)

    async def serve(self, stream: Stream) -> None:
        """One engine's connection. Raises TunnelError."""
        self.engines += 1
        try:
            await self._serve(stream)
        finally:
            self.engines -= 1

    async def _serve(self, stream: Stream) -> None:
        line = bytearray()
        while data := await stream.read():
            line += data
            if len(line) > _LINE_LIMIT:
                return
            while (end := line.find(b"\n")) >= 0:
                message, line = json.loads(line[:end]), line[end + 1 :]
                # Shielded: the stream may break within a change, and the change must be whole.
                reply = await asyncio.shield(asyncio.create_task(self._reply(message), name="change of ports"))
                await stream.write(json.dumps(reply).encode() + b"\n")

    async def _reply(self, message: dict[str, Any]) -> dict[str, Any]:
        stops = self._stops
        async with self._turn:
            if stops != self._stops:  # the engine that asked for it is gone
                error = {"error": "the VM has ended", "index": 0, "host_port": 0, "is_ours": False}
                return {**error, "lost": [], "refused": []}
            if "publish" in message:
                return await self._publish(message["publish"])
            if "unpublish" in message:
                for entry in message["unpublish"]:
                    await _close(self._forwards, _binding(entry))
                return {}
            if "listeners" in message:
                return await self._listen(message["listeners"])
            return await self._sync(message["sync"])

    async def _publish(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """All of them, or none."""
        opened: list[Binding] = []
        for index, entry in enumerate(entries):
            try:
                opened.append(await self._open_first(entry))
            except PortRefusedError as e:
                for binding in opened:
                    await _close(self._forwards, binding)
                error = await self._explained(str(entry["protocol"]), e)
                return {"error": error, "index": index, "host_port": e.number, "is_ours": e.is_ours}
        return {"host_ports": [binding.host_port for binding in opened]}

    async def _sync(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Hold exactly `entries`."""
        wanted = {_binding(entry): (index, (entry["address"], entry["port"])) for index, entry in enumerate(entries)}
        return {"lost": await self._hold(self._forwards, wanted)}

    async def _listen(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Serve exactly what host networks listen on, as far as that is possible."""
        wanted: _Wanted = {}
        refused = []
        try:
            for index, entry in enumerate(entries) if self._has_host_network() else ():
                binding, target = _seen_from_here(str(entry["protocol"]), str(entry["address"]), int(entry["port"]))
                wanted.setdefault(binding, (index, target))
        except ValueError as e:
            refused = [{"index": index, "error": str(e)} for index in range(len(entries))]
        return {"refused": refused + await self._hold(self._listened, wanted)}

    async def _hold(self, forwards: _Forwards, wanted: _Wanted) -> list[dict[str, Any]]:
        """Make `forwards` hold exactly `wanted`. What it holds already keeps its connections. Returns what was refused,
        with the index and the reason."""
        for binding in list(forwards):
            if binding not in wanted or forwards[binding].target != wanted[binding][1]:
                await _close(forwards, binding)
        refused = []
        for binding, (index, target) in wanted.items():
            if binding not in forwards:
                try:
                    await self._open(forwards, binding, target)
                except PortRefusedError as e:
                    refused.append({"index": index, "error": await self._explained(binding.protocol, e)})
        return refused

    async def _explained(self, protocol: str, refusal: PortRefusedError) -> str:
        """The refusal's text, with the process that has the port where the system tells."""
        if str(refusal) != _IN_USE or not refusal.number:
            return str(refusal)
        holder = await asyncio.to_thread(self._platform.port_holder, protocol, refusal.number)
        return f"{refusal} by {holder}" if holder else str(refusal)

    async def _open_first(self, entry: dict[str, Any]) -> Binding:
        """Bind the first free port of the entry's range; 0: any. Raises PortRefusedError."""
        first, last = int(entry["first"]), int(entry["last"])
        numbers = range(first, last + 1) if first else [0] * _RANDOM_TRIES
        refusal: PortRefusedError | None = None
        for number in numbers:
            binding = Binding(str(entry["protocol"]), str(entry["host_ip"]), number)
            try:
                return await self._open(self._forwards, binding, (str(entry["address"]), int(entry["port"])))
            except PortRefusedError as e:
                refusal = e
        assert refusal is not None
        raise refusal

    async def _open(self, forwards: _Forwards, binding: Binding, target: tuple[str, int]) -> Binding:
        """The binding with its number, kept in `forwards`. Raises PortRefusedError."""
        try:
            addresses = (binding.host_ip,) if binding.host_ip else self._anywhere()
        except ValueError as e:
            raise PortRefusedError(binding.host_port, str(e)) from e
        if binding.host_port and _is_held(self._forwards, binding, addresses):
            raise PortRefusedError(binding.host_port, "port is already allocated", is_ours=True)
        if binding.host_port and _is_held(self._listened, binding, addresses):
            raise PortRefusedError(binding.host_port, f"{_IN_USE} by a container with the host's network")
        sockets = _bound(binding, addresses)
        number: int = sockets[0].getsockname()[1]
        forward = _Forward(target, addresses)
        try:
            for sock in sockets:
                await self._serve_socket(forward, binding.protocol, sock)
        except BaseException:
            await forward.close()
            for sock in sockets:
                sock.close()
            raise
        made = Binding(binding.protocol, binding.host_ip, number)
        forwards[made] = forward
        return made

    async def _serve_socket(self, forward: _Forward, protocol: str, sock: socket.socket) -> None:
        if protocol == "udp":
            loop = asyncio.get_running_loop()
            udp = UdpForward(lambda: self._open_stream(UdpTarget(*forward.target)))
            await loop.create_datagram_endpoint(lambda: udp, sock=sock)
            forward.datagrams.append(udp)
            return

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._pass_on(TcpTarget(*forward.target), reader, writer)

        server = await asyncio.start_server(forward.connections.tracked(handle), sock=sock, backlog=BACKLOG)
        forward.servers.append(server)

    async def _pass_on(self, target: TcpTarget, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await relay(self._platform, reader, writer, await self._open_stream(target))
        except (OSError, TunnelError):
            writer.transport.abort()  # the client sees a reset, as of a port that nobody listens on
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _open_stream(self, target: TcpTarget | UdpTarget) -> Stream:
        """Raises TunnelError."""
        if (opener := self._opener()) is None:
            raise TunnelError("the VM does not run")
        return await opener.open_stream(target)


class _Forward:
    """The sockets of one binding, and the connections that came through them."""

    def __init__(self, target: tuple[str, int], addresses: tuple[str, ...]) -> None:
        self.target, self.addresses = target, addresses
        self.servers: list[LocalServer] = []
        self.datagrams: list[UdpForward] = []
        self.connections = Connections()

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        await self.connections.end()
        for udp in self.datagrams:
            await udp.close()


# A binding's target, with the index of the entry that asks for it.
_Wanted: TypeAlias = dict[Binding, tuple[int, tuple[str, int]]]
_Forwards: TypeAlias = dict[Binding, _Forward]


async def _close(forwards: _Forwards, binding: Binding) -> None:
    if (forward := forwards.pop(binding, None)) is not None:
        await forward.close()


def _binding(entry: dict[str, Any]) -> Binding:
    return Binding(str(entry["protocol"]), str(entry["host_ip"]), int(entry["host_port"]))


def _seen_from_here(protocol: str, address: str, port: int) -> tuple[Binding, tuple[str, int]]:
    """Where a listener of the VM's own network is served, and to what address of the VM connections go. One of the VM's
    loopback is on this machine's; all others are where ports without an address are published."""
    at = ipaddress.ip_address(address)
    host_ip = address if at.is_loopback else ""
    loopback = "127.0.0.1" if at.version == 4 else "::1"
    return Binding(protocol, host_ip, port), (loopback if at.is_unspecified else address, port)


def _is_held(forwards: _Forwards, binding: Binding, addresses: Sequence[str]) -> bool:
    return any(
        held.protocol == binding.protocol
        and held.host_port == binding.host_port
        and _overlap(forward.addresses, addresses)
        for held, forward in forwards.items()
    )


def _overlap(some: Sequence[str], others: Sequence[str]) -> bool:
    for one in map(ipaddress.ip_address, some):
        for other in map(ipaddress.ip_address, others):
            if one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified):
                return True
    return False


def _bound(binding: Binding, addresses: Sequence[str]) -> list[socket.socket]:
    """A socket for each address, all with the same number. Raises PortRefusedError, after which none is left."""
    sockets: list[socket.socket] = []
    number, absent = binding.host_port, None
    for address in addresses:
        is_v6 = ":" in address
        kind = socket.SOCK_DGRAM if binding.protocol == "udp" else socket.SOCK_STREAM
        sock = None
        try:
            sock = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, kind)
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows: else others could take the port from us
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            elif kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_v6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            sock.bind((address, number))
            if kind == socket.SOCK_STREAM:
                sock.listen(BACKLOG)  # here, because only then the system says whether the port is free
        except OSError as e:
            if sock is not None:
                sock.close()
            if e.errno in _NO_FAMILY and not binding.host_ip:
                absent = e
                continue
            for made in sockets:
                made.close()
            raise PortRefusedError(number, _reason(e)) from e
        sockets.append(sock)
        number = sock.getsockname()[1]
    if not sockets:
        assert absent is not None
        raise PortRefusedError(number, _reason(absent))
    return sockets


def _reason(error: OSError) -> str:
    if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)):
        return _IN_USE
    return str(error.strerror or error).lower()
