"""Compares what the kernel has of the engine's networks with what the controller knows. For the network thread only."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from vmagent.linux import netlink
from vmagent.networks.disposer import DEAD_GROUP
from vmagent.networks.firewall import Firewall
from vmagent.networks.model import Network, PublishedPort, Sandbox

_HOST_END = re.compile(r"ve[0-9a-f]{12}")  # as `Interfaces.join` names them


class Fault(NamedTuple):
    """What differs. `mend`, for the network thread, makes it right; None: only a restart of the engine does."""

    subject: str
    fault: str
    remedy: str
    mend: Callable[[], None] | None


def faults(
    sock: netlink.NetlinkSocket,
    firewall: Firewall,
    networks: Sequence[Network],
    sandboxes: Callable[[], Sequence[Sandbox]],
) -> list[Fault]:
    """`networks`: those that are up; `sandboxes` returns those that there are now. Raises OSError."""
    present, links = sandboxes(), sock.links()
    found = _missing_bridges(links, networks)
    found += _strange_interfaces(sock, links, networks, present)
    found += _missing_elements(firewall, sandboxes)
    for element in firewall.strays(_ports(present)):
        fault = "no container has published that port"
        removal = _removal(firewall, sandboxes, element)
        found.append(Fault(f"element {element}", fault, "it is deleted", removal))
    return found


def _missing_bridges(links: Iterable[netlink.Link], networks: Iterable[Network]) -> list[Fault]:
    names = {link.name for link in links}
    return [
        Fault(f"network {network.name}", f"its bridge {network.bridge} is missing", "restart the engine", None)
        for network in networks
        if network.has_bridge and network.bridge not in names
    ]


def _strange_interfaces(
    sock: netlink.NetlinkSocket,
    links: Sequence[netlink.Link],
    networks: Iterable[Network],
    sandboxes: Iterable[Sandbox],
) -> list[Fault]:
    """Host's ends of containers' interfaces on our bridges that belong to no container."""
    bridges = {network.bridge for network in networks if network.has_bridge}
    numbers = {link.number: link.name for link in links if link.name in bridges}
    known = {endpoint.host_interface for sandbox in sandboxes for endpoint in sandbox.endpoints}
    return [
        Fault(
            f"interface {link.name}",
            f"it is on the bridge {numbers[link.master]} and belongs to no container",
            "it is deleted",
            _deletion(sock, link.number),
        )
        for link in links
        if link.master in numbers
        and _HOST_END.fullmatch(link.name)
        and link.name not in known
        and link.group != DEAD_GROUP
    ]


def _deletion(sock: netlink.NetlinkSocket, number: int) -> Callable[[], None]:
    def delete() -> None:
        netlink.send_all(sock, [netlink.delete_link(number)], ignore=frozenset({errno.ENODEV}))

    return delete


def _missing_elements(firewall: Firewall, sandboxes: Callable[[], Sequence[Sandbox]]) -> list[Fault]:
    found = []
    for sandbox in sandboxes():
        if (target := sandbox.target) is None:
            continue
        for port in sandbox.ports:
            rule = firewall.rule_of(port, target)
            if rule is not None and not rule.is_there:
                subject = f"port {port.host_ip}:{port.host_port}/{port.protocol}"
                fault = f"the firewall has no element for it: {rule.text}"
                mend = _publication(firewall, sandboxes, sandbox)
                found.append(Fault(subject, fault, "it is added again", mend))
    return found


def _ports(sandboxes: Iterable[Sandbox]) -> list[PublishedPort]:
    return [port for sandbox in sandboxes for port in sandbox.ports]


def _publication(
    firewall: Firewall, sandboxes: Callable[[], Sequence[Sandbox]], sandbox: Sandbox
) -> Callable[[], None]:
    def publish() -> None:
        is_there = any(one is sandbox for one in sandboxes())  # else its container has ended since
        if is_there and (target := sandbox.target) is not None:
            firewall.unpublish(sandbox.ports)
            firewall.publish(sandbox.ports, target)

    return publish


def _removal(firewall: Firewall, sandboxes: Callable[[], Sequence[Sandbox]], element: str) -> Callable[[], None]:
    def remove() -> None:
        if element in firewall.strays(_ports(sandboxes())):  # else a container has published that port since
            firewall.remove_stray(element)

    return remove
