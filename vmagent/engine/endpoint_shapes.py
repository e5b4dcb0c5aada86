"""Containers on networks as clients see them: the network parts of ContainerInspect and ContainerList."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.model import Container
from vmagent.containers.shapes import endpoint_json
from vmagent.networks.controller import NetworkController
from vmagent.networks.model import Endpoint, Network, Sandbox


class EndpointShapes:
    """Reads snapshots of the controller, on the event loop."""

    def __init__(self, controller: NetworkController, find: Callable[[str], Network | None]) -> None:
        """`find`: the network by its name or id."""
        self._controller, self._find = controller, find

    def settings_json(self, record: Container) -> JsonObject:
        """inspect's `NetworkSettings`."""
        sandbox = self._controller.sandbox(record.id)
        networks = self.endpoints_json(record)
        bridge = networks.get("bridge", {})
        return {
            "Bridge": "",
            "SandboxID": record.id if sandbox else "",
            "SandboxKey": f"/proc/{record.state.pid}/ns/net" if record.state.pid else "",
            "Ports": self._ports_map(record, sandbox) if record.state.running else {},
            "HairpinMode": False,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "SecondaryIPAddresses": None,
            "SecondaryIPv6Addresses": None,
            "EndpointID": bridge.get("EndpointID", ""),
            "Gateway": bridge.get("Gateway", ""),
            "GlobalIPv6Address": bridge.get("GlobalIPv6Address", ""),
            "GlobalIPv6PrefixLen": bridge.get("GlobalIPv6PrefixLen", 0),
            "IPAddress": bridge.get("IPAddress", ""),
            "IPPrefixLen": bridge.get("IPPrefixLen", 0),
            "IPv6Gateway": bridge.get("IPv6Gateway", ""),
            "MacAddress": bridge.get("MacAddress", ""),
            "Networks": networks,
        }

    def endpoints_json(self, record: Container) -> dict[str, JsonObject]:
        """Network name → EndpointSettings, with addresses while the container runs."""
        sandbox = self._controller.sandbox(record.id)
        live = {endpoint.network_name: endpoint for endpoint in sandbox.endpoints} if sandbox else {}
        result = {}
        for name, asked in record.endpoints.items():
            network = self._find(name)
            shown = endpoint_json(asked, network.id if network else "", _addresses(live.get(name)))
            if network and network.has_endpoints and network.name != "bridge":
                shown["DNSNames"] = dns_names(record, asked)
                shown["Aliases"] = asked.get("Aliases")
            result[name] = shown
        return result

    def _ports_map(self, record: Container, sandbox: Sandbox | None) -> JsonObject:
        ports: JsonObject = {key: None for key in record.config.get("ExposedPorts") or ()}
        if record.network_mode == "host":
            return ports
        for port in sandbox.ports if sandbox else ():
            entry = {"HostIp": str(port.host_ip), "HostPort": str(port.host_port)}
            key = f"{port.container_port}/{port.protocol}"
            ports[key] = [*(ports.get(key) or ()), entry]
        return ports

    def ports_list(self, record: Container) -> list[JsonObject]:
        """The field `Ports` of ContainerList."""
        result: list[JsonObject] = []
        if not record.state.running:
            return result
        for key, bindings in self._ports_map(record, self._controller.sandbox(record.id)).items():
            number, _, protocol = key.partition("/")
            if not bindings:
                result.append({"PrivatePort": int(number), "Type": protocol})
            for binding in bindings or ():
                result.append(
                    {
                        "IP": binding["HostIp"],
                        "PrivatePort": int(number),
                        "PublicPort": int(binding["HostPort"]),
                        "Type": protocol,
                    }
                )
        return result


def dns_names(record: Container, asked: Mapping[str, Any]) -> list[str]:
    """The names by which others find a container on a user-defined network: name, aliases, short id, host name."""
    names = [record.name, *(asked.get("Aliases") or ()), record.id[:12], record.config["Hostname"]]
    return list(dict.fromkeys(name.lower() for name in names if name))


def _addresses(endpoint: Endpoint | None) -> JsonObject | None:
    if endpoint is None:
        return None
    return {
        "EndpointID": endpoint.id,
        "Gateway": str(endpoint.gateway) if endpoint.gateway else "",
        "IPAddress": str(endpoint.address.ip),
        "IPPrefixLen": endpoint.address.network.prefixlen,
        "MacAddress": endpoint.mac,
        "IPv6Gateway": str(endpoint.gateway6) if endpoint.gateway6 else "",
        "GlobalIPv6Address": str(endpoint.address6.ip) if endpoint.address6 else "",
        "GlobalIPv6PrefixLen": endpoint.address6.network.prefixlen if endpoint.address6 else 0,
    }
