"""Types for networks, endpoints and published ports. Addresses are `ipaddress` objects, and text only in records."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any, NewType

from vmagent.errors import BadRequest, NotFound

NetworkId = NewType("NetworkId", str)  # 64 hex digits
Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Subnet = IPv4Network | IPv6Network
ANY_V4, ANY_V6 = IPv4Address("0.0.0.0"), IPv6Address("::")
SCHEMA = 1


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


def new_id() -> str:
    """64 random hex digits, as docker's ids of networks and endpoints."""
    return secrets.token_hex(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One subnet of a network, with the addresses that no container is given by itself."""

    subnet: Subnet
    gateway: Address
    ip_range: Subnet | None = None  # addresses are leased from here; None: the whole subnet
    auxiliary: Mapping[str, Address] = field(default_factory=dict)  # in use by other machines: name → address

    def interface(self, address: Address) -> Interface:
        """`address` with the subnet's prefix length."""
        interface = ip_interface((address, self.subnet.prefixlen))
        interface.network = self.subnet  # share one object: an equal one per endpoint takes 0.4 kB
        return interface

    def to_record(self) -> dict[str, Any]:
        return {
            "subnet": str(self.subnet),
            "gateway": str(self.gateway),
            "ip_range": _text(self.ip_range),
            "auxiliary": {name: str(address) for name, address in self.auxiliary.items()},
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Pool:
        return cls(
            subnet=ip_network(record["subnet"]),
            gateway=ip_address(record["gateway"]),
            ip_range=ip_network(record["ip_range"]) if record["ip_range"] else None,
            auxiliary={name: ip_address(text) for name, text in record.get("auxiliary", {}).items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network as recorded on disk: a bridge network, or `host` or `none`, which have no subnet."""

    id: NetworkId
    name: str
    driver: str  # bridge, macvlan, ipvlan, host or null
    created: str  # RFC 3339 with nanoseconds
    ipv4: Pool | None = None
    ipv6: Pool | None = None  # None: without IPv6
    bridge: str = ""  # the bridge's interface name
    internal: bool = False
    attachable: bool = False
    mtu: int = 1500
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    predefined: bool = False

    @property
    def has_endpoints(self) -> bool:
        """Whether containers get interfaces on it: all but `host` and `none`."""
        return self.driver in ("bridge", "macvlan", "ipvlan")

    @property
    def has_bridge(self) -> bool:
        return self.driver == "bridge"

    @property
    def pools(self) -> tuple[Pool, ...]:
        return tuple(pool for pool in (self.ipv4, self.ipv6) if pool is not None)

    def to_record(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "id": self.id,
            "name": self.name,
            "driver": self.driver,
            "created": self.created,
            "pools": [pool.to_record() for pool in self.pools],
            "bridge": self.bridge,
            "internal": self.internal,
            "attachable": self.attachable,
            "mtu": self.mtu,
            "labels": dict(self.labels),
            "options": dict(self.options),
            "predefined": self.predefined,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Network:
        """The network of a record. Raises ValueError if the record is damaged or has a newer schema."""
        if record.get("schema") != SCHEMA:
            raise ValueError(f"network record has schema {record.get('schema')!r}, this engine reads {SCHEMA}")
        recorded = record.get("pools")
        if recorded is None:  # of an engine that knew one subnet of IPv4 only
            recorded = [record] if record["subnet"] else []
        pools = {pool.subnet.version: pool for pool in map(Pool.from_record, recorded)}
        return cls(
            id=NetworkId(record["id"]),
            name=record["name"],
            driver=record["driver"],
            created=record["created"],
            ipv4=pools.get(4),
            ipv6=pools.get(6),
            bridge=record["bridge"],
            internal=record["internal"],
            attachable=record["attachable"],
            mtu=record["mtu"],
            labels=record["labels"],
            options=record["options"],
            predefined=record["predefined"],
        )


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)


def meant(networks: Sequence[Network], reference: str) -> Network:
    """The network by name, else by prefix of its id. Raises NotFound; BadRequest for an ambiguous prefix."""
    for network in networks:
        if network.name == reference:
            return network
    starting = [network for network in networks if reference and network.id.startswith(reference)]
    if len(starting) > 1:
        raise BadRequest(f"network {reference} is ambiguous ({len(starting)} matches found based on ID prefix)")
    if starting:
        return starting[0]
    raise NotFound(f"network {reference} not found")


def mac_of(address: Address) -> str:
    """The MAC 02:42 followed by the address: unique on its network, and constant for an address."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in address.packed)


def now() -> str:
    """The current time in the form of `Network.created`."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "000Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequest:
    """A container's request for an endpoint on one network."""

    network_id: NetworkId
    address: IPv4Address | None = None  # None: leased
    address6: IPv6Address | None = None  # None: leased where the network has IPv6
    mac: str | None = None  # None: derived from the address
    aliases: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # (alias, container): names that only this endpoint's container knows


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRequest:
    """A port to be published; `first_host_port` 0 means any free port."""

    container_port: int
    protocol: Protocol
    host_ip: Address
    first_host_port: int
    last_host_port: int
    is_anywhere: bool = False  # no address was named

    @classmethod
    def from_api(cls, key: str, binding: Mapping[str, str] | None) -> PortRequest:
        """From the Engine API's PortBindings: key "80/tcp", binding {"HostIp": "", "HostPort": "8080-8090"}."""
        number, _, protocol = key.partition("/")
        value = binding or {}
        host_ip, host_port = value.get("HostIp") or "", value.get("HostPort") or "0"
        first, _, last = host_port.partition("-")
        try:
            request = cls(
                container_port=_port(number),
                protocol=Protocol(protocol or "tcp"),
                host_ip=ip_address(host_ip or "0.0.0.0"),
                first_host_port=_port(first),
                last_host_port=_port(last or first),
                is_anywhere=not host_ip,
            )
        except ValueError as e:
            raise BadRequest(f"invalid port specification: {host_ip or '0.0.0.0'}:{host_port}:{key}") from e
        if request.last_host_port < request.first_host_port:
            raise BadRequest(f"invalid port range: {host_port}")
        return request


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 0xFFFF:
        raise ValueError(f"invalid port: {text}")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """A port of the host that is forwarded to a container."""

    container_port: int
    protocol: Protocol
    host_ip: Address
    host_port: int
    is_anywhere: bool = False  # no address was named


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A container's connection to one network."""

    id: str
    network_id: NetworkId
    network_name: str
    address: Interface
    gateway: Address | None  # None: an internal network
    address6: Interface | None = None  # None: the network has no IPv6
    gateway6: Address | None = None
    mac: str
    interface: str  # in the container, "eth0"
    host_interface: str  # "": macvlan and ipvlan have no end on the host
    host_index: int  # 0: as above
    aliases: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Where packets for published ports go: a container's addresses."""

    ipv4: Address
    ipv6: Address | None = None


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """A container's network namespace with its endpoints and published ports. The controller owns `netns_fd`."""

    container_id: str
    netns_fd: int
    endpoints: list[Endpoint] = field(default_factory=list)
    ports: list[PublishedPort] = field(default_factory=list)

    @property
    def leading(self) -> Endpoint | None:
        """The endpoint with the default routes: the first that has a gateway."""
        return next((endpoint for endpoint in self.endpoints if endpoint.gateway), None)

    @property
    def target(self) -> Target | None:
        """Where published ports lead. None: no network of it is a bridge that is not internal."""
        endpoint = self.published
        if endpoint is None:
            return None
        return Target(endpoint.address.ip, endpoint.address6.ip if endpoint.address6 else None)

    @property
    def published(self) -> Endpoint | None:
        """The endpoint of `target`."""
        return next((endpoint for endpoint in self.endpoints if endpoint.gateway and endpoint.host_index), None)
