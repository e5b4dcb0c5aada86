"""Reads the IPAM settings of NetworkCreate: which subnets a network gets."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from vmagent.errors import BadRequest, Forbidden
from vmagent.networks.model import Pool


def pools_of(ipam: Mapping[str, Any], *, driver: str, has_ipv6: bool) -> tuple[Pool | None, Pool | None]:
    """(of IPv4, of IPv6), None where the engine chooses. Raises BadRequest, and Forbidden for two of one family.

    A subnet of IPv6 is ignored without `has_ipv6`, as docker does.
    """
    found: dict[int, Pool] = {}
    for config in ipam.get("Config") or ():
        if not config:
            continue
        pool = _pool(config)
        if pool.subnet.version in found:
            raise Forbidden(f"{driver} driver doesn't support multiple subnets")
        found[pool.subnet.version] = pool
    return found.get(4), found.get(6) if has_ipv6 else None


def _pool(config: Mapping[str, Any]) -> Pool:
    given = config.get("Subnet")
    if not given:
        raise BadRequest("invalid network config: a gateway or range needs a subnet")
    try:
        subnet = ip_network(given, strict=False)
    except ValueError as e:
        raise BadRequest(f"invalid subnet {given} : invalid CIDR address: {given}") from e
    try:
        ip_range = ip_network(config["IPRange"], strict=False) if config.get("IPRange") else None
        gateway = ip_address(config["Gateway"]) if config.get("Gateway") else (ip_range or subnet)[1]
        auxiliary = {name: ip_address(text) for name, text in (config.get("AuxiliaryAddresses") or {}).items()}
    except (ValueError, IndexError) as e:
        raise BadRequest(f"invalid network config: {e}") from e
    if ip_range is not None and (ip_range.version != subnet.version or not ip_range.subnet_of(subnet)):  # type: ignore[arg-type]
        raise BadRequest(f"invalid network config: the IP range {ip_range} is not in subnet {subnet}")
    for address in (gateway, *auxiliary.values()):
        if address not in subnet:
            raise BadRequest(f"no matching subnet for {'gateway' if address is gateway else 'aux-address'} {address}")
    return Pool(subnet=subnet, gateway=gateway, ip_range=ip_range, auxiliary=auxiliary)
