"""The interfaces of endpoints: made in containers' namespaces, and deleted without keeping a request waiting."""

from __future__ import annotations

import errno
from contextlib import ExitStack

from vmagent.linux import netlink, netns
from vmagent.networks import parents
from vmagent.networks.disposer import DEAD_GROUP, Disposer
from vmagent.networks.model import Endpoint, EndpointRequest, Sandbox, mac_of, new_id
from vmagent.networks.segments import Segments, default_routes, interface_messages


class Interfaces:
    """Used in the network thread only. All that it is made with stays the caller's."""

    def __init__(self, home: int, sock: netlink.NetlinkSocket, segments: Segments, disposer: Disposer) -> None:
        """`home`: the thread's network namespace, the host's; `sock`: in that namespace."""
        self._home, self._netlink, self._segments, self._disposer = home, sock, segments, disposer

    def join(
        self,
        sandbox: Sandbox,
        inner: netlink.NetlinkSocket,
        request: EndpointRequest,
        number: int,
        undo: ExitStack,
        *,
        is_fresh: bool = True,
    ) -> None:
        """Make an endpoint of the sandbox with the interface `ethNUMBER`; `undo` removes it again.

        `inner`: a socket in the sandbox's namespace. `is_fresh`: no interface was ever deleted there.

        Raises EngineError (address taken, pool empty), OSError.
        """
        segment = self._segments[request.network_id]
        network = segment.network
        leased = segment.lease(request, undo)
        endpoint_id, inner_name = new_id(), f"eth{number}"
        mac = "" if network.driver == "ipvlan" else request.mac or mac_of(leased.address.ip)
        if network.has_bridge:
            host_name = f"ve{endpoint_id[:12]}"
            self._netlink.send(
                netlink.add_veth(
                    host_name,
                    peer=inner_name,
                    peer_ns=sandbox.netns_fd,
                    peer_mac=mac,
                    master=segment.number,
                    mtu=network.mtu,
                )
            )
            host_index = self._netlink.index_of(host_name)
            undo.callback(self._bury, host_index)
        else:
            host_name, host_index = "", 0
            self._netlink.send(parents.interface(network, inner_name, sandbox.netns_fd, mac))
            undo.callback(self._delete_inside, sandbox.netns_fd, inner_name)
        # In a new namespace, interfaces get consecutive indices after lo's. Where interfaces were deleted, indices are
        # not reused, so the kernel must be asked.
        inner_index = number + 2 if is_fresh else next(k.number for k in inner.links() if k.name == inner_name)
        gateways = [pool.gateway for pool in network.pools]
        messages = interface_messages(inner_index, leased)
        # The first network gets the default routes. An internal network's end at the firewall, as under dockerd; a
        # network with a gateway replaces them.
        if sandbox.leading is None:
            messages += default_routes(network, gateways, inner_index)
        inner.send(*messages)
        open_gateways = [None] * len(gateways) if network.internal else gateways
        sandbox.endpoints.append(
            Endpoint(
                id=endpoint_id,
                network_id=network.id,
                network_name=network.name,
                address=leased.address,
                gateway=open_gateways[0],
                address6=leased.address6,
                gateway6=open_gateways[1] if leased.address6 else None,
                mac=mac,
                interface=inner_name,
                host_interface=host_name,
                host_index=host_index,
                aliases=request.aliases,
                links=request.links,
            )
        )
        undo.callback(sandbox.endpoints.pop)

    def lead_elsewhere(self, sandbox: Sandbox) -> None:
        """Set the default routes by the endpoint that leads now. Raises OSError."""
        if (leading := sandbox.leading) is None:
            return
        network = self._segments[leading.network_id].network
        with self.inside(sandbox.netns_fd) as inner:
            number = next(link.number for link in inner.links() if link.name == leading.interface)
            if routes := default_routes(network, (leading.gateway, leading.gateway6), number):
                inner.send(*routes)

    def inside(self, netns_fd: int) -> netlink.NetlinkSocket:
        """A netlink socket of the namespace; the caller closes it. Raises OSError."""
        with netns.inside(netns_fd, self._home):
            return netlink.NetlinkSocket()

    def _delete_inside(self, netns_fd: int, name: str) -> None:
        """Delete an interface of a container, which has no end on the host. Waits for an RCU grace period (20 ms).

        Its MAC address must be free when the container starts again.
        """
        with self.inside(netns_fd) as inner:
            numbers = [link.number for link in inner.links() if link.name == name]
            netlink.send_all(
                inner, [netlink.delete_link(number) for number in numbers], ignore=frozenset({errno.ENODEV})
            )

    def remove(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """Delete the interface of an endpoint of a running container. Raises OSError."""
        self.put_down(sandbox, endpoint)
        if endpoint.host_index:
            self._disposer.dispose(-1)

    def put_down(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """Have its address stop responding; the disposer then deletes what has an end on the host. Raises OSError."""
        if endpoint.host_index:
            self._set_dead(endpoint.host_index)
        else:
            self._delete_inside(sandbox.netns_fd, endpoint.interface)

    def _bury(self, host_index: int) -> None:
        self._set_dead(host_index)
        self._disposer.dispose(-1)

    def delete_dead(self) -> None:
        """Delete the interfaces of the dead group now; waits for an RCU grace period (20 ms)."""
        gone = frozenset({errno.ENODEV, errno.ENOENT})  # the disposer has deleted it
        netlink.send_all(self._netlink, [netlink.delete_group(DEAD_GROUP)], ignore=gone)

    def _set_dead(self, host_index: int) -> None:
        """Set the host's end down and put it in the dead group; its address stops responding. It may not exist."""
        request = netlink.set_link(host_index, up=False, group=DEAD_GROUP)
        netlink.send_all(self._netlink, [request], ignore=frozenset({errno.ENODEV}))
