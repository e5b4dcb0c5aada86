"""How services reach each other and are reached: Services, Ingresses, and policies that keep networks apart."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from desktop.compose.kube.context import Conversion, Json, object_name, without_empty
from desktop.compose.model.service import Port, Service

_WEB = ("http", "https", "h2c", "ws", "wss")  # of `app_protocol`: an Ingress can route it


def network_label(key: str) -> str:
    """The label of pods that are on a network of the project."""
    return f"network.cove/{object_name(key)}"


# --- Services


def services(conversion: Conversion, service: Service, numbers: list[Json]) -> list[Json]:
    """Services for every name that others know it by, and one for the ports that it publishes.

    `numbers`: the container ports of its pod. One without ports has no address of its own (it is "headless"): its
    name leads to the pods, where every port can be reached, as on a network of docker's.
    """
    found = [_service(conversion, service, service.name, numbers)]
    known = {object_name(name) for name in conversion.project.services}
    for name in dict.fromkeys(_aliases(conversion, service)):
        if name in (service.name, object_name(service.name)):
            continue  # it has that already
        if not _is_dns_name(name):
            conversion.note(service, "networks", f"the alias {name!r} is no name of a Kubernetes Service; left out")
        elif name in known or conversion.has("Service", name):
            conversion.note(service, "networks", f"the alias {name!r} is another service's name, too; left out here")
        else:
            found.append(_service(conversion, service, name, numbers))
    published = _published(conversion, service)
    if published:
        spec = {"type": "LoadBalancer", "selector": conversion.selector(service), "ports": published}
        name = conversion.name("Service", f"{service.name}-published")
        found.append(conversion.object("v1", "Service", name, {"spec": spec}, service))
    return found


def _aliases(conversion: Conversion, service: Service) -> Iterable[str]:
    """The names by which others know the service, beside its own."""
    if service.container_name:
        yield service.container_name
    for network in service.networks.values():
        yield from network.aliases if network is not None else ()
    for other in conversion.project.services.values():
        for target, _, alias in (link.partition(":") for link in other.links):
            if target == service.name and alias:
                yield alias


def _is_dns_name(name: str) -> bool:
    return len(name) <= 63 and name == object_name(name) and name[0].isalpha()


def _service(conversion: Conversion, service: Service, name: str, numbers: list[Json]) -> Json:
    wanted = conversion.name("Service", name)
    if wanted != name:
        conversion.note(service, "name", f"other services find it as {wanted!r}")
    if not wanted[0].isalpha():
        conversion.note(service, "name", "not every cluster takes a Service whose name begins with a digit: rename it")
    spec: Json = {"selector": conversion.selector(service)}
    dnsrr = service.deploy is not None and service.deploy.endpoint_mode == "dnsrr"
    if not numbers or dnsrr:
        spec["clusterIP"] = "None"
    if numbers:
        spec["ports"] = [_port(one["containerPort"], one["containerPort"], one["protocol"]) for one in numbers]
    else:
        spec["publishNotReadyAddresses"] = True
    return conversion.object("v1", "Service", wanted, {"spec": spec}, service)


def _port(number: int, target: int, protocol: str) -> Json:
    return {"name": f"{protocol.lower()}-{number}", "port": number, "targetPort": target, "protocol": protocol}


def _published(conversion: Conversion, service: Service) -> list[Json]:
    found: dict[tuple[int, str], Json] = {}
    for port in service.ports:
        if _is_web(port):
            continue
        if _is_loopback(port.host_ip):
            here = f"{port.host_ip}:{port.published or port.target}"
            sentence = f"{here} is not published: in a cluster, use kubectl port-forward"
            conversion.note(service, "ports", sentence)
            continue
        if port.host_ip not in ("", "0.0.0.0", "::"):
            conversion.note(service, "ports", f"the address {port.host_ip} is left out: the load balancer has its own")
        if "-" in port.published:
            conversion.note(
                service, "ports", f"{port.published}: a range has no equivalent; its first port is published"
            )
        number = int(port.published.partition("-")[0] or port.target)
        found[number, port.protocol] = _port(number, port.target, port.protocol.upper())
    return list(found.values())


def _is_loopback(address: str) -> bool:
    return bool(address) and ipaddress.ip_address(address.strip("[]")).is_loopback


def _is_web(port: Port) -> bool:
    return port.app_protocol in _WEB


# --- Ingresses


def ingresses(conversion: Conversion, without: Collection[str]) -> list[Json]:
    """An Ingress for each service that publishes a port with `app_protocol: http` or the like, but for those of
    `without`, which have no Service."""
    web = {
        name: next(port for port in service.ports if _is_web(port))
        for name, service in conversion.project.services.items()
        if name not in without and any(_is_web(port) for port in service.ports)
    }
    found = []
    for name, port in web.items():
        service = conversion.project.services[name]
        host = f"{object_name(name)}.{conversion.options.domain}" if conversion.options.domain else ""
        if not host and len(web) > 1:
            host = f"{object_name(name)}.{conversion.instance}.localhost"
            conversion.note(service, "ports", f"its Ingress has the host {host}; --domain gives it another one")
        if sum(_is_web(one) for one in service.ports) > 1:
            conversion.note(service, "ports", f"the Ingress leads to {port.target}, the first port of HTTP")
        backend = {"service": {"name": object_name(name), "port": {"number": port.target}}}
        rule = without_empty(
            {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        )
        kube_name = conversion.name("Ingress", name)
        found.append(
            conversion.object("networking.k8s.io/v1", "Ingress", kube_name, {"spec": {"rules": [rule]}}, service)
        )
    return found


# --- networks


def policies(conversion: Conversion) -> list[Json]:
    """A NetworkPolicy for each network, where not every service is on the same ones; in a cluster all pods reach each
    other otherwise. What a service publishes can be reached from everywhere."""
    services_ = [one for one in conversion.project.services.values() if not one.network_mode]
    every = {frozenset(one.networks) for one in services_}
    internal = {key for key, network in conversion.project.networks.items() if network.internal}
    if len(every) <= 1 and not internal:
        return []
    found = []
    for key in conversion.project.networks:
        peers = [{"podSelector": {"matchLabels": {network_label(key): "true"}}}]
        spec: Json = {"podSelector": peers[0]["podSelector"], "policyTypes": ["Ingress"], "ingress": [{"from": peers}]}
        name = conversion.name("NetworkPolicy", f"network-{key}")
        found.append(conversion.object("networking.k8s.io/v1", "NetworkPolicy", name, {"spec": spec}))
    for service in services_:
        published = [port for port in service.ports if not _is_loopback(port.host_ip)]
        if published:
            found.append(_open(conversion, service, published))
        if service.networks and internal.issuperset(service.networks):
            found.append(_closed(conversion, service))
    return found


def _open(conversion: Conversion, service: Service, published: Iterable[Port]) -> Json:
    numbers = [{"port": port.target, "protocol": port.protocol.upper()} for port in published]
    unique = list({(one["port"], one["protocol"]): one for one in numbers}.values())
    selector = {"matchLabels": conversion.selector(service)}
    spec = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": [{"ports": unique}]}
    name = conversion.name("NetworkPolicy", f"published-{service.name}")
    return conversion.object("networking.k8s.io/v1", "NetworkPolicy", name, {"spec": spec}, service)


def _closed(conversion: Conversion, service: Service) -> Json:
    """A service on internal networks alone reaches only them, and the cluster's name server."""
    peers = [{"podSelector": {"matchLabels": {network_label(key): "true"}}} for key in service.networks]
    names = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    spec = {
        "podSelector": {"matchLabels": conversion.selector(service)},
        "policyTypes": ["Egress"],
        "egress": [{"to": peers}, {"ports": names}],
    }
    name = conversion.name("NetworkPolicy", f"internal-{service.name}")
    return conversion.object("networking.k8s.io/v1", "NetworkPolicy", name, {"spec": spec}, service)
