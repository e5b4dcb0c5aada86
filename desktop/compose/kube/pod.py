"""The pod of a service: its container, those of the services that share its network, and what they mount."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from desktop.compose.kube import files
from desktop.compose.kube.container import container
from desktop.compose.kube.context import (
    Conversion,
    Json,
    free_name,
    is_key,
    is_label_value,
    named,
    object_name,
    without_empty,
)
from desktop.compose.kube.files import Mounted
from desktop.compose.kube.network import network_label
from desktop.compose.kube.storage import storage
from desktop.compose.model.service import Service

_SECOND = 10**9


class Pod(NamedTuple):
    """A pod's template. `config_maps`: objects that it needs; `claims`: the named volumes that it mounts."""

    template: Json
    config_maps: list[Json]
    claims: list[str]


def pod(conversion: Conversion, services: Sequence[Service], *, restart_policy: str = "Always") -> Pod:
    """`services`: the pod's own, then those that share its network. Raises ComposeError."""
    first = services[0]
    volumes: dict[str, Json] = {}
    containers, config_maps, used = [], [], []
    for at, service in enumerate(services):
        stored = storage(conversion, service)
        config_maps += stored.config_maps
        used += stored.claims
        mounts = []
        for one in (*stored.mounted, *files.mounts(conversion, service)):
            mounts.append(_with_volume(volumes, one, f"{object_name(service.name)}-" if at else ""))
        containers.append(container(conversion, service, mounts))
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # no variables about other services, as with docker
        "restartPolicy": restart_policy,
        **_settings(conversion, first, owns_volumes=bool(used)),
        "containers": containers,
        "volumes": list(volumes.values()),
    }
    if any(service.pid == f"service:{other.name}" for service in services for other in services):
        spec["shareProcessNamespace"] = True
    annotations = {}
    for service in services:
        annotations.update(conversion.annotations(service, "labels", service.labels))
        annotations.update(conversion.annotations(service, "annotations", service.annotations))
    labels = {**conversion.labels(first), **{network_label(key): "true" for key in first.networks}}
    metadata = without_empty({"labels": labels, "annotations": annotations})
    return Pod({"metadata": metadata, "spec": without_empty(spec)}, config_maps, used)


def _with_volume(volumes: dict[str, Json], one: Mounted, prefix: str) -> Json:
    """The mount, with its volume added to those of the pod. A name that another volume has gets `prefix`, then a
    number. Raises ComposeError."""
    is_own = "emptyDir" in one.volume  # two services' are two folders

    def is_free(name: str) -> bool:
        return name not in volumes or (not is_own and volumes[name] == {**one.volume, "name": name})

    name = str(one.volume["name"])
    if not is_free(name):
        name = free_name(prefix + name, is_free)
    volumes[name] = {**one.volume, "name": name}
    return {**one.mount, "name": name}


def _settings(conversion: Conversion, service: Service, *, owns_volumes: bool) -> Json:
    grace = service.stop_grace_period
    return {
        "hostname": _hostname(conversion, service),
        "hostNetwork": service.network_mode == "host" or None,
        "hostPID": service.pid == "host" or None,
        "hostIPC": service.ipc == "host" or None,
        "terminationGracePeriodSeconds": math.ceil(grace / _SECOND) if grace is not None else 10,  # docker's default
        **_dns(conversion, service),
        "hostAliases": _hosts(conversion, service),
        "nodeSelector": _nodes(conversion, service),
        "securityContext": without_empty(
            {
                "supplementalGroups": _groups(conversion, service),
                "fsGroup": _group_of_files(service) if owns_volumes else None,
                "sysctls": named(sorted(service.sysctls.items())),
            }
        ),
        "runtimeClassName": service.runtime,
    }


def _hostname(conversion: Conversion, service: Service) -> str:
    if service.hostname and object_name(service.hostname) != service.hostname:
        conversion.note(service, "hostname", "a pod's is one label of lowercase letters, digits and hyphens; left out")
        return ""
    return service.hostname


def _dns(conversion: Conversion, service: Service) -> Json:
    """The cluster's name server stays the first one, as docker's own does: without it no service finds another."""
    options = [
        without_empty(dict(zip(("name", "value"), one.partition(":")[::2], strict=True))) for one in service.dns_opt
    ]
    config = without_empty({"nameservers": list(service.dns), "searches": list(service.dns_search), "options": options})
    if service.dns:
        conversion.note(
            service, "dns", "the cluster's name server is asked first, also for names outside of the project"
        )
    policy = "ClusterFirstWithHostNet" if service.network_mode == "host" else ""
    return {"dnsPolicy": policy, "dnsConfig": config}


def _hosts(conversion: Conversion, service: Service) -> list[Json]:
    found: dict[str, list[str]] = {}
    for host, addresses in sorted(service.extra_hosts.items()):
        for address in addresses:
            if address == "host-gateway":
                conversion.note(service, "extra_hosts", f"{host}: a pod has no host that it is to reach; left out")
            else:
                found.setdefault(address, []).append(host)
    return [{"ip": address, "hostnames": hosts} for address, hosts in found.items()]


def _nodes(conversion: Conversion, service: Service) -> Json:
    found: Json = {}
    if service.platform:
        system, _, rest = service.platform.partition("/")
        found["kubernetes.io/os"] = system
        if rest:
            found["kubernetes.io/arch"] = rest.split("/")[0]
    placement = service.deploy.placement if service.deploy is not None else None
    for text in placement.constraints if placement is not None else ():
        key, equals, value = (part.strip() for part in text.partition("=="))
        name = key.removeprefix("node.labels.")
        name = "kubernetes.io/hostname" if key == "node.hostname" else name
        if equals and name != key and is_key(name) and is_label_value(value):
            found[name] = value
        else:
            conversion.note(service, "deploy.placement", f"the constraint {text!r} has no equivalent")
    if placement is not None and (placement.preferences or placement.max_replicas_per_node):
        conversion.note(service, "deploy.placement", "how pods are spread over nodes is left to the cluster")
    return found


def _groups(conversion: Conversion, service: Service) -> list[int]:
    names = [one for one in service.group_add if not one.isdecimal()]
    if names:
        conversion.note(service, "group_add", f"{', '.join(names)}: Kubernetes takes numbers; left out")
    return [int(one) for one in service.group_add if one.isdecimal()]


def _group_of_files(service: Service) -> int | None:
    """The group that a claim's files get. A new claim belongs to root, and so a service of another user could not
    write there; a new volume of docker's belongs to the owner of the image's folder."""
    user, _, group = service.user.partition(":")
    number = group or user
    return int(number) if number.isdecimal() and number != "0" else None
