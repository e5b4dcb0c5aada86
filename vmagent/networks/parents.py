"""Networks of the drivers macvlan and ipvlan: containers are on the network of a parent interface of the host.

The option `parent` names the interface. `NAME.NUMBER`, if it does not exist, is made as a VLAN of NAME, and stays.
Without the option the parent is a dummy that leads nowhere, and is deleted with the network.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from vmagent.errors import BadRequest, EngineError, Forbidden
from vmagent.linux import netlink
from vmagent.networks.model import Network

_MODE_OPTIONS = {"macvlan": ("macvlan_mode", "bridge"), "ipvlan": ("ipvlan_mode", "l2")}
_MODES = {"macvlan": netlink.MACVLAN_MODES, "ipvlan": netlink.IPVLAN_MODES}
_FLAG_OPTION, _FLAG = "ipvlan_flag", "bridge"
_MOST_VLAN = 4094


def check(network: Network, others: Iterable[Network]) -> None:
    """Raise BadRequest or Forbidden, with docker's words, for options that its driver refuses. Of a bridge: nothing."""
    if network.driver not in _MODES:
        return
    driver = network.driver
    mode, default = _mode(network), _MODE_OPTIONS[driver][1]
    if mode not in _MODES[driver]:
        raise BadRequest(
            f"requested {driver} mode '{mode}' is not valid, '{default}' mode is the {driver} driver default"
        )
    if (flag := network.options.get(_FLAG_OPTION, _FLAG)) not in netlink.IPVLAN_FLAGS:
        raise BadRequest(f"requested ipvlan flag '{flag}' is not valid, '{_FLAG}' flag is the ipvlan driver default")
    parent = parent_name(network)
    if parent == "lo":
        raise BadRequest(f"loopback interface is not a valid {driver} parent link")
    for other in others:
        if other.driver in _MODES and parent_name(other) == parent:
            raise Forbidden(f"network {_dummy(other)} is already using parent interface {parent}")


def parent_name(network: Network) -> str:
    return network.options.get("parent") or _dummy(network)


def _dummy(network: Network) -> str:
    return f"dm-{network.id[:12]}"


def _mode(network: Network) -> str:
    name, default = _MODE_OPTIONS[network.driver]
    return network.options.get(name) or default


def is_routed(network: Network) -> bool:
    """Whether its containers reach others without a gateway: ipvlan's modes l3 and l3s."""
    return network.driver == "ipvlan" and _mode(network) != "l2"


def bring_up(sock: netlink.NetlinkSocket, network: Network) -> None:
    """Make the parent interface if it is a VLAN or a dummy, and missing. Raises BadRequest, EngineError."""
    name = parent_name(network)
    try:
        socket.if_nametoindex(name)
        return
    except OSError:
        pass  # it is made below
    try:
        if "parent" in network.options:
            base, number = _vlan(name)
            sock.send(netlink.add_vlan(name, parent=socket.if_nametoindex(base), number=number))
        else:
            sock.send(netlink.add_dummy(name))
        sock.send(netlink.set_link(socket.if_nametoindex(name), up=True))
    except OSError as e:
        raise EngineError(f"failed to create {name}: {(e.strerror or str(e)).lower()}") from e


def _vlan(name: str) -> tuple[str, int]:
    base, _, number = name.rpartition(".")
    if not base or not number.isdigit():
        raise BadRequest(f"invalid subinterface vlan name {name}, example formatting is eth0.10")
    if not 1 <= int(number) <= _MOST_VLAN:
        raise BadRequest(f"vlan id must be between 1-{_MOST_VLAN} received: {number}")
    return base, int(number)


def take_down(sock: netlink.NetlinkSocket, network: Network) -> None:
    """Delete the dummy; a VLAN stays, since others may use it. Raises OSError."""
    if "parent" not in network.options:
        try:
            number = socket.if_nametoindex(_dummy(network))
        except OSError:
            return
        netlink.send_all(sock, [netlink.delete_link(number)], ignore=frozenset({errno.ENODEV}))


def interface(network: Network, name: str, target_ns: int, mac: str) -> netlink.Request:
    """An interface of a container, made in its namespace. Raises EngineError if the parent is missing."""
    parent = parent_name(network)
    try:
        number = socket.if_nametoindex(parent)
    except OSError as e:
        raise EngineError(f"the parent interface {parent} of network {network.name} was not found on the host") from e
    mtu = network.mtu if "com.docker.network.driver.mtu" in network.options else None
    if network.driver == "macvlan":
        return netlink.add_macvlan(name, parent=number, target_ns=target_ns, mac=mac, mode=_mode(network), mtu=mtu)
    flag = network.options.get(_FLAG_OPTION, _FLAG)
    return netlink.add_ipvlan(name, parent=number, target_ns=target_ns, mode=_mode(network), flag=flag, mtu=mtu)
