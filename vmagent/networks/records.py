"""The records of networks (data root) and sandboxes (exec root)."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface
from pathlib import Path

import structlog

from vmagent.networks.model import Endpoint, Network, NetworkId, Protocol, PublishedPort, Sandbox

log = structlog.get_logger(__name__)


def read_networks(folder: Path) -> dict[NetworkId, Network]:
    """All networks on disk. A damaged record is logged, skipped and left unchanged."""
    found = {}
    for path in folder.glob("*.json"):
        try:
            network = Network.from_record(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as e:
            log.error("network.unreadable", record=path.name, error=str(e))
            continue
        found[network.id] = network
    return found


def sandbox_record(sandbox: Sandbox) -> bytes:
    endpoints = [
        {
            "id": e.id,
            "network_id": e.network_id,
            "network_name": e.network_name,
            "address": str(e.address),
            "gateway": str(e.gateway) if e.gateway else None,
            "address6": str(e.address6) if e.address6 else None,
            "gateway6": str(e.gateway6) if e.gateway6 else None,
            "mac": e.mac,
            "interface": e.interface,
            "host_interface": e.host_interface,
            "host_index": e.host_index,
            "aliases": list(e.aliases),
            "links": e.links,
        }
        for e in sandbox.endpoints
    ]
    ports = [
        {
            "container_port": p.container_port,
            "protocol": p.protocol.value,
            "host_ip": str(p.host_ip),
            "host_port": p.host_port,
            "is_anywhere": p.is_anywhere,
        }
        for p in sandbox.ports
    ]
    return json.dumps({"endpoints": endpoints, "ports": ports}).encode()


def read_sandbox(path: Path, container_id: str, netns_fd: int) -> Sandbox | None:
    """The recorded sandbox of a running container with the namespace `netns_fd`; None if that is -1 (it has ended).

    Raises ValueError or KeyError for a damaged record; an engine writes these records atomically.
    """
    if netns_fd < 0:
        return None
    data = path.read_bytes()
    if not data:  # it has had no endpoint yet
        return Sandbox(container_id=container_id, netns_fd=netns_fd)
    record = json.loads(data)
    endpoints = [
        Endpoint(
            id=e["id"],
            network_id=NetworkId(e["network_id"]),
            network_name=e["network_name"],
            address=ip_interface(e["address"]),
            gateway=ip_address(e["gateway"]) if e["gateway"] else None,
            address6=ip_interface(e["address6"]) if e.get("address6") else None,
            gateway6=ip_address(e["gateway6"]) if e.get("gateway6") else None,
            mac=e["mac"],
            interface=e["interface"],
            host_interface=e["host_interface"],
            host_index=e["host_index"],
            aliases=tuple(e["aliases"]),
            links=tuple((alias, name) for alias, name in e.get("links", ())),
        )
        for e in record["endpoints"]
    ]
    ports = [
        PublishedPort(
            container_port=p["container_port"],
            protocol=Protocol(p["protocol"]),
            host_ip=ip_address(p["host_ip"]),
            host_port=p["host_port"],
            is_anywhere=p.get("is_anywhere", False),
        )
        for p in record["ports"]
    ]
    return Sandbox(container_id=container_id, netns_fd=netns_fd, endpoints=endpoints, ports=ports)
