"""Networks and the endpoints on them. Every call blocks for about a millisecond, so all run in one network thread.

The controller makes a container's network namespace and passes it on as a descriptor; the container's process enters
it. The resources of each endpoint (address, interface, ports) are also recorded under the exec root. A new engine takes
them over after a kill, and removes those of containers that have ended.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import structlog

from vmagent.durable import fsync_dir, publish, sweep
from vmagent.errors import Conflict, EngineError, Forbidden, NotFound
from vmagent.linux import conntrack, netlink, netns
from vmagent.networks import records
from vmagent.networks.disposer import DEAD_GROUP, Disposer
from vmagent.networks.firewall import Firewall
from vmagent.networks.forwards import ForwardedPorts
from vmagent.networks.ipam import Leases, choose_subnet
from vmagent.networks.model import (
    Endpoint,
    EndpointRequest,
    Network,
    NetworkId,
    PortRequest,
    Protocol,
    PublishedPort,
    Sandbox,
    mac_of,
    meant,
    new_id,
    now,
)
from vmagent.networks.namespace import SpareNamespace, open_namespace
from vmagent.networks.ports import HostPorts, PortHolder
from vmagent.paths import DEFAULT_EXEC_ROOT, DataRoot, ExecRoot

log = structlog.get_logger(__name__)


class NetworkController:
    """All networks of one engine. Call `open` first; all methods must be called in the thread that called `open`.

    Exceptions: `networks`, `find`, `sandbox`, `sandboxes` and `endpoints_on` may be called from any thread, and return
    a snapshot. `forget` and `attach_prepared` may be called from any thread, too.
    """

    def __init__(
        self,
        data_root: DataRoot,
        exec_root: ExecRoot,
        bip: IPv4Interface | None = None,
        host_ports: Path | None = None,
    ) -> None:
        """`host_ports`: in a VM, the socket of the host's agent that publishes ports on the host."""
        self._data_root, self._exec_root, self._bip = data_root, exec_root, bip
        # Each of several engines on one machine needs its own table and bridge.
        own = sha256(str(exec_root.path).encode()).hexdigest()[:8]
        is_default = exec_root.path == DEFAULT_EXEC_ROOT
        self._default_bridge = "cove0" if is_default else f"cv{own}"
        self._table = "cove" if is_default else f"cove_{own}"
        self._networks: dict[NetworkId, Network] = {}
        self._leases: dict[NetworkId, Leases] = {}
        self._bridges: dict[NetworkId, int] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._spare = SpareNamespace()
        self._ports: PortHolder = HostPorts() if host_ports is None else ForwardedPorts(host_ports)
        # In the VM this interface leads to the host alone, for SSH; a port that is published there is not meant for it.
        self._uplink = None if host_ports is None else "eth0"
        self._leaving = ExitStack()

    # --- opening and closing

    def open(self, alive: Mapping[str, int]) -> None:
        """Bring every network up and take over the sandboxes of the containers of `alive` (id → pid).

        Raises EngineError or OSError if the kernel refuses (no CAP_NET_ADMIN, no bridge or nftables support); then
        everything is released, and `open` may be called again.
        """
        with ExitStack() as undo:
            undo.callback(self._forget)
            self._home = netns.current()
            undo.callback(os.close, self._home)
            self._netlink = netlink.NetlinkSocket()
            undo.callback(self._netlink.close)
            self._disposer = Disposer(netlink.NetlinkSocket())
            undo.callback(self._disposer.close)
            self._firewall = Firewall(self._table, self._uplink)
            undo.callback(self._firewall.let_go)
            self._firewall.open()
            for folder in (self._data_root.networks, self._exec_root.networks):
                folder.mkdir(parents=True, exist_ok=True)
                sweep(folder)
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            self._load_networks()
            for network in self._networks.values():
                if network.has_bridge:
                    self._bring_up(network)
            self._apply_firewall()
            self._restore(alive)
            self._ports.open()
            self._leaving = undo.pop_all()

    def leave(self) -> None:
        """Close the controller's own descriptors; networks and endpoints stay. `open` may be called again."""
        self._leaving.close()

    def _forget(self) -> None:
        self._spare.drop()
        for sandbox in self._sandboxes.values():
            os.close(sandbox.netns_fd)
        self._ports.close()
        for known in (self._networks, self._leases, self._bridges, self._sandboxes):
            known.clear()

    def close(self) -> None:
        """Release all remaining sandboxes, then remove bridges and table, and end the disposer thread."""
        for container_id in list(self._sandboxes):
            self.release(container_id)
        self._disposer.close()
        self._spare.drop()
        for network_id in list(self._bridges):
            self._take_down(network_id)
        self._firewall.close()
        self._ports.close()
        self._netlink.close()
        os.close(self._home)

    def _load_networks(self) -> None:
        self._networks.update(records.read_networks(self._data_root.networks))
        for name, driver in (("bridge", "bridge"), ("host", "host"), ("none", "null")):
            if not any(network.name == name for network in self._networks.values()):
                self._publish(self._predefined(name, driver))
        default = self.find("bridge")
        if self._bip and (default.subnet, default.gateway) != (self._bip.network, self._bip.ip):
            moved = records.with_subnet(default, self._bip.network, self._bip.ip)
            self._publish(moved)

    def _predefined(self, name: str, driver: str) -> Network:
        subnet = gateway = None
        if driver == "bridge":
            subnet = self._bip.network if self._bip else choose_subnet(self._taken_subnets())
            gateway = self._bip.ip if self._bip else subnet[1]
        return Network(
            id=NetworkId(new_id()),
            name=name,
            driver=driver,
            created=now(),
            subnet=subnet,
            gateway=gateway,
            bridge=self._default_bridge if driver == "bridge" else "",
            predefined=True,
        )

    def _publish(self, network: Network) -> None:
        publish(self._data_root.networks / f"{network.id}.json", json.dumps(network.to_record()).encode())
        self._networks[network.id] = network

    def _taken_subnets(self) -> list[IPv4Network]:
        ours = [network.subnet for network in self._networks.values() if network.subnet]
        return [*self._netlink.routes(), *ours]

    def _bring_up(self, network: Network) -> None:
        """Make the network's bridge, or reuse the one of a killed engine."""
        assert network.subnet is not None
        assert network.gateway is not None
        exists = frozenset({errno.EEXIST})
        netlink.send_all(self._netlink, [netlink.add_bridge(network.bridge, network.mtu)], ignore=exists)
        index = socket.if_nametoindex(network.bridge)
        address = network.interface(network.gateway)
        netlink.send_all(self._netlink, [netlink.add_address(index, address)], ignore=exists)
        self._netlink.send(netlink.set_link(index, up=True))
        # Allows the kernel to forward packets for 127.0.0.1:PORT of the host to a container.
        Path(f"/proc/sys/net/ipv4/conf/{network.bridge}/route_localnet").write_text("1")
        self._bridges[network.id] = index
        self._leases[network.id] = Leases(network.subnet, network.gateway, network.ip_range)

    def _take_down(self, network_id: NetworkId) -> None:
        netlink.send_all(
            self._netlink, [netlink.delete_link(self._bridges.pop(network_id))], ignore=frozenset({errno.ENODEV})
        )
        del self._leases[network_id]

    def _apply_firewall(self) -> None:
        self._firewall.set_networks(n for n in self._networks.values() if n.id in self._bridges)

    def _restore(self, alive: Mapping[str, int]) -> None:
        """Take over the sandboxes of running containers; put other interfaces of a killed engine in the dead group."""
        kept: set[int] = set()
        for path in self._exec_root.networks.glob("*.json"):
            container_id = path.stem
            sandbox = records.read_sandbox(path, container_id, netns.of_process(alive.get(container_id)))
            if sandbox is None or any(e.network_id not in self._bridges for e in sandbox.endpoints):
                if sandbox is not None:
                    os.close(sandbox.netns_fd)
                path.unlink()
                continue
            for endpoint in sandbox.endpoints:
                self._leases[endpoint.network_id].hold(endpoint.address.ip)
                kept.add(endpoint.host_index)
            self._hold_again(sandbox)
            self._sandboxes[container_id] = sandbox
        bridges = set(self._bridges.values())
        stray = [link.number for link in self._netlink.links() if link.master in bridges and link.number not in kept]
        for number in stray:
            self._netlink.send(netlink.set_link(number, up=False, group=DEAD_GROUP))
        if stray:  # at once: inside the container, its peer may have the name that the next endpoint will get
            self._delete_dead()

    def _hold_again(self, sandbox: Sandbox) -> None:
        if sandbox.ports:
            address = sandbox.endpoints[0].address.ip
            sandbox.ports[:] = self._ports.hold_again(sandbox.ports, address)
            self._firewall.publish(sandbox.ports, address)

    # --- networks

    def networks(self) -> list[Network]:
        return list(self._networks.values())

    def find(self, reference: str) -> Network:
        """By id, name or prefix of the id, in this order. Raises NotFound; BadRequest for an ambiguous prefix."""
        return self._networks.get(NetworkId(reference)) or meant(self.networks(), reference)

    def _known(self, network_id: NetworkId) -> Network:
        """The network. Raises NotFound if it was removed since the loop's thread looked it up."""
        network = self._networks.get(network_id)
        if network is None:
            raise NotFound(f"network {network_id} not found")
        return network

    def create(
        self,
        name: str,
        *,
        subnet: IPv4Network | None = None,
        gateway: IPv4Address | None = None,
        ip_range: IPv4Network | None = None,
        internal: bool = False,
        attachable: bool = False,
        mtu: int = 1500,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Network:
        """Make a bridge network. Raises Conflict if the name is taken, Forbidden if the subnet overlaps another one."""
        if any(network.name == name for network in self._networks.values()):
            raise Conflict(f"network with name {name} already exists")
        taken = self._taken_subnets()
        if subnet is None:
            subnet = choose_subnet(taken)
        elif any(subnet.overlaps(n.subnet) for n in self._networks.values() if n.subnet):
            raise Forbidden("invalid pool request: Pool overlaps with other one on this address space")
        network_id = NetworkId(new_id())
        network = Network(
            id=network_id,
            name=name,
            driver="bridge",
            created=now(),
            subnet=subnet,
            gateway=gateway or (ip_range or subnet)[1],
            ip_range=ip_range,
            bridge=f"cv-{network_id[:12]}",
            internal=internal,
            attachable=attachable,
            mtu=mtu,
            labels=labels or {},
            options=options or {},
        )
        with ExitStack() as undo:
            self._bring_up(network)
            undo.callback(self._apply_firewall)
            undo.callback(self._take_down, network.id)
            self._networks[network.id] = network
            undo.callback(self._networks.pop, network.id)
            self._apply_firewall()
            self._publish(network)
            undo.pop_all()
        return network

    def remove(self, network_id: NetworkId) -> None:
        """Remove a network. Raises Forbidden (docker's 403) if it is predefined or has endpoints, NotFound."""
        network = self._known(network_id)
        if network.predefined:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        if self.endpoints_on(network_id):
            raise Forbidden(f"error while removing network: network {network.name} has active endpoints")
        (self._data_root.networks / f"{network_id}.json").unlink(missing_ok=True)
        fsync_dir(self._data_root.networks)
        del self._networks[network_id]
        self._take_down(network_id)
        self._apply_firewall()

    def endpoints_on(self, network_id: NetworkId) -> dict[str, Endpoint]:
        """The running containers' endpoints on a network, by container id."""
        return {
            container_id: endpoint
            for container_id, sandbox in list(self._sandboxes.items())
            for endpoint in sandbox.endpoints
            if endpoint.network_id == network_id
        }

    # --- endpoints

    def sandbox(self, container_id: str) -> Sandbox | None:
        return self._sandboxes.get(container_id)

    def sandboxes(self) -> list[Sandbox]:
        return list(self._sandboxes.values())

    def attach(
        self,
        container_id: str,
        requests: Sequence[EndpointRequest],
        ports: Iterable[PortRequest] = (),
        given_fd: int | None = None,
    ) -> Sandbox:
        """Make a namespace with an endpoint on each network, and publish `ports` to the first one's address.

        The controller owns the sandbox's `netns_fd` until `release`. A failure undoes all changes to the host.
        Raises EngineError (address or port taken, pool empty) and OSError.
        """
        with ExitStack() as undo:
            fd, inner = (given_fd is None and self._spare.take()) or open_namespace(self._home, given_fd)
            undo.callback(os.close, fd)
            undo.enter_context(inner)
            sandbox = Sandbox(container_id=container_id, netns_fd=fd)
            for number, request in enumerate(requests):
                self._join(sandbox, inner, request, number, undo)
            if requested := list(ports):
                address = sandbox.endpoints[0].address.ip
                sandbox.ports += self._ports.reserve(requested, address)
                undo.callback(self._ports.release, list(sandbox.ports))
                undo.callback(self._firewall.unpublish, list(sandbox.ports))
                self._netlink.send(netlink.set_hairpin(sandbox.endpoints[0].host_index))
                self._firewall.publish(sandbox.ports, address)
                self._forget_flows(sandbox.ports)
            self._keep(sandbox)
            undo.pop_all()
            inner.close()
        self._sandboxes[container_id] = sandbox
        return sandbox

    def prepare(self) -> None:
        """Make a spare namespace for the next `attach`, outside of any request."""
        try:
            self._spare.make(self._home)
        except OSError as e:  # `attach` tries again, and raises to its caller
            log.warning("namespace.not_prepared", error=str(e))

    def attach_prepared(self, container_id: str) -> Sandbox | None:
        """A sandbox without endpoints in the spare namespace; None if there is no spare. Does not block.

        Any thread may call it; call `keep` afterwards, in the network thread.
        """
        spare = self._spare.take()
        if spare is None:
            return None
        fd, inner = spare
        inner.close()
        sandbox = self._sandboxes[container_id] = Sandbox(container_id=container_id, netns_fd=fd)
        return sandbox

    def keep(self, sandbox: Sandbox) -> None:
        """Record a sandbox that `attach_prepared` made, unless it was released meanwhile. Raises OSError."""
        if self._sandboxes.get(sandbox.container_id) is sandbox:
            self._keep(sandbox)

    def _join(
        self,
        sandbox: Sandbox,
        inner: netlink.NetlinkSocket,
        request: EndpointRequest,
        number: int,
        undo: ExitStack,
        *,
        is_fresh: bool = True,
    ) -> None:
        network = self._known(request.network_id)
        leases = self._leases[network.id]
        leased = leases.lease(request.address)
        undo.callback(leases.release, leased)
        address = network.interface(leased)
        endpoint_id = new_id()
        mac, host_name, inner_name = request.mac or mac_of(address.ip), f"ve{endpoint_id[:12]}", f"eth{number}"
        self._netlink.send(
            netlink.add_veth(
                host_name,
                peer=inner_name,
                peer_ns=sandbox.netns_fd,
                peer_mac=mac,
                master=self._bridges[network.id],
                mtu=network.mtu,
            )
        )
        host_index = socket.if_nametoindex(host_name)
        undo.callback(self._bury, host_index)
        # In a new namespace, interfaces get consecutive indices after lo's. Where interfaces were deleted, indices are
        # not reused, so the kernel must be asked.
        inner_index = number + 2 if is_fresh else next(k.number for k in inner.links() if k.name == inner_name)
        # The first network gets the default route. An internal network's default route ends at the firewall, as under
        # dockerd; a network with a gateway replaces it.
        first = not any(e.gateway for e in sandbox.endpoints)
        messages = [netlink.set_link(inner_index, up=True), netlink.add_address(inner_index, address)]
        if first and network.gateway:
            messages.append(netlink.set_default_route(network.gateway))
        inner.send(*messages)
        sandbox.endpoints.append(
            Endpoint(
                id=endpoint_id,
                network_id=network.id,
                network_name=network.name,
                address=address,
                gateway=None if network.internal else network.gateway,
                mac=mac,
                interface=inner_name,
                host_interface=host_name,
                host_index=host_index,
                aliases=request.aliases,
            )
        )
        undo.callback(sandbox.endpoints.pop)

    def connect(self, container_id: str, request: EndpointRequest) -> Endpoint:
        """Add an endpoint to a running container. Raises Forbidden if the container is on that network already."""
        sandbox = self._sandboxes[container_id]
        if any(e.network_id == request.network_id for e in sandbox.endpoints):
            name = self._known(request.network_id).name
            raise Forbidden(f"endpoint with name {container_id[:12]} already exists in network {name}")
        used = {int(e.interface.removeprefix("eth")) for e in sandbox.endpoints}
        number = next(n for n in range(len(used) + 1) if n not in used)
        with ExitStack() as undo:
            with netns.inside(sandbox.netns_fd, self._home):
                inner = netlink.NetlinkSocket()
            undo.enter_context(inner)
            if any(link.name == f"eth{number}" for link in inner.links()):  # of a removed endpoint, not yet deleted
                self._delete_dead()
            self._join(sandbox, inner, request, number, undo, is_fresh=False)
            self._keep(sandbox)
            undo.pop_all()
            inner.close()
        return sandbox.endpoints[-1]

    def disconnect(self, container_id: str, network_id: NetworkId) -> Endpoint:
        """Remove a running container from a network. Raises EngineError if it is not on that network."""
        sandbox = self._sandboxes.get(container_id)
        for at, endpoint in enumerate(sandbox.endpoints if sandbox else ()):
            if endpoint.network_id == network_id and sandbox:
                with ExitStack() as undo:
                    del sandbox.endpoints[at]
                    undo.callback(sandbox.endpoints.insert, at, endpoint)
                    self._keep(sandbox)
                    undo.pop_all()
                self._bury(endpoint.host_index)
                self._leases[network_id].release(endpoint.address.ip)
                return endpoint
        raise EngineError(f"container {container_id} is not connected to network {self._known(network_id).name}")

    def release(self, container_id: str) -> None:
        """Release all resources of a container, if it has any. Raises as `give_back` does."""
        if (sandbox := self.forget(container_id)) is not None:
            self.give_back(sandbox)

    def forget(self, container_id: str) -> Sandbox | None:
        """Unregister and return the sandbox, for `give_back` in the network thread. May be called in any thread."""
        return self._sandboxes.pop(container_id, None)

    def give_back(self, sandbox: Sandbox) -> None:
        """Release the resources of a sandbox that `forget` returned. The disposer does the kernel calls that wait.

        Releases everything even if some calls fail, then raises OSError.
        """
        with ExitStack() as held:  # runs its callbacks in reverse order
            held.callback((self._exec_root.networks / f"{sandbox.container_id}.json").unlink, missing_ok=True)
            if not sandbox.endpoints:
                held.callback(os.close, sandbox.netns_fd)  # it has no interface, so closing it does not wait
                return
            held.callback(self._disposer.dispose, sandbox.netns_fd)
            for endpoint in sandbox.endpoints:
                held.callback(self._leases[endpoint.network_id].release, endpoint.address.ip)
                held.callback(self._set_dead, endpoint.host_index)
            if sandbox.ports:
                held.callback(self._ports.release, sandbox.ports)
                held.callback(self._forget_flows, sandbox.ports)
                held.callback(self._firewall.unpublish, sandbox.ports)

    @staticmethod
    def _forget_flows(ports: Sequence[PublishedPort]) -> None:
        """Have the kernel apply the present rules to the next datagram of senders that have not paused since a change.

        Without that their datagrams go on to the address of a container that has ended, and later to another one that
        gets the address; or to the host itself, if they came while nothing was published. Raises OSError.
        """
        if datagrams := {port.host_port for port in ports if port.protocol is Protocol.UDP}:
            try:
                conntrack.forget_udp(datagrams)
            except conntrack.Unsupported as e:
                log.info("port.flows_not_forgotten", error=str(e))

    def _keep(self, sandbox: Sandbox) -> None:
        path = self._exec_root.networks / f"{sandbox.container_id}.json"
        publish(path, records.sandbox_record(sandbox), durable=False)

    def _bury(self, host_index: int) -> None:
        self._set_dead(host_index)
        self._disposer.dispose(-1)

    def _delete_dead(self) -> None:
        """Delete the interfaces of the dead group now; waits for an RCU grace period (20 ms)."""
        gone = frozenset({errno.ENODEV, errno.ENOENT})  # the disposer has deleted it
        netlink.send_all(self._netlink, [netlink.delete_group(DEAD_GROUP)], ignore=gone)

    def _set_dead(self, host_index: int) -> None:
        """Set the host's end down and put it in the dead group; its address stops responding. It may not exist."""
        request = netlink.set_link(host_index, up=False, group=DEAD_GROUP)
        netlink.send_all(self._netlink, [request], ignore=frozenset({errno.ENODEV}))
