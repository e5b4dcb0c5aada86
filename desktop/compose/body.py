"""A service as the body of the Engine API's container create."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desktop.compose.errors import ComposeError
from desktop.compose.model.common import FileMount
from desktop.compose.model.devices import Blkio
from desktop.compose.model.mounts import Mount
from desktop.compose.model.resources import FileObject
from desktop.compose.model.service import HealthCheck, Service, ServiceNetwork
from desktop.compose.project import Project

Json = dict[str, Any]
_SEVERAL_NETWORKS = (1, 44)  # the API version from which on create takes more than one network


@dataclass(frozen=True, slots=True)
class Place:
    """What a container's body depends on beside its service. `inherited`: the mounts of the container it replaces, as
    the API lists them; `image_volumes` are the image's; `references` are container IDs of the services it names."""

    name: str
    labels: Mapping[str, str]
    api_version: tuple[int, ...]
    image_volumes: frozenset[str] = frozenset()
    inherited: tuple[Json, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    is_oneoff: bool = False  # of `run`: it does not answer to the service's name


@dataclass(frozen=True, slots=True)
class Body:
    """`config` for create; `networks` are the ones to connect afterwards, with their endpoints; `files` are contents to
    copy into the container: path, owner, mode, bytes."""

    config: Json
    networks: Mapping[str, Json]
    files: tuple[tuple[str, int, int, int, bytes], ...]


def body_of(project: Project, service: Service, place: Place) -> Body:
    """Raises ComposeError for what no engine can do."""
    mounts, binds = _mounts(project, service, place)
    mode, endpoints, later = _networks(project, service, place)
    restart, attempts = restart_of(service)
    security, unconfined = _security(project, service)
    config: Json = {
        "Hostname": service.hostname,
        "Domainname": service.domainname,
        "User": service.user,
        "ExposedPorts": {f"{port}/{protocol}": {} for port, protocol in exposed(service)},
        "Tty": service.tty,
        "OpenStdin": service.stdin_open,
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": list(service.command) if service.command is not None else None,
        "Entrypoint": list(service.entrypoint) if service.entrypoint is not None else None,
        "Image": project.image_of(service),
        "WorkingDir": service.working_dir,
        "Labels": dict(place.labels),
        "StopSignal": service.stop_signal or None,
        "StopTimeout": _seconds(service.stop_grace_period),
        "Env": [key if value is None else f"{key}={value}" for key, value in sorted(service.environment.items())],
        "Healthcheck": _health(service.healthcheck),
        "MacAddress": service.mac_address or None,
        "HostConfig": {
            **_resources(service),
            "Annotations": dict(service.annotations) or None,
            "Binds": binds,
            "Mounts": mounts,
            "CapAdd": list(service.cap_add),
            "CapDrop": list(service.cap_drop),
            "NetworkMode": mode,
            "Init": service.init,
            "IpcMode": _shared(service.ipc, place),
            "PidMode": _shared(service.pid, place),
            "UTSMode": service.uts,
            "UsernsMode": service.userns_mode,
            "CgroupnsMode": service.cgroup,
            "ReadonlyRootfs": service.read_only,
            "RestartPolicy": {"Name": restart, "MaximumRetryCount": attempts},
            "ShmSize": service.shm_size,
            "Sysctls": dict(service.sysctls),
            "PortBindings": _bindings(service),
            "VolumesFrom": [_volumes_from(text, place) for text in service.volumes_from],
            "Dns": list(service.dns),
            "DnsSearch": list(service.dns_search),
            "DnsOptions": list(service.dns_opt),
            "ExtraHosts": [f"{host}:{one}" for host, every in sorted(service.extra_hosts.items()) for one in every],
            "SecurityOpt": security,
            "StorageOpt": dict(service.storage_opt),
            "Privileged": service.privileged,
            "Tmpfs": {path: options for path, _, options in (text.partition(":") for text in service.tmpfs)},
            "Isolation": service.isolation,
            "Runtime": service.runtime or None,
            "LogConfig": _logging(service),
            "GroupAdd": list(service.group_add),
            "Links": list(place.links) or None,
            "OomScoreAdj": service.oom_score_adj,
            **({"MaskedPaths": [], "ReadonlyPaths": []} if unconfined else {}),
        },
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }
    return Body(_without_none(config), later, tuple(_contents(project, service)))


def _without_none(value: Json) -> Json:
    return {
        key: _without_none(item) if isinstance(item, dict) and key == "HostConfig" else item
        for key, item in value.items()
        if item is not None
    }


def _seconds(ns: int | None) -> int | None:
    return None if ns is None else ns // 10**9


def exposed(service: Service) -> Iterable[tuple[int, str]]:
    """The ports that the service exposes (ranges spelled out) or publishes, and their protocols."""
    for text in service.expose:
        ports, _, protocol = text.partition("/")
        first, _, last = ports.partition("-")
        for port in range(int(first), int(last or first) + 1):
            yield port, protocol or "tcp"
    for one in service.ports:
        yield one.target, one.protocol


def _bindings(service: Service) -> Json:
    found: Json = {}
    for port in service.ports:
        binding = {"HostIp": port.host_ip, "HostPort": port.published}
        found.setdefault(f"{port.target}/{port.protocol}", []).append(binding)
    return found


def _health(check: HealthCheck | None) -> Json | None:
    if check is None:
        return None
    if check.disable:
        return {"Test": ["NONE"]}
    return {
        "Test": list(check.test or ()),
        "Interval": check.interval or 0,
        "Timeout": check.timeout or 0,
        "StartPeriod": check.start_period or 0,
        "Retries": check.retries or 0,
        **({"StartInterval": check.start_interval} if check.start_interval else {}),
    }


_POLICIES = {"none": "no", "any": "always"}


def restart_of(service: Service) -> tuple[str, int]:
    """The restart policy by docker's name, empty for docker's default, and how often it tries; 0: without a limit."""
    name, _, attempts = service.restart.partition(":")
    count = int(attempts) if attempts.isdecimal() else 0
    if service.deploy is not None and (policy := service.deploy.restart_policy) is not None:
        name, count = policy.condition or "any", policy.max_attempts or 0
    return _POLICIES.get(name, name), count


def _logging(service: Service) -> Json | None:
    if service.logging is None:
        return None
    return {"Type": service.logging.driver, "Config": dict(service.logging.options)}


def _resources(service: Service) -> Json:
    found: Json = {
        "CgroupParent": service.cgroup_parent,
        "Memory": service.mem_limit,
        "MemorySwap": service.memswap_limit,
        "MemorySwappiness": service.mem_swappiness or None,
        "MemoryReservation": service.mem_reservation,
        "OomKillDisable": service.oom_kill_disable or None,
        "CpuCount": service.cpu_count,
        "CpuPeriod": service.cpu_period,
        "CpuQuota": service.cpu_quota,
        "CpuRealtimePeriod": service.cpu_rt_period,
        "CpuRealtimeRuntime": service.cpu_rt_runtime,
        "CpuShares": service.cpu_shares,
        "NanoCpus": round(service.cpus * 10**9),
        "CpuPercent": int(service.cpu_percent * 100),
        "CpusetCpus": service.cpuset,
        "DeviceCgroupRules": list(service.device_cgroup_rules) or None,
        "PidsLimit": service.pids_limit or None,
        "Devices": [
            {
                "PathOnHost": one.source,
                "PathInContainer": one.target or one.source,
                "CgroupPermissions": one.permissions,
            }
            for one in service.devices
        ],
        "Ulimits": [
            {"Name": name, "Soft": one.soft or one.single, "Hard": one.hard or one.single}
            for name, one in sorted(service.ulimits.items())
        ],
        **_blkio(service.blkio_config),
    }
    requests = list(service.gpus)
    if service.deploy is not None:
        limits, reserved = service.deploy.resources.limits, service.deploy.resources.reservations
        if limits is not None:
            found["Memory"] = limits.memory or found["Memory"]
            found["NanoCpus"] = round(limits.cpus * 10**9) or found["NanoCpus"]
            found["PidsLimit"] = limits.pids or found["PidsLimit"]
        if reserved is not None:
            found["MemoryReservation"] = reserved.memory or found["MemoryReservation"]
            requests += reserved.devices
    if requests:
        found["DeviceRequests"] = [
            {
                "Driver": one.driver, "Count": one.count, "DeviceIDs": list(one.device_ids),
                "Capabilities": [list(one.capabilities)], "Options": dict(one.options),
            }
            for one in requests
        ]  # fmt: skip
    return found


def _blkio(blkio: Blkio | None) -> Json:
    if blkio is None:
        return {}
    found: Json = {"BlkioWeight": blkio.weight}
    found["BlkioWeightDevice"] = [{"Path": one.path, "Weight": one.weight} for one in blkio.weight_device]
    for key, devices in (
        ("BlkioDeviceReadBps", blkio.device_read_bps), ("BlkioDeviceReadIOps", blkio.device_read_iops),
        ("BlkioDeviceWriteBps", blkio.device_write_bps), ("BlkioDeviceWriteIOps", blkio.device_write_iops),
    ):  # fmt: skip
        found[key] = [{"Path": one.path, "Rate": one.rate} for one in devices]
    return found


def _security(project: Project, service: Service) -> tuple[list[str], bool]:
    """The options, and whether /proc is left open; a seccomp profile's file is read."""
    found = []
    for option in service.security_opt:
        if option == "systempaths=unconfined":
            continue
        name, value = security_option(option)
        if name == "seccomp" and value != "unconfined":
            try:
                text = json.dumps(json.loads(Path(project.folder, value).read_text()), separators=(",", ":"))
            except (OSError, ValueError) as e:
                raise ComposeError(f"service {service.name!r}: opening seccomp profile {value} failed: {e}") from e
            option = f"seccomp={text}"
        found.append(option)
    return found, "systempaths=unconfined" in service.security_opt


def security_option(text: str) -> tuple[str, str]:
    """Name and value of `NAME=VALUE`, or of the older `NAME:VALUE`."""
    name, _, value = text.partition("=" if "=" in text else ":")
    return name, value


# --- namespaces and networks


def _shared(mode: str, place: Place) -> str:
    """`service:NAME` becomes the container of that service."""
    name = mode.removeprefix("service:")
    if name == mode:
        return mode
    if name not in place.references:
        raise ComposeError(f"cannot share a namespace with service {name}: container missing")
    return f"container:{place.references[name]}"


def _volumes_from(text: str, place: Place) -> str:
    if text.startswith("container:"):
        return text.removeprefix("container:")
    name, colon, options = text.partition(":")
    if name not in place.references:
        raise ComposeError(f"cannot share volume with service {name}: container missing")
    return place.references[name] + colon + options


def by_priority(service: Service) -> list[str]:
    """The service's networks, the one with the default route first."""
    priorities = {key: item.priority if item is not None else 0 for key, item in service.networks.items()}
    return sorted(priorities, key=lambda key: (-priorities[key], key))


def _networks(project: Project, service: Service, place: Place) -> tuple[str, Json, Json]:
    """The network mode, the endpoints for create, and those of the networks to connect afterwards."""
    if service.network_mode:
        return _shared(service.network_mode, place), {}, {}
    if not project.networks:
        return "none", {}, {}
    names = by_priority(service) or ["default"]
    endpoints = {
        project.networks[key].name: _endpoint(
            service, service.networks.get(key), place, service.mac_address if not at else ""
        )
        for at, key in enumerate(names)
    }
    first = project.networks[names[0]].name
    if place.api_version >= _SEVERAL_NETWORKS:
        return first, endpoints, {}
    return first, {first: endpoints.pop(first)}, endpoints


def _endpoint(service: Service, network: ServiceNetwork | None, place: Place, mac_address: str) -> Json:
    found: Json = {
        "Aliases": [place.name] if place.is_oneoff else [place.name, service.name],
        "Links": list(place.links) or None,
    }
    if network is not None:
        found["Aliases"] += () if place.is_oneoff else network.aliases
        found["IPAMConfig"] = {
            "IPv4Address": network.ipv4_address, "IPv6Address": network.ipv6_address,
            "LinkLocalIPs": list(network.link_local_ips),
        }  # fmt: skip
        found["MacAddress"] = network.mac_address or mac_address
        found["DriverOpts"] = dict(network.driver_opts) or None
    elif mac_address:
        found["MacAddress"] = mac_address
    return found


# --- mounts


def _mounts(project: Project, service: Service, place: Place) -> tuple[list[Json], list[str]]:
    """Mounts, and binds: a folder of the host that is to be made if it is missing can only be a bind."""
    mounts: dict[str, Json] = {}
    binds: dict[str, str] = {}
    anonymous = {mount.target for mount in service.volumes if not mount.source}
    for old in place.inherited:
        target = old["Destination"].rstrip("/") or "/"
        if old["Type"] == "tmpfs" or (target not in place.image_volumes and target not in anonymous):
            continue
        source = old["Name"] if old["Type"] == "volume" else old["Source"]
        mounts[target] = {"Type": old["Type"], "Source": source, "Target": target, "ReadOnly": not old["RW"]}
    for mount in service.volumes:
        if not mount.source and mount.type == "volume" and mount.target in mounts:
            continue
        mounts[mount.target] = _mount(project, mount)
        if mount.type == "bind" and mount.bind is not None and mount.bind.create_host_path:
            options = ["ro" if mount.read_only else "rw", *filter(None, (mount.bind.selinux, mount.bind.propagation))]
            binds[mount.target] = f"{mount.source}:{mount.target}:{','.join(options)}"
    for kind, reference, target in file_mounts(service):
        item = project.file_object(kind, reference.source)
        _supported(kind, item)
        if item.file and target not in mounts:
            mounts[target] = {"Type": "bind", "Source": item.file, "Target": target, "ReadOnly": True}
    return [mount for target, mount in mounts.items() if target not in binds], list(binds.values())


def file_mounts(service: Service) -> Iterable[tuple[str, FileMount, str]]:
    """The service's configs, then its secrets: `configs` or `secrets`, the reference, the path in the container."""
    for kind, references, folder in (("configs", service.configs, "/"), ("secrets", service.secrets, "/run/secrets")):
        for reference in references:
            yield kind, reference, posixpath.join(folder, reference.target or reference.source)


def _supported(kind: str, item: FileObject) -> None:
    if item.external:
        raise ComposeError(f"unsupported external {kind[:-1]} {item.name}")
    if item.driver or item.template_driver:
        raise ComposeError(f"{kind[:-1]} {item.name}: drivers of {kind} need an orchestrator")


_RECURSION = {"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}


def _mount(project: Project, mount: Mount) -> Json:
    found: Json = {"Type": mount.type, "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.consistency:
        found["Consistency"] = mount.consistency
    if mount.type == "volume" and mount.source in project.volumes:
        found["Source"] = project.volumes[mount.source].name
    if mount.bind is not None and mount.type == "bind":
        found["BindOptions"] = {"Propagation": mount.bind.propagation}
        if mount.bind.recursive in _RECURSION:
            found["BindOptions"][_RECURSION[mount.bind.recursive]] = True
    if mount.volume is not None and mount.type == "volume":
        found["VolumeOptions"] = {"NoCopy": mount.volume.nocopy}
        if mount.volume.subpath:
            found["VolumeOptions"]["Subpath"] = mount.volume.subpath
    if mount.tmpfs is not None and mount.type == "tmpfs":
        found["TmpfsOptions"] = {"SizeBytes": mount.tmpfs.size, "Mode": mount.tmpfs.mode}
    return found


def _contents(project: Project, service: Service) -> Iterable[tuple[str, int, int, int, bytes]]:
    """Configs and secrets whose content is in the project or a variable: they are copied into the container."""
    for kind, reference, target in file_mounts(service):
        if project.file_object(kind, reference.source).file:
            continue
        content = project.content(kind, reference.source)
        try:
            owner = (int(reference.uid or 0), int(reference.gid or 0))
        except ValueError:
            raise ComposeError(
                f"service {service.name!r}: uid and gid of {reference.source!r} must be numbers"
            ) from None
        mode = reference.mode if reference.mode is not None else 0o444
        yield target, *owner, mode, content
