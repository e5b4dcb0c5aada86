"""The published ports of containers: held on the host, forwarded by the firewall, and aimed at the right address."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress

import structlog

from vmagent.linux import conntrack, netlink
from vmagent.networks.firewall import Firewall
from vmagent.networks.model import PortRequest, Protocol, PublishedPort, Sandbox, Target
from vmagent.networks.ports import PortHolder

log = structlog.get_logger(__name__)


class Publisher:
    """Used in the network thread only. `ports` and `firewall` stay the caller's."""

    def __init__(self, ports: PortHolder, firewall: Firewall, sock: netlink.NetlinkSocket) -> None:
        """`sock`: in the host's namespace."""
        self._ports, self._firewall, self._netlink = ports, firewall, sock

    def publish(self, sandbox: Sandbox, requests: Sequence[PortRequest], undo: ExitStack) -> None:
        """Publish `requests` to the sandbox's leading endpoint. Raises EngineError (port taken), OSError."""
        target = sandbox.target
        if target is None:  # as under dockerd, nothing is published on internal networks, macvlan and ipvlan
            return
        ports = self._ports.reserve(requests, target)
        sandbox.ports += ports
        undo.callback(sandbox.ports.clear)
        undo.callback(self._ports.release, ports)
        undo.callback(self._firewall.unpublish, ports)
        self._lead(sandbox, ports, target)
        forget_flows(ports)

    def _lead(self, sandbox: Sandbox, ports: Sequence[PublishedPort], target: Target) -> None:
        published = sandbox.published
        assert published is not None
        self._netlink.send(netlink.set_hairpin(published.host_index))
        self._firewall.publish(ports, target)

    def take_over(self, sandbox: Sandbox) -> None:
        """Hold the ports of a killed engine's sandbox again."""
        target = sandbox.target
        if sandbox.ports and target is not None:
            sandbox.ports[:] = self._ports.hold_again(sandbox.ports, target)
            self._firewall.publish(sandbox.ports, target)

    def aim(self, sandbox: Sandbox, requests: Sequence[PortRequest] = ()) -> None:
        """The sandbox has another target now: its ports lead there. Without a target they are released; with its first
        one, `requests` are published. Raises EngineError, OSError."""
        target = sandbox.target
        if target is None:
            with ExitStack() as held:
                self.withdraw(sandbox, held)
            sandbox.ports = []
        elif sandbox.ports:
            self._firewall.unpublish(sandbox.ports)
            self._lead(sandbox, sandbox.ports, target)
            self._ports.aim(sandbox.ports, target)
            forget_flows(sandbox.ports)
        elif requests:
            with ExitStack() as undo:
                self.publish(sandbox, requests, undo)
                undo.pop_all()

    def withdraw(self, sandbox: Sandbox, held: ExitStack) -> None:
        """Have `held` release the sandbox's ports when it is closed."""
        if sandbox.ports:
            held.callback(self._ports.release, sandbox.ports)
            held.callback(forget_flows, sandbox.ports)
            held.callback(self._firewall.unpublish, sandbox.ports)


def forget_stray_flows(sandbox: Sandbox) -> None:
    """Some time after a change: delete the entries of datagrams to the sandbox's ports that do not lead there.

    A datagram whose sender was interrupted between the rules and its entry has passed them before the change, and gets
    the entry after `forget_flows` has looked. If the sender never pauses, the entry would stay for ever.

    Raises OSError.
    """
    target, datagrams = sandbox.target, _datagram_ports(sandbox.ports)
    if datagrams and target is not None:
        addresses = {address.packed for address in (target.ipv4, target.ipv6) if address is not None}
        with suppress(conntrack.Unsupported):
            conntrack.forget_udp(datagrams, keep=addresses)


def forget_flows(ports: Sequence[PublishedPort]) -> None:
    """Have the kernel apply the present rules to the next datagram of senders that have not paused since a change.

    Without that their datagrams go on to the address of a container that has ended, and later to another one that
    gets the address; or to the host itself, if they came while nothing was published. Raises OSError.
    """
    if datagrams := _datagram_ports(ports):
        try:
            conntrack.forget_udp(datagrams)
        except conntrack.Unsupported as e:
            log.info("port.flows_not_forgotten", error=str(e))


def _datagram_ports(ports: Sequence[PublishedPort]) -> set[int]:
    return {port.host_port for port in ports if port.protocol is Protocol.UDP}
