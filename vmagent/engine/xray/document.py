"""The document of an X-ray: values as `openapi.yaml` describes them. All of it is made anew for each request."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from vmagent.containers.jsonobject import JsonObject


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace of the first process."""

    kind: str  # as in /proc/PID/ns
    id: int  # its inode number, by which namespaces(7) tells them apart
    is_host: bool  # the engine's machine has the same one
    shared_with: list[str]  # names of other containers in it; empty for one of the machine


@dataclass(frozen=True, slots=True)
class Resource:
    """What is used of a resource, beside its limit. None: not known, or there is no limit."""

    name: str  # memory, cpu, processes
    unit: str  # bytes, CPUs, processes
    used: float | None
    limit: float | None
    peak: float | None


@dataclass(frozen=True, slots=True)
class Throttling:
    """Since the start: of how many periods of the CPU limit the container was stopped in how many, and for how long."""

    periods: int
    throttled_periods: int
    throttled_ns: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Per cent of the time in which tasks waited for the resource, and the whole time since the start."""

    avg10: float
    avg60: float
    avg300: float
    total_us: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """Pressure stall information (Documentation/accounting/psi.rst)."""

    resource: str  # cpu, memory, io
    some: Stall  # at least one task waited
    full: Stall | None  # all tasks waited; None: the kernel does not say


@dataclass(frozen=True, slots=True)
class Control:
    """The container's cgroup."""

    path: str
    version: int
    resources: list[Resource]
    cpus: str  # the processors it may run on, "" for all
    throttling: Throttling | None  # None: it does not run
    pressure: list[Pressure]  # empty: it does not run, or the kernel does not have it
    oom_kills: int
    memory_limit_hits: int
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class LayerPart:
    """A layer of the container's root, numbered from the bottom."""

    number: int
    diff_id: str  # "" for the container's own
    kind: str  # dir, tar; upper: the container's own
    size_bytes: int
    created_by: str  # the step that made it, "" where the image does not say
    created: int  # Unix seconds, 0 where the image does not say


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a path of the container comes from."""

    path: str
    resolved: str  # with all links followed; "" if there is nothing
    kind: str  # file, folder, link, device, pipe, socket; "" if there is nothing
    layer: int  # number of the layer that shows it; 0: none of them
    hidden_in: list[int]  # layers below that have it too: hidden, or merged with it if it is a folder
    removed_in: int  # number of the layer that has removed it, 0: none
    mount: str  # what is mounted over it, in words; "" for nothing


@dataclass(frozen=True, slots=True)
class Capability:
    name: str
    meaning: str
    is_effective: bool  # the first process has it now; else it may get it


@dataclass(frozen=True, slots=True)
class Security:
    """What the container's processes may do."""

    user: str  # of the configuration; "" for root
    is_privileged: bool
    no_new_privileges: bool
    is_read_only: bool  # the root file system
    capabilities: list[Capability]  # those of the bounding set
    missing: list[str]  # names of all others that this kernel has
    seccomp: str  # default, unconfined, custom
    seccomp_words: str
    user_namespace_words: str


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the container's cgroup."""

    pid: int  # on the engine's machine
    inner_pid: int  # in the container's own pid namespace
    parent: int
    uid: int  # on the engine's machine
    state: str  # a word
    threads: int
    memory_bytes: int  # resident
    cpu_ms: int
    command: str


@dataclass(frozen=True, slots=True)
class Interface:
    """The container's end and the host's end of a connection to a network."""

    network: str
    driver: str
    interface: str
    address: str  # with the prefix length
    address6: str
    mac: str
    gateway: str
    host_interface: str  # "": it has no end on the host
    bridge: str


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that accepts what comes to a port."""

    pid: int
    address: str
    command: str


@dataclass(frozen=True, slots=True)
class PortPath:
    """The way from a published port to a process, in the order of the packets."""

    protocol: str
    host_address: str
    host_port: int
    by_host_agent: bool  # in a VM: the machine around it listens, and passes on to here
    rule: str  # the element of the firewall's map, "" if the relay passes it on
    is_rule_there: bool  # the kernel has it now
    by_relay: bool  # IPv6 that the kernel can't translate: see cove-relay
    bridge: str
    host_interface: str
    interface: str
    address: str
    container_port: int
    listeners: list[Listener]  # empty: nothing in the container listens there, or it is reachable from within alone


@dataclass(frozen=True, slots=True)
class Net:
    mode: str
    of: str  # the name of the container whose network this one uses, "" for its own
    interfaces: list[Interface]
    ports: list[PortPath]


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    name: str
    image: str
    image_id: str
    status: str
    pid: int  # 0: it does not run
    started: int  # Unix seconds, 0: never
    namespaces: list[Namespace]  # empty: it does not run
    control: Control
    layers: list[LayerPart]  # from the bottom up; the last is the container's own
    origin: Origin | None  # of the path that was asked for
    security: Security
    processes: list[Process]  # at most 1,000
    network: Net
    timeline: JsonObject  # as GET /cove/v1/containers/{id}/timeline

    def to_json(self) -> JsonObject:
        return asdict(self)
