"""Networks and the endpoints on them. Every call blocks for about a millisecond, so all run in one network thread.

The controller makes a container's network namespace and passes it on as a descriptor; the container's process enters
it. The resources of each endpoint (address, interface, ports) are also recorded under the exec root. A new engine takes
them over after a kill, and removes those of containers that have ended.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Interface
from pathlib import Path

import structlog

from vmagent.durable import fsync_dir, publish, sweep
from vmagent.errors import Conflict, EngineError, Forbidden, NotFound
from vmagent.linux import netlink, netns
from vmagent.linux.nft import TableWatch
from vmagent.networks import parents, records
from vmagent.networks.audit import Fault, faults
from vmagent.networks.disposer import DEAD_GROUP, Disposer
from vmagent.networks.firewall import Firewall, Rule
from vmagent.networks.forwards import ForwardedPorts
from vmagent.networks.interfaces import Interfaces
from vmagent.networks.ipam import choose_subnet, choose_subnet6
from vmagent.networks.model import (
    Address,
    Endpoint,
    EndpointRequest,
    Network,
    NetworkId,
    Pool,
    PortRequest,
    PublishedPort,
    Sandbox,
    Subnet,
    meant,
    new_id,
    now,
)
from vmagent.networks.namespace import SpareNamespace, open_namespace
from vmagent.networks.ports import HostPorts, PortHolder
from vmagent.networks.publishing import Publisher, forget_stray_flows
from vmagent.networks.segments import Segments
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
        self._sandboxes: dict[str, Sandbox] = {}
        self._reserved: dict[str, dict[NetworkId, list[Address]]] = {}  # by container
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
            self._segments = Segments(self._netlink)
            self._interfaces = Interfaces(self._home, self._netlink, self._segments, self._disposer)
            self._publisher = Publisher(self._ports, self._firewall, self._netlink)
            for folder in (self._data_root.networks, self._exec_root.networks):
                folder.mkdir(parents=True, exist_ok=True)
                sweep(folder)
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            self._load_networks()
            for network in self._networks.values():
                if network.has_bridge:
                    self._segments.bring_up(network)
                elif network.has_endpoints:
                    self._expect(network)
            self._apply_firewall()
            self._restore(alive)
            self._ports.open()
            self._leaving = undo.pop_all()

    def repair(self) -> None:
        """Make the firewall's rules again if another program has deleted them. Raises OSError."""
        if self._firewall.is_whole():
            return
        log.warning("firewall.repaired")
        self._firewall.open()
        self._apply_firewall()
        for sandbox in self._sandboxes.values():
            if sandbox.ports and (target := sandbox.target) is not None:
                self._firewall.publish(sandbox.ports, target)

    def watch(self) -> TableWatch:
        """Tells when another program deletes a table of the firewall; the caller closes it. Raises OSError."""
        return TableWatch(self._table)

    def leave(self) -> None:
        """Close the controller's own descriptors; networks and endpoints stay. `open` may be called again."""
        self._leaving.close()

    def _forget(self) -> None:
        self._spare.drop()
        for sandbox in self._sandboxes.values():
            os.close(sandbox.netns_fd)
        self._ports.close(is_handed_on=True)
        for known in (self._networks, self._sandboxes, self._reserved):
            known.clear()

    def close(self) -> None:
        """Release all remaining sandboxes, then remove bridges and table, and end the disposer thread."""
        for container_id in list(self._sandboxes):
            self.release(container_id)
        self._disposer.close()
        self._spare.drop()
        for network_id in self._segments.ids():
            self._segments.take_down(network_id)
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
        if self._bip and default.ipv4 != (pool := self._default_pool()):
            self._publish(replace(default, ipv4=pool))

    def _predefined(self, name: str, driver: str) -> Network:
        is_bridge = driver == "bridge"
        return Network(
            id=NetworkId(new_id()),
            name=name,
            driver=driver,
            created=now(),
            ipv4=self._default_pool() if is_bridge else None,
            bridge=self._default_bridge if is_bridge else "",
            predefined=True,
        )

    def _default_pool(self) -> Pool:
        """That of the default bridge."""
        if self._bip:
            return Pool(subnet=self._bip.network, gateway=self._bip.ip)
        subnet = choose_subnet(self._taken_subnets())
        return Pool(subnet=subnet, gateway=subnet[1])

    def _publish(self, network: Network) -> None:
        publish(self._data_root.networks / f"{network.id}.json", json.dumps(network.to_record()).encode())
        self._networks[network.id] = network

    def _taken_subnets(self) -> list[Subnet]:
        ours = [pool.subnet for network in self._networks.values() for pool in network.pools]
        return [*self._netlink.routes(), *ours]

    def _global_id(self) -> int:
        """The 40 bits that this engine's own IPv6 subnets begin with: the same at each start."""
        try:
            own = self._data_root.engine_id.read_bytes()
        except FileNotFoundError:
            own = bytes(self._data_root.path)
        return int.from_bytes(sha256(own).digest()[:5], "big")

    def _expect(self, network: Network) -> None:
        """Bring up a network with a parent interface; without it the engine works, but no container starts on it."""
        try:
            self._segments.bring_up(network)
        except (OSError, EngineError) as e:
            log.error("network.without_parent", network=network.name, error=str(e))
            self._segments.expect(network)

    def _apply_firewall(self) -> None:
        self._firewall.set_networks(n for n in self._networks.values() if n.has_bridge and n.id in self._segments)

    def _restore(self, alive: Mapping[str, int]) -> None:
        """Take over the sandboxes of running containers; put other interfaces of a killed engine in the dead group."""
        kept: set[int] = set()
        for path in self._exec_root.networks.glob("*.json"):
            container_id = path.stem
            sandbox = records.read_sandbox(path, container_id, netns.of_process(alive.get(container_id)))
            if sandbox is None or any(e.network_id not in self._segments for e in sandbox.endpoints):
                if sandbox is not None:
                    os.close(sandbox.netns_fd)
                path.unlink()
                continue
            for endpoint in sandbox.endpoints:
                self._segments[endpoint.network_id].hold(endpoint)
                kept.add(endpoint.host_index)
            self._publisher.take_over(sandbox)
            self._sandboxes[container_id] = sandbox
        bridges = self._segments.numbers()
        stray = [link.number for link in self._netlink.links() if link.master in bridges and link.number not in kept]
        # Those of containers that end just now go by themselves.
        dead = [netlink.set_link(number, up=False, group=DEAD_GROUP) for number in stray]
        netlink.send_all(self._netlink, dead, ignore=frozenset({errno.ENODEV}))
        if stray:  # at once: inside the container, its peer may have the name that the next endpoint will get
            self._interfaces.delete_dead()

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
        driver: str = "bridge",
        ipv4: Pool | None = None,
        ipv6: Pool | None = None,
        has_ipv6: bool = False,
        internal: bool = False,
        attachable: bool = False,
        mtu: int = 1500,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Network:
        """Make a network, with IPv6 if `has_ipv6`; a pool that is not given is chosen.

        Raises Conflict if the name is taken, Forbidden if a subnet overlaps another network's, EngineError, OSError.
        """
        if any(network.name == name for network in self._networks.values()):
            raise Conflict(f"network with name {name} already exists")
        taken = self._taken_subnets()
        given = [pool.subnet for pool in (ipv4, ipv6) if pool]
        for other in self._networks.values():
            if any(subnet.overlaps(pool.subnet) for subnet in given for pool in other.pools):
                raise Forbidden("invalid pool request: Pool overlaps with other one on this address space")
        if ipv4 is None:
            subnet = choose_subnet(taken)
            ipv4 = Pool(subnet=subnet, gateway=subnet[1])
        if ipv6 is None and has_ipv6:
            subnet6 = choose_subnet6(taken, self._global_id())
            ipv6 = Pool(subnet=subnet6, gateway=subnet6[1])
        network_id = NetworkId(new_id())
        network = Network(
            id=network_id,
            name=name,
            driver=driver,
            created=now(),
            ipv4=ipv4,
            ipv6=ipv6,
            bridge=f"cv-{network_id[:12]}" if driver == "bridge" else "",
            internal=internal,
            attachable=attachable,
            mtu=mtu,
            labels=labels or {},
            options=options or {},
        )
        parents.check(network, self._networks.values())
        with ExitStack() as undo:
            self._segments.bring_up(network)
            undo.callback(self._apply_firewall)
            undo.callback(self._segments.take_down, network.id)
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
        self._segments.take_down(network_id)
        self._apply_firewall()

    def endpoints_on(self, network_id: NetworkId) -> dict[str, Endpoint]:
        """The running containers' endpoints on a network, by container id."""
        return {
            container_id: endpoint
            for container_id, sandbox in list(self._sandboxes.items())
            for endpoint in sandbox.endpoints
            if endpoint.network_id == network_id
        }

    def reserve(self, container_id: str, addresses: Mapping[NetworkId, Sequence[Address]]) -> None:
        """From now on these are the addresses that the container is configured with, whether or not it runs.

        Others get them only if they ask for them.
        """
        before = self._reserved.pop(container_id, {})
        for network_id in before.keys() & set(self._segments.ids()):
            self._segments[network_id].unreserve(before[network_id])
        now_reserved = {network_id: list(found) for network_id, found in addresses.items() if found}
        for network_id in now_reserved.keys() & set(self._segments.ids()):
            self._segments[network_id].reserve(now_reserved[network_id])
        if now_reserved:
            self._reserved[container_id] = now_reserved

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
        """Make a namespace with an endpoint on each network, and publish `ports` to the first one that has a gateway.

        The controller owns the sandbox's `netns_fd` until `release`. A failure undoes all changes to the host.
        Raises EngineError (address or port taken, pool empty) and OSError.
        """
        with ExitStack() as undo:
            fd, inner = (given_fd is None and self._spare.take()) or open_namespace(self._home, given_fd)
            undo.callback(os.close, fd)
            undo.enter_context(inner)
            sandbox = Sandbox(container_id=container_id, netns_fd=fd)
            for number, request in enumerate(requests):
                self._interfaces.join(sandbox, inner, request, number, undo)
            if requested := list(ports):
                self._publisher.publish(sandbox, requested, undo)
            self._keep(sandbox)
            undo.pop_all()
            inner.close()
        self._sandboxes[container_id] = sandbox
        return sandbox

    def rules(self, container_id: str) -> dict[PublishedPort, Rule | None]:
        """By the container's published ports, what forwards each; None: the relay does."""
        sandbox = self.sandbox(container_id)
        if sandbox is None or (target := sandbox.target) is None:
            return {}
        return {port: self._firewall.rule_of(port, target) for port in sandbox.ports}

    def faults(self) -> list[Fault]:
        """What the kernel has of the networks beside what should be there. Raises OSError."""
        up = [network for network in self.networks() if network.id in self._segments]
        return faults(self._netlink, self._firewall, up, self.sandboxes)

    def prepare(self) -> None:
        """Make a spare namespace for the next `attach`, outside of any request."""
        try:
            self._spare.make(self._home)
        except OSError as e:  # `attach` tries again, and raises to its caller
            log.warning("namespace.not_prepared", error=str(e))

    def attach_prepared(self, container_id: str) -> Sandbox | None:
        """A sandbox without endpoints in the spare namespace; None if there is no spare. Does not block.

        Any thread may call it. Its record is an empty file, and the exec root is in memory. Raises OSError.
        """
        spare = self._spare.take()
        if spare is None:
            return None
        fd, inner = spare
        inner.close()
        record = self._record_of(container_id)
        try:
            try:
                os.mknod(record, stat.S_IFREG | 0o600)
            except FileExistsError:  # the network thread wrote it while the last run ended
                os.truncate(record, 0)
        except OSError:
            os.close(fd)
            raise
        sandbox = self._sandboxes[container_id] = Sandbox(container_id=container_id, netns_fd=fd)
        return sandbox

    def connect(self, container_id: str, request: EndpointRequest, ports: Sequence[PortRequest] = ()) -> Endpoint:
        """Add an endpoint to a running container; if it is its first with a gateway, publish `ports` to it.

        Raises Forbidden if the container is on that network already, EngineError, OSError.
        """
        sandbox = self._sandboxes[container_id]
        if any(e.network_id == request.network_id for e in sandbox.endpoints):
            name = self._known(request.network_id).name
            raise Forbidden(f"endpoint with name {container_id[:12]} already exists in network {name}")
        used = {int(e.interface.removeprefix("eth")) for e in sandbox.endpoints}
        number = next(n for n in range(len(used) + 1) if n not in used)
        with ExitStack() as undo:
            inner = undo.enter_context(self._interfaces.inside(sandbox.netns_fd))
            if any(link.name == f"eth{number}" for link in inner.links()):  # of a removed endpoint, not yet deleted
                self._interfaces.delete_dead()
            before = sandbox.target
            if before is None:
                undo.callback(self._publisher.aim, sandbox)
            self._interfaces.join(sandbox, inner, request, number, undo, is_fresh=False)
            if sandbox.target != before:
                self._publisher.aim(sandbox, ports)
            self._keep(sandbox)
            undo.pop_all()
            inner.close()
        return sandbox.endpoints[-1]

    def disconnect(self, container_id: str, network_id: NetworkId) -> Endpoint:
        """Remove a running container from a network. Raises EngineError if it is not on that network."""
        sandbox = self._sandboxes.get(container_id)
        for at, endpoint in enumerate(sandbox.endpoints if sandbox else ()):
            if endpoint.network_id == network_id and sandbox:
                before = sandbox.target
                with ExitStack() as undo:
                    del sandbox.endpoints[at]
                    undo.callback(sandbox.endpoints.insert, at, endpoint)
                    self._keep(sandbox)
                    undo.pop_all()
                self._interfaces.remove(sandbox, endpoint)
                self._segments[network_id].release(endpoint)
                if sandbox.target != before:
                    self._interfaces.lead_elsewhere(sandbox)
                    self._publisher.aim(sandbox)
                    self._keep(sandbox)
                return endpoint
        raise EngineError(f"container {container_id} is not connected to network {self._known(network_id).name}")

    def release(self, container_id: str) -> None:
        """Release all resources of a container, if it has any. Raises as `give_back` does."""
        if (sandbox := self.forget(container_id)) is not None:
            self.give_back(sandbox)

    def forget(self, container_id: str) -> Sandbox | None:
        """Unregister and return the sandbox, for `give_back` in the network thread. May be called in any thread.

        Its record goes at once, so that it can't be taken for that of the container's next start.
        """
        sandbox = self._sandboxes.pop(container_id, None)
        if sandbox is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._record_of(container_id))
        return sandbox

    def _record_of(self, container_id: str) -> Path:
        return self._exec_root.networks / f"{container_id}.json"

    def give_back(self, sandbox: Sandbox) -> None:
        """Release the resources of a sandbox that `forget` returned. The disposer does the kernel calls that wait.

        Releases everything even if some calls fail, then raises OSError.
        """
        with ExitStack() as held:  # runs its callbacks in reverse order
            if not sandbox.endpoints:
                held.callback(os.close, sandbox.netns_fd)  # it has no interface, so closing it does not wait
                return
            held.callback(self._disposer.dispose, sandbox.netns_fd)
            for endpoint in sandbox.endpoints:
                held.callback(self._segments[endpoint.network_id].release, endpoint)
                held.callback(self._interfaces.put_down, sandbox, endpoint)
            self._publisher.withdraw(sandbox, held)

    def forget_stray_flows(self, container_id: str) -> None:
        """Some time after the container's ports were published: see `publishing`. Raises OSError."""
        if (sandbox := self._sandboxes.get(container_id)) is not None:
            forget_stray_flows(sandbox)

    def _keep(self, sandbox: Sandbox) -> None:
        publish(self._record_of(sandbox.container_id), records.sandbox_record(sandbox), durable=False)
