"""The rtnetlink messages that container networks need (about a dozen), encoded without a library.

A netlink socket belongs to the network namespace it was opened in: one that was opened inside a container's namespace
configures that namespace, whichever namespace its user is in later. The kernel acknowledges each message of a `send`
separately. See rtnetlink(7), <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>, <linux/veth.h>.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
    ip_network,
)
from types import TracebackType
from typing import NamedTuple

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
_IFINFO = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_IFADDR = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefixlen, flags, scope, index
_RTMSG = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_IFSTATS = struct.Struct("=BxxxII")  # if_stats_msg: family, index, filter mask
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: len, type
_IFREQ = struct.Struct("=16si20x")  # ifreq: name, index
_SIOCGIFINDEX = 0x8933  # linux/sockios.h
NESTED = 0x8000  # NLA_FNESTED
_ANSWER_LIMIT_S = 30


class _Type(IntEnum):
    NLMSG_ERROR = 2
    NLMSG_DONE = 3
    RTM_NEWLINK = 16
    RTM_DELLINK = 17
    RTM_GETLINK = 18
    RTM_SETLINK = 19
    RTM_NEWADDR = 20
    RTM_GETADDR = 22
    RTM_NEWROUTE = 24
    RTM_GETROUTE = 26
    RTM_NEWSTATS = 92
    RTM_GETSTATS = 94


class _Flag(IntFlag):
    REQUEST = 0x1
    ACK = 0x4
    DUMP = 0x300
    REPLACE = 0x100
    EXCL = 0x200
    CREATE = 0x400


class _Ifla(IntEnum):
    ADDRESS = 1
    IFNAME = 3
    MTU = 4
    LINK = 5
    MASTER = 10
    LINKINFO = 18
    STATS64 = 23
    GROUP = 27
    NET_NS_FD = 28
    INFO_KIND = 1
    INFO_DATA = 2
    VETH_INFO_PEER = 1
    PROTINFO = 12
    BRPORT_MODE = 4  # IFLA_BRPORT_MODE: hairpin


NETFILTER = 12  # NETLINK_NETFILTER, a protocol for `NetlinkSocket`
IFF_UP = 0x1
ETH_ALEN = 6
_IFA_F_NODAD = 0x2
_STATS_LINK_64 = 1  # IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64), <linux/if_link.h>
_RT_TABLE_MAIN = 254
_COUNTERS = (  # the first of rtnl_link_stats64
    "rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped",
)  # fmt: skip
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Link(NamedTuple):
    """A network interface as a dump lists it; `number` is its index."""

    number: int
    name: str
    group: int
    master: int  # 0: none


def attribute(kind: int, payload: bytes) -> bytes:
    """One nlattr, padded."""
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + bytes(-size % 4)


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _u16(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type without its flags, payload) of each nlattr."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return
        yield kind & 0x7FFF, data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3


def mac_bytes(mac: str) -> bytes:
    """The six bytes of "02:42:ac:11:00:02". Raises ValueError."""
    raw = bytes.fromhex(mac.replace(":", "").replace("-", ""))
    if len(raw) != ETH_ALEN:
        raise ValueError(f"invalid MAC address: {mac}")
    return raw


class Request(NamedTuple):
    """One message ready to be sent; `doing` begins the error text if the kernel refuses it."""

    doing: str
    type: int
    flags: int
    body: bytes


def _new_link(kind: str, name: str, values: bytes = b"", data: bytes = b"", *, is_up: bool = False) -> Request:
    """RTM_NEWLINK of an interface that must not exist. `values`: attributes of any kind; `data`: those of `kind`."""
    flags = IFF_UP if is_up else 0
    info = _text(_Ifla.INFO_KIND, kind) + (attribute(_Ifla.INFO_DATA | NESTED, data) if data else b"")
    body = _IFINFO.pack(0, 0, 0, flags, flags) + _text(_Ifla.IFNAME, name) + values
    body += attribute(_Ifla.LINKINFO | NESTED, info)
    return Request(f"add {kind} {name}", _Type.RTM_NEWLINK, _Flag.CREATE | _Flag.EXCL, body)


def add_bridge(name: str, mtu: int = 1500) -> Request:
    """RTM_NEWLINK of kind bridge. `send` raises EEXIST if the name is in use."""
    return _new_link("bridge", name, _u32(_Ifla.MTU, mtu))


def add_veth(name: str, *, peer: str, peer_ns: int, peer_mac: str, master: int, mtu: int = 1500) -> Request:
    """A veth pair in one message. `name`, in this namespace, is up and a port of the bridge with index `master`.

    `peer` is created in the network namespace of the descriptor `peer_ns`. It is not brought up here, since the kernel
    would fail with ENOTCONN. Its index is the next free one of its namespace: the kernel ignores a requested index for
    the peer if none is requested for `name`.
    """
    peer_info = (
        _IFINFO.pack(0, 0, 0, 0, 0)
        + _text(_Ifla.IFNAME, peer)
        + attribute(_Ifla.ADDRESS, mac_bytes(peer_mac))
        + _u32(_Ifla.NET_NS_FD, peer_ns)
        + _u32(_Ifla.MTU, mtu)
    )
    data = attribute(_Ifla.VETH_INFO_PEER | NESTED, peer_info)
    return _new_link("veth", name, _u32(_Ifla.MTU, mtu) + _u32(_Ifla.MASTER, master), data, is_up=True)


MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}


def add_macvlan(name: str, *, parent: int, target_ns: int, mac: str, mode: str, mtu: int | None) -> Request:
    """RTM_NEWLINK of kind macvlan on the interface `parent` of this namespace, made in that of `target_ns`."""
    data = _u32(1, MACVLAN_MODES[mode])  # IFLA_MACVLAN_MODE
    return _new_link("macvlan", name, _child(parent, target_ns, mtu) + attribute(_Ifla.ADDRESS, mac_bytes(mac)), data)


def add_ipvlan(name: str, *, parent: int, target_ns: int, mode: str, flag: str, mtu: int | None) -> Request:
    """RTM_NEWLINK of kind ipvlan, as `add_macvlan`; it has its parent's MAC address."""
    data = _u16(1, IPVLAN_MODES[mode]) + _u16(2, IPVLAN_FLAGS[flag])  # IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS
    return _new_link("ipvlan", name, _child(parent, target_ns, mtu), data)


def _child(parent: int, target_ns: int, mtu: int | None) -> bytes:
    return _u32(_Ifla.LINK, parent) + _u32(_Ifla.NET_NS_FD, target_ns) + (_u32(_Ifla.MTU, mtu) if mtu else b"")


def add_vlan(name: str, *, parent: int, number: int) -> Request:
    """RTM_NEWLINK of kind vlan: the tagged network `number` on the interface `parent`."""
    return _new_link("vlan", name, _u32(_Ifla.LINK, parent), _u16(1, number))  # IFLA_VLAN_ID


def add_dummy(name: str) -> Request:
    """RTM_NEWLINK of kind dummy: an interface that leads nowhere."""
    return _new_link("dummy", name)


def set_link(index: int, *, up: bool | None = None, group: int | None = None) -> Request:
    """RTM_NEWLINK for an existing interface: bring it up or down, or put it into a group."""
    flags = IFF_UP if up else 0
    body = _IFINFO.pack(0, 0, index, flags, IFF_UP if up is not None else 0)
    if group is not None:
        body += _u32(_Ifla.GROUP, group)
    return Request(f"set link {index}", _Type.RTM_NEWLINK, 0, body)


def set_hairpin(index: int) -> Request:
    """Let bridge port `index` send frames back to where they came from, so a container reaches its published port.

    RTM_SETLINK of family AF_BRIDGE: the kernel acknowledges an RTM_NEWLINK but ignores it.
    """
    body = _IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    body += attribute(_Ifla.PROTINFO | NESTED, attribute(_Ifla.BRPORT_MODE, b"\1"))
    return Request(f"set hairpin on link {index}", _Type.RTM_SETLINK, 0, body)


def delete_link(index: int) -> Request:
    """RTM_DELLINK of one interface. The kernel blocks for an RCU grace period (20 ms): send it when no client waits."""
    return Request(f"delete link {index}", _Type.RTM_DELLINK, 0, _IFINFO.pack(0, 0, index, 0, 0))


def delete_group(group: int) -> Request:
    """RTM_DELLINK of all interfaces in `group`, with only one RCU grace period."""
    body = _IFINFO.pack(0, 0, 0, 0, 0) + _u32(_Ifla.GROUP, group)
    return Request(f"delete links of group {group}", _Type.RTM_DELLINK, 0, body)


def add_address(index: int, address: IPv4Interface | IPv6Interface) -> Request:
    """RTM_NEWADDR; IPv4 with the network's broadcast address, IPv6 without detection of duplicates, usable at once."""
    packed = address.ip.packed
    is_v6 = address.version == 6
    flags = _IFA_F_NODAD if is_v6 else 0
    body = _IFADDR.pack(_FAMILIES[address.version], address.network.prefixlen, flags, 0, index)
    body += attribute(2, packed) + attribute(1, packed)  # IFA_LOCAL, IFA_ADDRESS
    if not is_v6 and address.network.prefixlen < 31:
        body += attribute(4, address.network.broadcast_address.packed)  # IFA_BROADCAST
    return Request(f"add address {address} to link {index}", _Type.RTM_NEWADDR, _Flag.CREATE | _Flag.EXCL, body)


def set_default_route(gateway: IPv4Address | IPv6Address) -> Request:
    """RTM_NEWROUTE: set or replace the default route of the main table, via `gateway`."""
    # RTPROT_BOOT, universe, unicast
    body = _RTMSG.pack(_FAMILIES[gateway.version], 0, 0, 0, _RT_TABLE_MAIN, 3, 0, 1, 0)
    body += attribute(5, gateway.packed)  # RTA_GATEWAY
    return Request(f"set default route by {gateway}", _Type.RTM_NEWROUTE, _Flag.CREATE | _Flag.REPLACE, body)


def set_device_route(index: int, version: int) -> Request:
    """RTM_NEWROUTE: the default route of an IP version through the interface itself, without a gateway."""
    body = _RTMSG.pack(_FAMILIES[version], 0, 0, 0, _RT_TABLE_MAIN, 3, 253, 1, 0)  # RT_SCOPE_LINK
    body += _u32(4, index)  # RTA_OIF
    return Request(f"set default route to link {index}", _Type.RTM_NEWROUTE, _Flag.CREATE | _Flag.REPLACE, body)


class NetlinkSocket:
    """A netlink socket of the network namespace that the calling thread is in. A context manager."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        """Raises OSError."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(270, 11, 1)  # SOL_NETLINK, NETLINK_EXT_ACK: errors with an explanation
            # Not settimeout: with it Python calls poll(2) before each call, and releases the GIL twice as often.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _ANSWER_LIMIT_S, 0))
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, *requests: Request) -> None:
        """Send all requests in one datagram and wait until the last is done.

        If the kernel refused any, raise OSError for the first, with its `doing` and the kernel's explanation if any.
        Only the last one asks for an acknowledgement: the kernel carries all out in their order, and tells of a refusal
        without being asked (netlink_rcv_skb).
        """
        if not requests:
            return
        first, last = self._sequence + 1, self._sequence + len(requests)
        wire = b""
        for request in requests:
            self._sequence += 1
            flags = int(request.flags | _Flag.REQUEST | (_Flag.ACK if self._sequence == last else 0))
            size = _HEADER.size + len(request.body)
            wire += _HEADER.pack(size, request.type, flags, self._sequence, 0) + request.body + bytes(-size % 4)
        self._socket.send(wire)
        refusal: OSError | None = None
        is_done = False
        while not is_done:
            for kind, sequence, body, answer_flags in self._receive():
                if kind != _Type.NLMSG_ERROR or not first <= sequence <= last:
                    continue
                is_done = sequence == last
                code = -struct.unpack_from("=i", body)[0]
                if code and refusal is None:
                    refusal = OSError(code, _refusal_text(requests[sequence - first].doing, code, body, answer_flags))
        if refusal is not None:
            raise refusal

    def index_of(self, name: str) -> int:
        """The index of the interface `name`, by one system call (netdevice(7), SIOCGIFINDEX). Raises OSError."""
        answer = fcntl.ioctl(self._socket, _SIOCGIFINDEX, _IFREQ.pack(name.encode(), 0))
        return int(_IFREQ.unpack(answer)[1])

    def links(self) -> list[Link]:
        """Every interface of the namespace. Raises OSError."""
        found = []
        for body in self.dump(_Type.RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0), _Type.RTM_NEWLINK):
            _, _, index, _, _ = _IFINFO.unpack_from(body)
            values = dict(attributes(body[_IFINFO.size :]))
            found.append(
                Link(
                    index,
                    values.get(_Ifla.IFNAME, b"").rstrip(b"\0").decode(),
                    _number(values.get(_Ifla.GROUP)),
                    _number(values.get(_Ifla.MASTER)),
                )
            )
        return found

    def counters(self, name: str) -> dict[str, int] | None:
        """The interface's counters `rx_bytes`, `tx_packets`, …; None if there is no such interface. Raises OSError."""
        query = _IFINFO.pack(0, 0, 0, 0, 0) + _text(_Ifla.IFNAME, name)
        try:
            _, body = next(self._replies(_Type.RTM_GETLINK, _Flag.REQUEST, query))
        except OSError as e:
            if e.errno == errno.ENODEV:
                return None
            raise
        values = dict(attributes(body[_IFINFO.size :]))
        return dict(zip(_COUNTERS, struct.unpack_from("=8Q", values[_Ifla.STATS64]), strict=True))

    def traffic(self) -> dict[int, tuple[int, int]]:
        """Bytes that each interface of the namespace has received and sent, by its index. Raises OSError."""
        found = {}
        for body in self.dump(_Type.RTM_GETSTATS, _IFSTATS.pack(0, 0, _STATS_LINK_64), _Type.RTM_NEWSTATS):
            _, index, _ = _IFSTATS.unpack_from(body)
            # One attribute, IFLA_STATS_LINK_64: rtnl_link_stats64, whose third and fourth number these are.
            found[index] = struct.unpack_from("=QQ", body, _IFSTATS.size + _ATTRIBUTE.size + 16)
        return found

    def addresses(self) -> list[tuple[int, IPv4Interface | IPv6Interface]]:
        """Every address with its interface's index. Raises OSError."""
        found = []
        for body in self.dump(_Type.RTM_GETADDR, _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0), _Type.RTM_NEWADDR):
            family, prefix, _, _, index = _IFADDR.unpack_from(body)
            values = dict(attributes(body[_IFADDR.size :]))
            raw = values.get(2) or values.get(1)
            if family in _FAMILIES.values() and raw:
                found.append((index, ip_interface((raw, prefix))))
        return found

    def routes(self) -> list[IPv4Network | IPv6Network]:
        """The destinations of every unicast route of the main table but the default ones. Raises OSError."""
        found = []
        query = _RTMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
        for body in self.dump(_Type.RTM_GETROUTE, query, _Type.RTM_NEWROUTE):
            family, prefix, _, _, table, *_ = _RTMSG.unpack_from(body)
            values = dict(attributes(body[_RTMSG.size :]))
            if family in _FAMILIES.values() and table == _RT_TABLE_MAIN and prefix and 1 in values:
                found.append(ip_network((values[1], prefix), strict=False))
        return found

    def dump(self, kind: int, query: bytes, wanted: int) -> Iterator[bytes]:
        """The bodies of all `wanted` messages in the answer to a dump request of type `kind`. Raises OSError."""
        for got, body in self._replies(kind, _Flag.REQUEST | _Flag.DUMP, query):
            if got == _Type.NLMSG_DONE:
                return
            if got == wanted:
                yield body

    def _replies(self, kind: int, flags: int, query: bytes) -> Iterator[tuple[int, bytes]]:
        """(type, body) of each message in the answer; the caller knows the last one. Raises OSError."""
        self._sequence += 1
        size = _HEADER.size + len(query)
        self._socket.send(_HEADER.pack(size, kind, flags, self._sequence, 0) + query + bytes(-size % 4))
        while True:
            for got, sequence, body, _ in self._receive():
                if sequence != self._sequence:
                    continue
                if got == _Type.NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise OSError(code, f"netlink request of type {int(kind)}: {os.strerror(code)}")
                yield got, body

    def _receive(self) -> Iterator[tuple[int, int, bytes, int]]:
        """`messages` of the next datagram."""
        return messages(self._socket.recv(1 << 17))


def messages(data: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """(type, sequence number, body, flags) of each message in a datagram. Raises OSError."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if size < _HEADER.size:
            raise OSError(errno.EBADMSG, "netlink: a message shorter than its header")
        yield kind, sequence, data[at + _HEADER.size : at + size], flags
        at += (size + 3) & ~3


def _number(raw: bytes | None) -> int:
    return struct.unpack("=I", raw)[0] if raw else 0


def _refusal_text(doing: str, code: int, body: bytes, flags: int) -> str:
    """`doing: Invalid argument (explanation)`. With NLM_F_ACK_TLVS the kernel's explanation follows the error."""
    text = f"{doing}: {os.strerror(code)}"
    if flags & 0x200:
        # nlmsgerr: the error, then the request's header (and its body unless NLM_F_CAPPED), then attributes.
        size = struct.unpack_from("=I", body, 4)[0]
        start = 4 + (_HEADER.size if flags & 0x100 else (size + 3) & ~3)
        words = dict(attributes(body[start:])).get(1, b"").rstrip(b"\0").decode(errors="replace")
        if words:
            text += f" ({words})"
    return text


def send_all(sock: NetlinkSocket, requests: Sequence[Request], *, ignore: frozenset[int] = frozenset()) -> None:
    """Send the requests one by one. Raises OSError, except for an errno in `ignore` (such as EEXIST)."""
    for request in requests:
        try:
            sock.send(request)
        except OSError as e:
            if e.errno not in ignore:
                raise
