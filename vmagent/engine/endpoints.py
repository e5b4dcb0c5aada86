"""Containers on networks: connects containers through the network controller, and describes them for inspect.

A call to the controller blocks for about a millisecond. All calls run in one thread, which owns the controller.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import structlog

from vmagent.containers.hostfiles import host_resolv
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.linktext import links_by_alias
from vmagent.containers.model import Container
from vmagent.containers.process import open_process
from vmagent.engine.background import Background
from vmagent.engine.endpoint_shapes import EndpointShapes, dns_names
from vmagent.engine.events import EventBus
from vmagent.engine.registry import Registry
from vmagent.engine.threads import Threads
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.linux.netlink import mac_bytes
from vmagent.linux.nft import TableWatch
from vmagent.networks.audit import Fault
from vmagent.networks.controller import NetworkController
from vmagent.networks.dns import NameServer, upstream_resolvers
from vmagent.networks.model import Address, Endpoint, EndpointRequest, Network, PortRequest, Protocol, Sandbox
from vmagent.networks.names import lookup_of, open_sockets
from vmagent.paths import DataRoot, ExecRoot

log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", IPv4Address, IPv6Address)

GIVE_BACK_DELAY_S = 0.001
PREPARE_DELAY_S = 0.02  # after a start: its process is being set up until then
STRAY_FLOWS_DELAY_S = 1.0
UNBRIDGED = ("host", "none")  # network modes that are also names of networks, without a bridge


class Endpoints:
    """Owns the network thread, and knows the networks and addresses of each container."""

    def __init__(
        self,
        registry: Registry,
        bus: EventBus,
        background: Background,
        data_root: DataRoot,
        exec_root: ExecRoot,
        bip: IPv4Interface | None,
        host_ports: Path | None,
        host_gateway: IPv4Address | None = None,
    ) -> None:
        """`host_gateway`: in a VM, the address of the machine around it. `host_ports`: see NetworkController."""
        self._registry, self._bus, self._background = registry, bus, background
        self.controller = NetworkController(data_root, exec_root, bip, host_ports)
        self.shapes = EndpointShapes(self.controller, self._find)
        self.host_gateway = host_gateway
        self._thread = Threads(1, "network")
        self._name_servers: dict[str, NameServer] = {}
        self._is_open = False
        self._preparing: asyncio.TimerHandle | None = None
        self._watch: TableWatch | None = None
        self._with_addresses: set[str] = set()  # containers that are configured with addresses
        self._leaving: tuple[list[Sandbox], asyncio.Future[None]] | None = None

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function`, a call to the controller, in the network thread and return its result."""
        return await self._submit(function, *args, **kwargs)

    def _submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]:
        """Queue `function` for the network thread, which runs calls in the order of submission."""
        self._give_back_now()
        return self._thread.run(partial(function, *args, **kwargs))

    def prepare(self) -> None:
        """Soon make a spare network namespace for the next start.

        The thread does it with the next release, or PREPARE_DELAY_S from now. At once, it would compete with the start
        that has just taken the last one, for a processor and for the kernel's locks. Nothing is made once this engine
        has begun to end.
        """
        if self._is_open and self._preparing is None:
            self._preparing = asyncio.get_running_loop().call_later(PREPARE_DELAY_S, self._prepare_now)

    def _prepare_now(self) -> None:
        if self._preparing is not None:
            self._drop_preparation()
            self._thread.submit(self.controller.prepare)

    def _drop_preparation(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None

    async def open(self, alive: Mapping[str, int]) -> None:
        """Bring the networks up and take over the endpoints of running containers, `alive` (id → pid).

        Raises EngineError, OSError.
        """
        await self.call(self.controller.open, alive)
        self._is_open = True
        for live in self._registry:
            await self.reserve(live.record)
        self._watch = watch = await self.call(self.controller.watch)
        asyncio.get_running_loop().add_reader(watch.fileno(), self._on_rules_changed, watch)
        for sandbox in self.controller.sandboxes():
            if self._needs_names(sandbox):
                await self._serve_names(sandbox)

    def _on_rules_changed(self, watch: TableWatch) -> None:
        if watch.was_deleted():
            self._background.spawn(self._repair(), "repair of the firewall")

    async def _repair(self) -> None:
        try:
            await self.call(self.controller.repair)
        except OSError as e:
            log.error("firewall.not_repaired", error=str(e))

    def _stop_watching(self) -> None:
        """The engine itself may delete its tables from now on."""
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None

    async def close(self) -> None:
        self._stop_watching()
        self._is_open = False
        self._drop_preparation()
        for server in self._name_servers.values():
            server.close()
        self._name_servers.clear()
        await self.call(self.controller.close)
        self._thread.close()

    async def abandon(self) -> None:
        """Close everything that a complete or failed `open` has opened. `open` may be called again."""
        await self.leave()
        await self.call(self.controller.leave)

    async def leave(self) -> None:
        """Stop serving, but keep networks and endpoints: the containers continue without this engine."""
        self._stop_watching()
        self._is_open = False
        self._drop_preparation()
        for server in self._name_servers.values():
            server.close()
        self._name_servers.clear()

    # --- create

    def complete_endpoints(self, record_endpoints: dict[str, JsonObject]) -> dict[str, JsonObject]:
        """The same endpoints with network ids replaced by names. Unknown networks stay as given: start refuses them."""
        result = {}
        for name, settings in record_endpoints.items():
            known = self._find(name)
            result[known.name if known else name] = settings
        return result

    async def reserve(self, record: Container, *, is_removed: bool = False) -> None:
        """The container's configuration has changed, or it was removed: keep the addresses in it from others."""
        asked = {} if is_removed else _static_addresses(record)
        if not asked and record.id not in self._with_addresses:
            return
        self._with_addresses.discard(record.id)
        if asked:
            self._with_addresses.add(record.id)
        found = {network.id: given for name, given in asked.items() if (network := self._find(name))}
        await self.call(self.controller.reserve, record.id, found)

    def network_id(self, name: str) -> str:
        """ "" if there is no such network."""
        network = self._find(name)
        return network.id if network else ""

    def _find(self, ref: str) -> Network | None:
        try:
            return self.controller.find(ref)
        except EngineError:
            return None

    # --- start and exit

    def attach(
        self, record: Container, given_fd: int | None, then: Callable[[Sequence[Endpoint]], None]
    ) -> Awaitable[int | None]:
        """Await it for a descriptor of the network namespace for `record`'s process; None: the host's namespace.

        The network thread begins at once, and calls `then` with the container's endpoints as soon as they are made.
        Without endpoints, `then` is called in a disk thread. The caller may do other work first, but must await the
        result: a copy of a descriptor, which the caller closes, of a new namespace or of `given_fd`. Publishes
        `connect` for each endpoint.

        The call raises NotFound for a missing network or container. The await raises EngineError (address or port
        taken), OSError, and what `then` raises.
        """
        mode = record.network_mode
        if mode == "host":
            return self._ready(None, then)
        if mode.startswith("container:"):
            return self._ready(self._netns_of(mode.partition(":")[2]), then)
        requests = self._requests(record)
        if not requests and given_fd is None and (prepared := self.controller.attach_prepared(record.id)) is not None:
            return self._ready(os.dup(prepared.netns_fd), then)
        ports = self._ports(record) if requests else []

        def work() -> Sandbox:
            sandbox = self.controller.attach(record.id, requests, ports, given_fd)
            then(sandbox.endpoints)
            return sandbox

        return self._attached(record, self._submit(work))

    def _ready(self, fd: int | None, then: Callable[[Sequence[Endpoint]], None]) -> Awaitable[int | None]:
        """The result of `attach` where the namespace exists already. Owns `fd` until it is awaited."""
        working = self._background.begin(then, ())

        async def finish() -> int | None:
            try:
                await working
            except BaseException:
                if fd is not None:
                    os.close(fd)
                raise
            return fd

        return finish()

    async def _attached(self, record: Container, attaching: asyncio.Future[Sandbox]) -> int:
        sandbox = await attaching
        try:
            if self._needs_names(sandbox):
                await self._serve_names(sandbox)
            fd = os.dup(sandbox.netns_fd)
        except BaseException:
            self.release(record)
            raise
        for endpoint in sandbox.endpoints:
            self._publish("connect", record, endpoint)
        if any(port.protocol is Protocol.UDP for port in sandbox.ports):
            asyncio.get_running_loop().call_later(STRAY_FLOWS_DELAY_S, self._forget_stray_flows, record.id)
        return fd

    def _forget_stray_flows(self, container_id: str) -> None:
        async def forget() -> None:
            try:
                await self.call(self.controller.forget_stray_flows, container_id)
            except OSError as e:
                log.error("port.flows_not_forgotten", container=container_id, error=str(e))

        if self.controller.sandbox(container_id) is not None:
            self._background.spawn(forget(), f"stray flows of {container_id[:12]}")

    def _netns_of(self, ref: str) -> int:
        other = self._registry.find(ref).record
        if not other.state.running:
            raise Conflict(
                f"cannot join network namespace of a non running container: container {other.name} is "
                f"{other.state.status}"
            )
        try:
            process_fd = open_process(other.state.pid, other.id)
        except ProcessLookupError as e:
            raise Conflict(f"cannot join network namespace of a non running container: container {other.name}") from e
        try:
            return os.open("ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process_fd)
        finally:
            os.close(process_fd)

    def _requests(self, record: Container) -> list[EndpointRequest]:
        requests = []
        for name, asked in record.endpoints.items():
            network = self._find(name)
            if network is None:
                raise NotFound(f"failed to set up container networking: network {name} not found")
            if network.has_endpoints:
                requests.append(self.request(record, network, asked))
            elif len(record.endpoints) > 1 and network.name in UNBRIDGED:
                raise Conflict(
                    "container cannot be connected to host network - container must be created in host network mode"
                    if network.name == "host"
                    else "container cannot be connected to multiple networks with one of the networks in "
                    "private (none) mode"
                )
        return requests

    def request(self, record: Container, network: Network, asked: Mapping[str, Any]) -> EndpointRequest:
        """The request to the controller that the EndpointSettings `asked` stand for. Raises BadRequest."""
        given = asked.get("IPAMConfig") or {}
        address, address6 = given.get("IPv4Address"), given.get("IPv6Address")
        if network.name == "bridge" and (address or address6):
            raise BadRequest(
                "invalid config for network bridge: invalid endpoint settings:\n"
                "user specified IP address is supported on user defined networks only"
            )
        if network.name == "bridge" and asked.get("Aliases"):
            raise BadRequest(
                "invalid config for network bridge: invalid endpoint settings:\n"
                "network-scoped aliases are only supported for user-defined networks"
            )
        return EndpointRequest(
            network_id=network.id,
            address=_address(IPv4Address, address),
            address6=_address(IPv6Address, address6),
            mac=_mac(asked.get("MacAddress")),
            aliases=tuple(dns_names(record, asked)) if network.name != "bridge" else (),
            links=links_by_alias(asked.get("Links")),
        )

    @staticmethod
    def _ports(record: Container) -> list[PortRequest]:
        bindings = dict(record.host_config["PortBindings"] or {})
        if record.host_config["PublishAllPorts"]:
            for key in record.config.get("ExposedPorts") or ():
                bindings.setdefault(key, [{}])
        return [PortRequest.from_api(key, binding) for key, given in bindings.items() for binding in (given or [{}])]

    def release(self, record: Container) -> asyncio.Future[None] | None:
        """Release the container's endpoints and ports, if any; publishes `disconnect` for each endpoint.

        Returns a future that completes with the release; None if there was nothing to release. A caller that wants the
        same address or network next need not await it, because the network thread works in order. Without published
        ports the release starts a moment later: the thread would compete for the interpreter lock while the exit is
        being published. Errors of the kernel are logged: an exit or a removal continues in spite of them.
        """
        self._drop_name_server(record.id)
        sandbox = self.controller.forget(record.id)
        if sandbox is None:
            return None
        endpoints, has_ports = list(sandbox.endpoints), bool(sandbox.ports)
        loop = asyncio.get_running_loop()
        if self._leaving is None:
            self._leaving = ([], loop.create_future())
            loop.call_later(GIVE_BACK_DELAY_S, self._give_back_now)
        sandboxes, released = self._leaving
        sandboxes.append(sandbox)
        if has_ports:
            self._give_back_now()
        for endpoint in endpoints:
            self._publish("disconnect", record, endpoint)
        return asyncio.shield(released)  # other callers may await the same future

    async def faults(self) -> list[Fault]:
        """As the controller's; what has just been released is given back first. Raises OSError."""
        self._give_back_now()
        return await self.call(self.controller.faults)

    def _give_back_now(self) -> None:
        if self._leaving is None:
            return
        (sandboxes, released), self._leaving = self._leaving, None
        done = self._thread.run(partial(self._give_back, sandboxes))

        def complete(_: asyncio.Future[None]) -> None:
            released.set_result(None)

        done.add_done_callback(complete)
        self._prepare_now()  # the thread is awake

    def _give_back(self, sandboxes: list[Sandbox]) -> None:
        for sandbox in sandboxes:
            try:
                self.controller.give_back(sandbox)
            except OSError as e:
                log.error("network.not_released", container=sandbox.container_id, error=str(e))

    def _publish(self, action: str, record: Container, endpoint: Endpoint) -> None:
        network = self._find(endpoint.network_id)
        driver = network.driver if network else "bridge"
        attributes = {"container": record.id, "name": endpoint.network_name, "type": driver}
        self._bus.publish("network", action, endpoint.network_id, attributes)

    # --- names

    def _drop_name_server(self, container_id: str) -> None:
        if (server := self._name_servers.pop(container_id, None)) is not None:
            server.close()

    @staticmethod
    def _needs_names(sandbox: Sandbox) -> bool:
        return needs_names(sandbox.endpoints)

    def has_name_server(self, container_id: str) -> bool:
        return container_id in self._name_servers

    async def _serve_names(self, sandbox: Sandbox) -> None:
        udp, tcp = await self.call(open_sockets, sandbox)
        lookup = lookup_of(self.controller, sandbox.container_id, self.host_gateway)
        server = NameServer(udp, tcp, lookup, partial(self._upstream, sandbox.container_id))
        self._name_servers[sandbox.container_id] = server
        await server.start()

    async def _upstream(self, container_id: str) -> Sequence[str]:
        """The container's own resolvers, or the host's, which change while it runs: at each network that is joined."""
        live = self._registry.get(container_id)
        own = live.record.host_config["Dns"] if live else None
        return own or upstream_resolvers(await self._background.on_disk(host_resolv))

    # --- connect and disconnect of running containers

    async def connect_running(self, record: Container, network: Network, asked: Mapping[str, Any]) -> None:
        """Raises EngineError."""
        request, ports = self.request(record, network, asked), self._ports(record)
        endpoint = await self.call(self.controller.connect, record.id, request, ports)
        sandbox = self.controller.sandbox(record.id)
        if sandbox and self._needs_names(sandbox) and not self.has_name_server(record.id):
            await self._serve_names(sandbox)
        self._publish("connect", record, endpoint)

    async def disconnect_running(self, record: Container, network: Network) -> None:
        """Raises EngineError."""
        endpoint = await self.call(self.controller.disconnect, record.id, network.id)
        sandbox = self.controller.sandbox(record.id)
        if sandbox is None or not self._needs_names(sandbox):
            self._drop_name_server(record.id)
        self._publish("disconnect", record, endpoint)

    async def align(self, record: Container) -> bool:
        """Make a running container's endpoints match its record. Returns whether any of them differed.

        Errors of the kernel are logged; the record stays as it is, and the next start applies it.
        """
        sandbox = self.controller.sandbox(record.id)
        if sandbox is None:
            return False
        networks = {name: network for name in record.endpoints if (network := self._find(name))}
        wanted = {network.id: name for name, network in networks.items() if network.has_endpoints}
        held = {endpoint.network_id for endpoint in sandbox.endpoints}
        for network_id in held ^ wanted.keys():
            try:
                network = self.controller.find(network_id)
                if network_id in held:
                    await self.disconnect_running(record, network)
                else:
                    await self.connect_running(record, network, record.endpoints[wanted[network_id]])
            except (EngineError, OSError) as e:
                log.error("network.not_aligned", container=record.id, network=network_id, error=str(e))
        return held != wanted.keys()

    def gateway(self) -> str:
        """By which a container reaches the host: in a VM the address of the machine around it, else the default
        bridge's; "" without a default bridge."""
        if self.host_gateway is not None:
            return str(self.host_gateway)
        network = self._find("bridge")
        return str(network.ipv4.gateway) if network and network.ipv4 else ""


def needs_names(endpoints: Sequence[Endpoint]) -> bool:
    """Whether a container with these endpoints gets a name server: it is on a network other than the default bridge."""
    return any(endpoint.network_name != "bridge" for endpoint in endpoints)


def _static_addresses(record: Container) -> dict[str, list[Address]]:
    """Network → the addresses that the container's configuration has on it. Invalid ones: its start refuses them."""
    found = {}
    for name, asked in record.endpoints.items():
        given = asked.get("IPAMConfig") or {}
        texts = [text for text in (given.get("IPv4Address"), given.get("IPv6Address")) if text]
        with suppress(ValueError):
            if texts:
                found[name] = [ip_address(text) for text in texts]
    return found


def _mac(text: str | None) -> str | None:
    """Raises BadRequest, in the words of Go's net.ParseMAC."""
    try:
        if text:
            mac_bytes(text)
    except ValueError as e:
        raise BadRequest(f"address {text}: invalid MAC address") from e
    return text or None


def _address(kind: type[A], text: str | None) -> A | None:
    """Raises BadRequest."""
    try:
        return kind(text) if text else None
    except ValueError as e:
        raise BadRequest(f"invalid {kind.__name__.removesuffix('Address')} address: {text}") from e
