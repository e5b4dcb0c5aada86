"""A Compose project as frozen values: every field of the Compose specification, with its shape.

The fields stand in the order in which docker compose writes them, because a service's hash is computed from that text.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose import values
from desktop.compose.errors import ComposeError
from desktop.compose.shapes import (
    Base,
    Bool,
    Choice,
    Command,
    Count,
    Duration,
    Float,
    Hosts,
    Int,
    Listing,
    Named,
    Object,
    Pairs,
    PathText,
    Shape,
    Size,
    Text,
    ZeroDuration,
    extensions,
    field_key,
    of,
    overlay,
    text_key,
    wrong,
)
from desktop.compose.yamltree import Node

TEXT = Text()
TEXTS = Listing(TEXT)
ONCE = Listing(TEXT, key=text_key)
LABELS = Pairs()
OPTIONS = Pairs(only_mapping=True)
Labels = Mapping[str, str]


class Always(Text):
    """A string that is written even if it is empty."""

    always = True


class AlwaysBool(Bool):
    """A boolean that is written even if it is false."""

    always = True


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit; `single` is soft and hard limit in one."""

    single: int = of(Int(), 0)
    soft: int = of(Int(), 0)
    hard: int = of(Int(), 0)


def _ulimit(node: Node, what: str) -> Node:
    value = Int().canonical(node, Base(None), what)
    return node.of({"single": value})


def _write_ulimit(shape: Object, limit: Ulimit, yaml: bool) -> Any:
    if limit.single:
        return limit.single
    return {"soft": limit.soft, "hard": limit.hard} if yaml else shape.fields(limit, yaml=yaml)


ULIMITS = Named(Object(Ulimit, short=_ulimit, write=_write_ulimit, combine=lambda under, over: over))


@dataclass(frozen=True, slots=True)
class FileMount:
    """A config or secret in a container; `mode` is None where it is not given."""

    source: str = of(TEXT)
    target: str = of(TEXT)
    uid: str = of(Text(numbers=True))
    gid: str = of(Text(numbers=True))
    mode: int | None = of(Int(optional=True), None)
    extensions: Mapping[str, Any] = extensions()


def _source(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    return node.of({"source": Node(node.value, node.mark)})


def _mount_key(folder: str) -> Any:
    def key(node: Node) -> object:
        target, source = node.get("target"), node.get("source")
        return target.value if target is not None else f"{folder}/{source.value if source is not None else ''}"

    return key


FILE_MOUNT = Object(FileMount, short=_source)
CONFIG_MOUNTS = Listing(FILE_MOUNT, key=_mount_key(""))
SECRET_MOUNTS = Listing(FILE_MOUNT, key=_mount_key("/run/secrets"))


@dataclass(frozen=True, slots=True)
class SshKey:
    """A key of `build.ssh`; without a path it is the agent's."""

    id: str
    path: str = ""


class SshKeys(Pairs):
    """`build.ssh`: a mapping, or a list of `ID=PATH`; `default` needs no path."""

    def value(self, node: Node) -> Any:
        found: Mapping[str, str] = super().value(node)
        return tuple(SshKey(name, path or "") for name, path in sorted(found.items()))

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return [f"{key.id}: {key.path}" if key.path else key.id for key in value]


@dataclass(frozen=True, slots=True)
class Build:
    """How a service's image is built."""

    context: str = of(PathText(remote=True))
    dockerfile: str | None = of(Text(optional=True), None)  # None: Dockerfile, or the inline one
    dockerfile_inline: str = of(TEXT)
    entitlements: tuple[str, ...] = of(TEXTS, ())
    args: Mapping[str, str | None] = of(Pairs(nulls=True), {})
    ssh: tuple[SshKey, ...] = of(SshKeys(path=PathText()), ())
    labels: Labels = of(LABELS, {})
    cache_from: tuple[str, ...] = of(TEXTS, ())
    cache_to: tuple[str, ...] = of(TEXTS, ())
    no_cache: bool = of(Bool(), False)
    additional_contexts: Mapping[str, str] = of(Pairs(path=PathText(remote=True), need_value=True), {})
    pull: bool = of(Bool(), False)
    extra_hosts: Mapping[str, tuple[str, ...]] = of(Hosts(), {})
    isolation: str = of(TEXT)
    network: str = of(TEXT)
    target: str = of(TEXT)
    secrets: tuple[FileMount, ...] = of(Listing(FILE_MOUNT), ())
    shm_size: int = of(Size(), 0)
    tags: tuple[str, ...] = of(ONCE, ())
    ulimits: Mapping[str, Ulimit] = of(ULIMITS, {})
    platforms: tuple[str, ...] = of(TEXTS, ())
    privileged: bool = of(Bool(), False)
    extensions: Mapping[str, Any] = extensions()


def _build(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    return node.of({"context": Node(node.value, node.mark)})


@dataclass(frozen=True, slots=True)
class Hook:
    """A command that is run in a container after its start or before its stop."""

    command: tuple[str, ...] | None = of(Command(always=True), None)
    user: str = of(TEXT)
    privileged: bool = of(Bool(), False)
    working_dir: str = of(TEXT)
    environment: Mapping[str, str | None] = of(Pairs(nulls=True), {})
    extensions: Mapping[str, Any] = extensions()


HOOKS = Listing(Object(Hook))


@dataclass(frozen=True, slots=True)
class Trigger:
    """What `watch` does when files change."""

    path: str = of(PathText(real=True))
    action: str = of(Choice(words=("rebuild", "sync", "restart", "sync+restart", "sync+exec")))
    target: str = of(TEXT)
    exec: Hook = of(Object(Hook, keep=True), Hook())
    include: tuple[str, ...] = of(TEXTS, ())
    ignore: tuple[str, ...] = of(TEXTS, ())
    initial_sync: bool = of(Bool(), False)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Develop:
    """`develop`."""

    watch: tuple[Trigger, ...] = of(Listing(Object(Trigger, required=("path", "action"))), ())
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class WeightDevice:
    """A device's share of block I/O."""

    path: str = of(Always())
    weight: int = of(Int(), 0)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class ThrottleDevice:
    """A device's limit of block I/O, in bytes or operations a second."""

    path: str = of(Always())
    rate: int = of(Size(), 0)
    extensions: Mapping[str, Any] = extensions()


def _write_device(shape: Object, device: Any, yaml: bool) -> Any:
    found = shape.fields(device, yaml=yaml)
    return found if yaml else {name.capitalize(): item for name, item in found.items()}


_THROTTLES = Listing(Object(ThrottleDevice, write=_write_device))


@dataclass(frozen=True, slots=True)
class Blkio:
    """`blkio_config`."""

    weight: int = of(Int(), 0)
    weight_device: tuple[WeightDevice, ...] = of(Listing(Object(WeightDevice, write=_write_device)), ())
    device_read_bps: tuple[ThrottleDevice, ...] = of(_THROTTLES, ())
    device_read_iops: tuple[ThrottleDevice, ...] = of(_THROTTLES, ())
    device_write_bps: tuple[ThrottleDevice, ...] = of(_THROTTLES, ())
    device_write_iops: tuple[ThrottleDevice, ...] = of(_THROTTLES, ())
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class CredentialSpec:
    """`credential_spec`, of Windows containers."""

    config: str = of(TEXT)
    file: str = of(TEXT)
    registry: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a service waits for before it starts."""

    condition: str = of(Choice(words=CONDITIONS), "service_started")
    restart: bool = of(Bool(), False)
    extensions: Mapping[str, Any] = extensions()
    required: bool = of(AlwaysBool(), True)


def _started(node: Node) -> Node:
    return Node({"condition": Node("service_started", node.mark), "required": Node(True, node.mark)}, node.mark)


@dataclass(frozen=True, slots=True)
class UpdateConfig:
    """How the replicas are updated; only orchestrators use it."""

    parallelism: int | None = of(Int(optional=True), None)
    delay: int = of(ZeroDuration(), 0)
    failure_action: str = of(TEXT)
    monitor: int = of(ZeroDuration(), 0)
    max_failure_ratio: float = of(Float(), 0.0)
    order: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """Devices of a driver, such as GPUs; `count` -1 is all of them."""

    capabilities: tuple[str, ...] = of(TEXTS, ())
    driver: str = of(TEXT)
    count: int = of(Count(), 0)
    device_ids: tuple[str, ...] = of(TEXTS, ())
    options: Mapping[str, str] = of(LABELS, {})


def _device_request(node: Node, what: str) -> None:
    if node.get("count") is not None and node.get("device_ids") is not None:
        raise ComposeError(f'{what}: "count" and "device_ids" exclude each other', node.where)


def _all_devices(node: Node, base: Base) -> Node:
    if node.get("count") is None and node.get("device_ids") is None:
        return node.of({**node.value, "count": Node(-1, node.mark)})
    return node


_DEVICES = Listing(Object(DeviceRequest, check=_device_request, complete=_all_devices))


class Gpus(Listing):
    """`gpus`: a list of requests, or the word `all`."""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if isinstance(node.value, str):
            if node.value != "all":
                raise wrong(node, what, "a list, or the word all")
            node = node.of((Node({"count": Node(-1, node.mark)}, node.mark),))
        return super().canonical(node, base, what)


@dataclass(frozen=True, slots=True)
class DiscreteResource:
    """So many of a kind."""

    kind: str = of(Always())
    value: int = of(Int(optional=True), 0)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class GenericResource:
    """A resource that only an orchestrator knows."""

    discrete_resource_spec: DiscreteResource | None = of(Object(DiscreteResource), None)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Resource:
    """Limits or reservations."""

    cpus: float = of(Float(), 0.0)
    memory: int = of(Size(), 0)
    pids: int = of(Int(), 0)
    devices: tuple[DeviceRequest, ...] = of(_DEVICES, ())
    generic_resources: tuple[GenericResource, ...] = of(Listing(Object(GenericResource)), ())
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Resources:
    """`deploy.resources`."""

    limits: Resource | None = of(Object(Resource), None)
    reservations: Resource | None = of(Object(Resource), None)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """`deploy.restart_policy`."""

    condition: str = of(TEXT)
    delay: int | None = of(Duration(), None)
    max_attempts: int | None = of(Int(optional=True), None)
    window: int | None = of(Duration(), None)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Preference:
    """A wish of `placement`."""

    spread: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Placement:
    """On which nodes of an orchestrator."""

    constraints: tuple[str, ...] = of(TEXTS, ())
    preferences: tuple[Preference, ...] = of(Listing(Object(Preference)), ())
    max_replicas_per_node: int = of(Int(), 0)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Deploy:
    """`deploy`."""

    mode: str = of(TEXT)
    replicas: int | None = of(Int(optional=True, least=0), None)
    labels: Labels = of(LABELS, {})
    update_config: UpdateConfig | None = of(Object(UpdateConfig), None)
    rollback_config: UpdateConfig | None = of(Object(UpdateConfig), None)
    resources: Resources = of(Object(Resources, keep=True), Resources())
    restart_policy: RestartPolicy | None = of(Object(RestartPolicy), None)
    placement: Placement = of(Object(Placement, keep=True), Placement())
    endpoint_mode: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the host in a container."""

    source: str = of(TEXT)
    target: str = of(TEXT)
    permissions: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


def _device(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    try:
        parts = values.parse_device(node.value)
    except ValueError as e:
        raise ComposeError(f"{what}: {e}", node.mark) from e
    return node.of(
        {key: Node(part, node.mark) for key, part in zip(("source", "target", "permissions"), parts, strict=True)}
    )


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A file with environment variables."""

    path: str = of(PathText())
    required: bool = of(AlwaysBool(), True)
    format: str = of(TEXT)


def _env_file(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    return node.of({"path": Node(node.value, node.mark)})


def _write_env_file(shape: Object, file: EnvFile, yaml: bool) -> Any:
    if file.required:
        return file.path
    return {"path": file.path, "required": False} if yaml else shape.fields(file, yaml=yaml)


@dataclass(frozen=True, slots=True)
class Extends:
    """The service that another one is based on."""

    file: str = of(TEXT)
    service: str = of(TEXT)


def _extends(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    return node.of({"service": Node(node.value, node.mark)})


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """`healthcheck`; durations in nanoseconds."""

    test: tuple[str, ...] | None = of(Command(shell=True), None)
    timeout: int | None = of(Duration(), None)
    interval: int | None = of(Duration(), None)
    retries: int | None = of(Int(optional=True), None)
    start_period: int | None = of(Duration(), None)
    start_interval: int | None = of(Duration(), None)
    disable: bool = of(Bool(), False)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Logging:
    """`logging`."""

    driver: str = of(TEXT)
    options: Mapping[str, str] = of(OPTIONS, {})
    extensions: Mapping[str, Any] = extensions()


def _logging(under: Node, over: Node) -> Node | None:
    """Options of another driver are dropped."""
    mine, theirs = under.get("driver"), over.get("driver")
    return over if mine is not None and theirs is not None and mine.value != theirs.value else None


@dataclass(frozen=True, slots=True)
class ServiceNetwork:
    """A service on a network."""

    priority: int = of(Int(), 0)
    gw_priority: int = of(Int(), 0)
    aliases: tuple[str, ...] = of(ONCE, ())
    ipv4_address: str = of(TEXT)
    ipv6_address: str = of(TEXT)
    link_local_ips: tuple[str, ...] = of(ONCE, ())
    mac_address: str = of(TEXT)
    driver_opts: Mapping[str, str] = of(OPTIONS, {})
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Port:
    """A published port; `published` may be empty or a range."""

    name: str = of(TEXT)
    mode: str = of(TEXT, "ingress")
    host_ip: str = of(TEXT)
    target: int = of(Int(), 0)
    published: str = of(Text(numbers=True))
    protocol: str = of(TEXT, "tcp")
    app_protocol: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


def _ports(node: Node, what: str) -> tuple[Node, ...]:
    if node.is_mapping:
        return (node,)
    if not isinstance(node.value, str | int) or isinstance(node.value, bool):
        raise wrong(node, what, "a string, a number or a mapping")
    try:
        ports = values.parse_ports(str(node.value))
    except ValueError as e:
        raise ComposeError(f"{what}: {e}", node.mark) from e
    found = []
    for port in ports:
        parts: dict[str, Any] = {
            "mode": "ingress", "host_ip": port.host_ip, "target": port.target, "published": port.published,
            "protocol": port.protocol,
        }  # fmt: skip
        found.append(node.of({key: Node(part, node.mark) for key, part in parts.items() if part != ""}))
    return tuple(found)


def _port_key(node: Node) -> object:
    key = field_key("host_ip", "published", "target", "protocol")(node)
    assert isinstance(key, tuple)
    return (key[0] or "0.0.0.0", key[1], key[2], key[3] or "tcp")


@dataclass(frozen=True, slots=True)
class BindOptions:
    """`bind` of a mount."""

    selinux: str = of(TEXT)
    propagation: str = of(TEXT)
    create_host_path: bool = of(Bool(), False)
    recursive: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class VolumeOptions:
    """`volume` of a mount."""

    nocopy: bool = of(Bool(), False)
    subpath: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class TmpfsOptions:
    """`tmpfs` of a mount."""

    size: int = of(Size(), 0)
    mode: int = of(Int(), 0)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume, folder or tmpfs in a container."""

    type: str = of(Choice(words=("bind", "volume", "tmpfs", "cluster", "npipe", "image")))
    source: str = of(TEXT)
    target: str = of(TEXT)
    read_only: bool = of(Bool(), False)
    consistency: str = of(TEXT)
    bind: BindOptions | None = of(Object(BindOptions), None)
    volume: VolumeOptions | None = of(Object(VolumeOptions), None)
    tmpfs: TmpfsOptions | None = of(Object(TmpfsOptions), None)
    extensions: Mapping[str, Any] = extensions()


def _mount(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    try:
        volume = values.parse_volume(node.value)
    except ValueError as e:
        raise ComposeError(f"{what}: {e}", node.mark) from e
    parts: dict[str, Any] = {"type": volume.kind, "source": volume.source, "target": volume.target}
    found = {key: Node(part, node.mark) for key, part in parts.items() if part}
    if volume.read_only:
        found["read_only"] = Node(True, node.mark)
    options = {"selinux": volume.selinux, "propagation": volume.propagation}
    bind: dict[str, Any] = {key: Node(part, node.mark) for key, part in options.items() if part}
    if volume.kind == "bind":
        bind["create_host_path"] = Node(True, node.mark)
    if bind:
        found["bind"] = Node(bind, node.mark)
    if volume.kind == "volume" or volume.nocopy:
        found["volume"] = Node({"nocopy": Node(True, node.mark)} if volume.nocopy else {}, node.mark)
    return node.of(found)


def _mount_path(node: Node, base: Base) -> Node:
    kind, source, target = node.get("type"), node.get("source"), node.get("target")
    found = dict(node.value)
    if kind is not None and kind.value == "bind":
        if source is None or not isinstance(source.value, str):
            raise ComposeError("a bind mount lacks its source", node.where)
        found["source"] = source.of(base.unix_path(source.value))
    if target is not None and isinstance(target.value, str) and target.value:
        found["target"] = target.of(posixpath.normpath(target.value))
    return node.of(found)


VOLUMES = Listing(
    Object(Mount, short=_mount, complete=_mount_path, required=("type", "target")), key=field_key("target")
)


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `command` and `entrypoint` are None where the image's count."""

    name: str = ""
    profiles: tuple[str, ...] = of(ONCE, ())
    annotations: Mapping[str, str] = of(LABELS, {})
    attach: bool | None = of(Bool(optional=True), None)
    build: Build | None = of(Object(Build, short=_build), None)
    develop: Develop | None = of(Object(Develop), None)
    blkio_config: Blkio | None = of(Object(Blkio), None)
    cap_add: tuple[str, ...] = of(ONCE, ())
    cap_drop: tuple[str, ...] = of(ONCE, ())
    cgroup_parent: str = of(TEXT)
    cgroup: str = of(Choice(words=("host", "private")))
    cpu_count: int = of(Int(least=0), 0)
    cpu_percent: float = of(Float(), 0.0)
    cpu_period: int = of(Int(), 0)
    cpu_quota: int = of(Int(), 0)
    cpu_rt_period: int = of(Int(), 0)
    cpu_rt_runtime: int = of(Int(), 0)
    cpus: float = of(Float(), 0.0)
    cpuset: str = of(TEXT)
    cpu_shares: int = of(Int(), 0)
    command: tuple[str, ...] | None = of(Command(always=True), None)
    configs: tuple[FileMount, ...] = of(CONFIG_MOUNTS, ())
    container_name: str = of(TEXT)
    credential_spec: CredentialSpec | None = of(Object(CredentialSpec), None)
    depends_on: Mapping[str, Dependency] = of(Named(Object(Dependency), from_list=_started), {})
    deploy: Deploy | None = of(Object(Deploy), None)
    device_cgroup_rules: tuple[str, ...] = of(Listing(TEXT, distinct=True), ())
    devices: tuple[Device, ...] = of(Listing(Object(Device, short=_device), key=field_key("target")), ())
    dns: tuple[str, ...] = of(Listing(TEXT, single=True, key=text_key), ())
    dns_opt: tuple[str, ...] = of(ONCE, ())
    dns_search: tuple[str, ...] = of(Listing(TEXT, single=True, key=text_key), ())
    domainname: str = of(TEXT)
    entrypoint: tuple[str, ...] | None = of(Command(always=True), None)
    environment: Mapping[str, str | None] = of(Pairs(nulls=True), {})
    env_file: tuple[EnvFile, ...] = of(
        Listing(Object(EnvFile, short=_env_file, write=_write_env_file), single=True, key=field_key("path")), ()
    )
    expose: tuple[str, ...] = of(Listing(Text(numbers=True), key=lambda node: node.value), ())
    extends: Extends | None = of(Object(Extends, short=_extends), None)
    external_links: tuple[str, ...] = of(Listing(TEXT, distinct=True), ())
    extra_hosts: Mapping[str, tuple[str, ...]] = of(Hosts(), {})
    group_add: tuple[str, ...] = of(Listing(Text(numbers=True), distinct=True), ())
    gpus: tuple[DeviceRequest, ...] = of(Gpus(_DEVICES.item), ())
    hostname: str = of(TEXT)
    healthcheck: HealthCheck | None = of(Object(HealthCheck), None)
    image: str = of(TEXT)
    init: bool | None = of(Bool(optional=True), None)
    ipc: str = of(TEXT)
    isolation: str = of(TEXT)
    labels: Labels = of(LABELS, {})
    label_file: tuple[str, ...] = of(Listing(PathText(), single=True), ())
    links: tuple[str, ...] = of(ONCE, ())
    logging: Logging | None = of(Object(Logging, combine=_logging), None)
    mem_limit: int = of(Size(), 0)
    mem_reservation: int = of(Size(), 0)
    memswap_limit: int = of(Size(), 0)
    mem_swappiness: int = of(Size(), 0)
    mac_address: str = of(TEXT)
    network_mode: str = of(TEXT)
    networks: Mapping[str, ServiceNetwork | None] = of(
        Named(Object(ServiceNetwork), from_list=lambda node: Node(None, node.mark), nulls=True), {}
    )
    oom_kill_disable: bool = of(Bool(), False)
    oom_score_adj: int = of(Int(), 0)
    pid: str = of(TEXT)
    pids_limit: int = of(Int(), 0)
    platform: str = of(TEXT)
    ports: tuple[Port, ...] = of(Listing(Object(Port, required=("target",)), key=_port_key, expand=_ports), ())
    privileged: bool = of(Bool(), False)
    pull_policy: str = of(TEXT)
    read_only: bool = of(Bool(), False)
    restart: str = of(TEXT)
    runtime: str = of(TEXT)
    scale: int | None = of(Int(optional=True, least=0), None)
    secrets: tuple[FileMount, ...] = of(SECRET_MOUNTS, ())
    security_opt: tuple[str, ...] = of(Listing(TEXT, distinct=True), ())
    shm_size: int = of(Size(), 0)
    stdin_open: bool = of(Bool(), False)
    stop_grace_period: int | None = of(Duration(), None)
    stop_signal: str = of(TEXT)
    storage_opt: Mapping[str, str] = of(OPTIONS, {})
    sysctls: Mapping[str, str] = of(LABELS, {})
    tmpfs: tuple[str, ...] = of(Listing(TEXT, single=True, key=text_key), ())
    tty: bool = of(Bool(), False)
    ulimits: Mapping[str, Ulimit] = of(ULIMITS, {})
    user: str = of(TEXT)
    userns_mode: str = of(TEXT)
    uts: str = of(TEXT)
    volumes: tuple[Mount, ...] = of(VOLUMES, ())
    volumes_from: tuple[str, ...] = of(Listing(TEXT, distinct=True), ())
    working_dir: str = of(TEXT)
    post_start: tuple[Hook, ...] = of(HOOKS, ())
    pre_stop: tuple[Hook, ...] = of(HOOKS, ())
    extensions: Mapping[str, Any] = extensions()

    @property
    def replicas(self) -> int:
        """How many containers the service has."""
        if self.scale is not None:
            return self.scale
        if self.deploy is not None and self.deploy.replicas is not None:
            return self.deploy.replicas
        return 1


@dataclass(frozen=True, slots=True)
class AddressPool:
    """A subnet of a network."""

    subnet: str = of(TEXT)
    gateway: str = of(TEXT)
    ip_range: str = of(TEXT)
    aux_addresses: Mapping[str, str] = of(LABELS, {})
    extensions: Mapping[str, Any] = extensions()


class Unwritten(Pairs):
    """Options that docker compose reads and does not write."""

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        return True


class Pools(Listing):
    """`ipam.config`: the later file's subnets count, and take over what the earlier one says of the same subnet."""

    def merge(self, under: Node, over: Node) -> Node:
        assert self.key is not None
        before = {self.key(item): item for item in under.value}
        items = ((before.get(self.key(item)), item) for item in over.value)
        return over.of(tuple(overlay(self.item, mine, item) if mine is not None else item for mine, item in items))


@dataclass(frozen=True, slots=True)
class Ipam:
    """How a network gives addresses."""

    driver: str = of(TEXT)
    config: tuple[AddressPool, ...] = of(Pools(Object(AddressPool), key=field_key("subnet")), ())
    options: Mapping[str, str] = of(Unwritten(only_mapping=True), {})
    extensions: Mapping[str, Any] = extensions()


class External(Bool):
    """True, false, or in older files a mapping with the name."""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        return node.of(True) if node.is_mapping else super().canonical(node, base, what)


def _external_name(shape: Object, node: Node) -> Node:
    external, name = node.get("external"), node.get("name")
    if external is None or not external.is_mapping or (old := external.get("name")) is None:
        return node
    if name is not None and name.value != old.value:
        raise ComposeError("name and external.name differ; only use name", name.where)
    return node.of({**node.value, "name": old})


@dataclass(frozen=True)
class Resourceful(Object):
    """A network, volume, config or secret of the top level, which may be external."""

    own: tuple[str, ...] = ()  # of these keys exactly one is there, unless it is external or has a driver

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.is_mapping:
            node = _external_name(self, node)
        return super().canonical(node, base, what)


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the project."""

    name: str = of(TEXT)
    driver: str = of(TEXT)
    driver_opts: Mapping[str, str] = of(OPTIONS, {})
    ipam: Ipam = of(Object(Ipam, keep=True), Ipam())
    external: bool = of(External(), False)
    internal: bool = of(Bool(), False)
    attachable: bool = of(Bool(), False)
    labels: Labels = of(LABELS, {})
    enable_ipv4: bool | None = of(Bool(optional=True), None)
    enable_ipv6: bool | None = of(Bool(optional=True), None)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the project."""

    name: str = of(TEXT)
    driver: str = of(TEXT)
    driver_opts: Mapping[str, str] = of(OPTIONS, {})
    external: bool = of(External(), False)
    labels: Labels = of(LABELS, {})
    extensions: Mapping[str, Any] = extensions()


def _bind_device(node: Node, base: Base) -> Node:
    """The folder behind a volume of the local driver with `o: bind`."""
    driver, kind, device = node.get("driver"), node.get("driver_opts", "o"), node.get("driver_opts", "device")
    if driver is None or driver.value != "local" or kind is None or kind.value != "bind" or device is None:
        return node
    options = node.value["driver_opts"]
    return node.of(
        {
            **node.value,
            "driver_opts": options.of({**options.value, "device": device.of(base.unix_path(str(device.value)))}),
        }
    )


@dataclass(frozen=True, slots=True)
class FileObject:
    """A config or secret of the project: its content comes from one of file, environment and content."""

    name: str = of(TEXT)
    file: str = of(PathText(unix=True))
    environment: str = of(TEXT)
    content: str = of(TEXT)
    external: bool = of(External(), False)
    labels: Labels = of(LABELS, {})
    driver: str = of(TEXT)
    driver_opts: Mapping[str, str] = of(OPTIONS, {})
    template_driver: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


def _write_secret(shape: Object, secret: FileObject, yaml: bool) -> Any:
    found = shape.fields(secret, yaml=yaml)
    found.pop("content", None)
    return found


def _write_config(shape: Object, config: FileObject, yaml: bool) -> Any:
    found = shape.fields(config, yaml=yaml)
    if config.environment:
        found.pop("content", None)
    return found


@dataclass(frozen=True, slots=True)
class Include:
    """Other compose files, with a project folder and env files of their own. Relative to the including project."""

    path: tuple[str, ...] = of(Listing(TEXT, single=True), ())
    project_directory: str = of(TEXT)
    env_file: tuple[str, ...] = of(Listing(TEXT, single=True), ())


def _include(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    return node.of({"path": Node(node.value, node.mark)})


SERVICE: Shape = Object(Service)
INCLUDE = Object(Include, short=_include, required=("path",))


@dataclass(frozen=True, slots=True)
class File:
    """A whole compose file, or several merged."""

    version: str = of(Text(numbers=True))
    name: str = of(TEXT)
    include: tuple[Include, ...] = of(Listing(INCLUDE), ())
    services: Mapping[str, Service] = of(Named(SERVICE), {})
    networks: Mapping[str, Network | None] = of(Named(Resourceful(Network), nulls=True), {})
    volumes: Mapping[str, Volume | None] = of(Named(Resourceful(Volume, complete=_bind_device), nulls=True), {})
    secrets: Mapping[str, FileObject] = of(Named(Resourceful(FileObject, write=_write_secret)), {})
    configs: Mapping[str, FileObject] = of(Named(Resourceful(FileObject, write=_write_config)), {})
    extensions: Mapping[str, Any] = extensions()


FILE = Object(File)
