"""One service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose import values
from desktop.compose.errors import ComposeError
from desktop.compose.model.build import BUILD, Build
from desktop.compose.model.common import (
    CONFIG_MOUNTS,
    LABELS,
    ONCE,
    OPTIONS,
    SECRET_MOUNTS,
    TEXT,
    ULIMITS,
    AlwaysBool,
    FileMount,
    Labels,
    Ulimit,
    text_as,
)
from desktop.compose.model.deploy import Deploy
from desktop.compose.model.develop import HOOKS, Develop, Hook
from desktop.compose.model.devices import DEVICE_REQUESTS, DEVICES, Blkio, Device, DeviceRequest, Gpus
from desktop.compose.model.mounts import VOLUMES, Mount
from desktop.compose.shapes.base import Shape, wrong
from desktop.compose.shapes.collections import Command, Hosts, Listing, Named, Pairs, field_key, text_key
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Bool, Choice, Duration, Float, Int, PathText, Size, Text
from desktop.compose.yamltree import Node


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
class EnvFile:
    """A file with environment variables."""

    path: str = of(PathText())
    required: bool = of(AlwaysBool(), True)
    format: str = of(TEXT)


def _write_env_file(shape: Object, file: EnvFile, yaml: bool) -> Any:
    if file.required:
        return file.path
    return {"path": file.path, "required": False} if yaml else shape.fields(file, yaml=yaml)


@dataclass(frozen=True, slots=True)
class Extends:
    """The service that another one is based on."""

    file: str = of(TEXT)
    service: str = of(TEXT)


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


def _exposed(node: Node, what: str) -> tuple[Node, ...]:
    if not isinstance(node.value, str | int | float):
        raise wrong(node, what, "a string or a number")
    text = node.value if isinstance(node.value, str) else values.go_text(node.value)
    try:
        ports = values.parse_ports(text)
    except ValueError as e:
        raise ComposeError(f"{what}: {e}", node.mark) from e
    if any(port.published or port.host_ip for port in ports):
        raise ComposeError(f"{what}: {text!r} has a port of the host, which only `ports` takes", node.mark)
    return (node,)


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
class Service:
    """One service. `command` and `entrypoint` are None where the image's count."""

    name: str = ""
    profiles: tuple[str, ...] = of(ONCE, ())
    annotations: Mapping[str, str] = of(LABELS, {})
    attach: bool | None = of(Bool(optional=True), None)
    build: Build | None = of(BUILD, None)
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
    devices: tuple[Device, ...] = of(DEVICES, ())
    dns: tuple[str, ...] = of(Listing(TEXT, single=True, key=text_key), ())
    dns_opt: tuple[str, ...] = of(ONCE, ())
    dns_search: tuple[str, ...] = of(Listing(TEXT, single=True, key=text_key), ())
    domainname: str = of(TEXT)
    entrypoint: tuple[str, ...] | None = of(Command(always=True), None)
    environment: Mapping[str, str | None] = of(Pairs(nulls=True), {})
    env_file: tuple[EnvFile, ...] = of(
        Listing(Object(EnvFile, short=text_as("path"), write=_write_env_file), single=True, key=field_key("path")), ()
    )
    expose: tuple[str, ...] = of(Listing(Text(numbers=True), key=lambda node: node.value, expand=_exposed), ())
    extends: Extends | None = of(Object(Extends, short=text_as("service")), None)
    external_links: tuple[str, ...] = of(Listing(TEXT, distinct=True), ())
    extra_hosts: Mapping[str, tuple[str, ...]] = of(Hosts(), {})
    group_add: tuple[str, ...] = of(Listing(Text(numbers=True), distinct=True), ())
    gpus: tuple[DeviceRequest, ...] = of(Gpus(DEVICE_REQUESTS.item), ())
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


SERVICE: Shape = Object(Service)
