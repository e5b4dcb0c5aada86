"""The whole conversion: every field of a service is converted, of no meaning in a cluster, or named in a note."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from desktop.compose.kube import files, network, storage
from desktop.compose.kube.container import ports
from desktop.compose.kube.context import Conversion, Json, KubeOptions, Note
from desktop.compose.kube.pod import pod
from desktop.compose.kube.workload import is_job, job_restart_policy, workload
from desktop.compose.model.service import Service
from desktop.compose.project import Project

# What a cluster has in its own way, or what only Compose uses.
SETTLED = frozenset(
    {
        "name", "profiles", "attach", "build", "develop", "env_file", "extends", "label_file", "depends_on", "scale",
        "networks", "network_mode",
    }
)  # fmt: skip
# The fields that the parts of this package convert, or write a note about.
CONVERTED = frozenset(
    {
        "annotations", "cap_add", "cap_drop", "command", "configs", "container_name", "cpu_period", "cpu_quota",
        "cpus", "deploy", "dns", "dns_opt", "dns_search", "entrypoint", "environment", "expose", "extra_hosts",
        "gpus", "group_add", "healthcheck", "hostname", "image", "ipc", "labels", "links", "mem_limit",
        "mem_reservation", "pid", "pids_limit", "platform", "ports", "post_start", "pre_stop", "privileged",
        "pull_policy", "read_only", "restart", "runtime", "secrets", "security_opt", "shm_size", "stdin_open",
        "stop_grace_period", "sysctls", "tmpfs", "tty", "user", "volumes", "working_dir",
    }
)  # fmt: skip
# What is left out, and what to do instead.
LEFT_OUT: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "cgroup", "cgroup_parent", "credential_spec", "device_cgroup_rules", "domainname", "isolation",
            "oom_kill_disable", "storage_opt", "userns_mode", "uts",
        ),
        "it has no equivalent",
    ),
    **dict.fromkeys(
        ("cpu_count", "cpu_percent", "cpu_rt_period", "cpu_rt_runtime", "mem_swappiness", "oom_score_adj"),
        "it is a setting of the cluster's nodes",
    ),
    "blkio_config": "limits of block I/O are settings of the cluster's nodes",
    "cpu_shares": "give `deploy.resources.reservations.cpus` instead",
    "cpuset": "which processors a pod gets is the decision of the cluster's nodes",
    "devices": "devices come from device plugins of the cluster",
    "external_links": "use the other Service's name",
    "init": "let the image start an init of its own",
    "logging": "the cluster keeps the logs",
    "mac_address": "the cluster gives addresses",
    "memswap_limit": "swap is a setting of the cluster's nodes",
    "stop_signal": "put STOPSIGNAL into the image",
    "ulimits": "they are settings of the cluster's nodes",
    "volumes_from": "give the volumes of the other service here, too",
}  # fmt: skip


class Manifests(NamedTuple):
    """`objects` in the order in which they can be applied."""

    objects: list[Json]
    notes: list[Note]


def manifests(project: Project, options: KubeOptions) -> Manifests:
    """Raises ComposeError for what can not become an object of Kubernetes."""
    conversion = Conversion(project, options)
    objects = files.objects(conversion)  # first, as their names are given, and those of bound files follow from them
    config_maps, workloads, reached = [], [], []
    unreached = set()  # services that run to their end have no Service
    for service in project.services.values():
        _unconverted(conversion, service)
        _dependencies(conversion, service)
        conversion.name("container", service.name)  # of its own pod or of another one's: no two have one name
        if conversion.host_of(service) is not service:
            continue  # it is a container of another one's pod
        guests = [
            other
            for other in project.services.values()
            if other is not service and conversion.host_of(other) is service
        ]
        runs_to_end = is_job(conversion, service)
        policy = job_restart_policy(service) if runs_to_end else "Always"
        made = pod(conversion, [service, *guests], restart_policy=policy)
        config_maps += made.config_maps
        workloads.append(workload(conversion, service, made))
        if runs_to_end:
            unreached |= {one.name for one in (service, *guests)}
            _unpublished(conversion, (service, *guests))
        else:
            reached += network.services(conversion, service, ports((service, *guests)))
    objects += [*config_maps, *storage.claims(conversion), *network.policies(conversion)]
    objects += [*reached, *workloads, *network.ingresses(conversion, unreached)]
    return Manifests(objects, conversion.notes)


def _unpublished(conversion: Conversion, services: Iterable[Service]) -> None:
    for service in services:
        if service.ports:
            conversion.note(service, "ports", "they are not published: it is a Job, which runs to its end")


def _dependencies(conversion: Conversion, service: Service) -> None:
    host = conversion.host_of(service)
    others = [name for name in service.depends_on if name != host.name]
    if others:
        names = ", ".join(others)
        sentence = f"Kubernetes starts in any order: the service must try again until {names} can be reached"
        conversion.note(service, "depends_on", sentence)


def _unconverted(conversion: Conversion, service: Service) -> None:
    for field in dataclasses.fields(Service):
        value = getattr(service, field.name)
        if field.name in SETTLED | CONVERTED | {"extensions"} or not value:
            continue
        conversion.note(service, field.name, f"{LEFT_OUT[field.name]}; left out")
    if service.network_mode not in ("", "host", "bridge", "default") and not service.network_mode.startswith(
        "service:"
    ):
        conversion.note(
            service, "network_mode", f"{service.network_mode!r} has no equivalent; the pod has its own network"
        )
    for name in ("ipc", "pid"):
        mode: str = getattr(service, name)
        shared = mode.startswith("service:") and service.network_mode == mode
        if mode not in ("", "host", "private", "shareable") and not shared:
            sentence = f"{mode!r} is possible only together with network_mode: {mode}; left out"
            conversion.note(service, name, sentence)
    for key, item in service.networks.items():
        if item is not None and (item.ipv4_address or item.ipv6_address or item.mac_address or item.link_local_ips):
            conversion.note(service, f"networks.{key}", "the cluster gives addresses; they are left out")
