"""Assembles an X-ray: the engine's records beside what the kernel has."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from vmagent.containers.live import Live
from vmagent.containers.model import Container, MountKind
from vmagent.containers.security import effective_capabilities, parse_security
from vmagent.engine.background import Background
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.files import Files
from vmagent.engine.history import History, Point
from vmagent.engine.launching import Launcher
from vmagent.engine.registry import Registry
from vmagent.engine.usage import used_by
from vmagent.engine.userns import UserNamespaces
from vmagent.engine.xray import kernel, layers
from vmagent.engine.xray.document import (
    Capability,
    Control,
    Document,
    Interface,
    LayerPart,
    Namespace,
    Net,
    Origin,
    PortPath,
    Pressure,
    Process,
    Resource,
    Security,
    Stall,
    Throttling,
)
from vmagent.engine.xray.words import MEANINGS, SECCOMP
from vmagent.errors import BadRequest, NotFound
from vmagent.images.config import unix_seconds
from vmagent.images.layer import top_first
from vmagent.images.store import Image, Store
from vmagent.linux import capabilities
from vmagent.networks.firewall import Rule
from vmagent.networks.model import PublishedPort, Sandbox
from vmagent.runtime.cgroups import tree as cgroup_tree

_ENGINE_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
_KERNEL_PLACES = ("/proc", "/sys", "/dev")
_DEFAULT_PERIOD_US = 100_000  # of a CPU quota without a period


class XRay:
    """Used on the event loop."""

    def __init__(
        self,
        registry: Registry,
        background: Background,
        users: UserNamespaces,
        store: Store,
        endpoints: Endpoints,
        launcher: Launcher,
        files: Files,
        history: History,
        *,
        has_host_agent: bool,
    ) -> None:
        """`has_host_agent`: this is a VM, around which the host's agent listens on published ports."""
        self._registry, self._background, self._users = registry, background, users
        self._store, self._endpoints, self._launcher, self._files = store, endpoints, launcher, files
        self._history, self._has_host_agent = history, has_host_agent

    async def document(self, ref: str, path: str | None = None) -> Document:
        """The container `ref`, running or not; with `path`, an absolute one, also which layer that comes from.

        Raises NotFound, BadRequest, OSError.
        """
        live = self._registry.find(ref)
        if path is not None and not path.startswith("/"):
            raise BadRequest(f"invalid path: {path!r} is not absolute")
        record = live.record
        on_disk = self._background.on_disk
        owner = self._registry.network_owner(live)
        rules = await self._endpoints.call(self._endpoints.controller.rules, owner.id)
        others = {
            other.record.name: other.record.state.pid for other in self._registry if _runs(other) and other is not live
        }
        joined = [
            other.record.cgroup_path
            for other in self._registry
            if _runs(other) and self._registry.network_owner(other) is owner
        ]
        image = self._image(record)
        own_bytes, _ = await self._files.sizes(record)
        points = await self._history.points(record.id)
        privileges = None
        namespaces: list[Namespace] = []
        processes: list[Process] = []
        if _runs(live):
            privileges = await on_disk(kernel.privileges, record.state.pid)
            namespaces = await on_disk(kernel.namespaces, record.state.pid, others)
            processes = await on_disk(_processes, record.cgroup_path)
        return Document(
            id=record.id,
            name=record.name,
            image=record.image_ref,
            image_id=record.image_id,
            status=str(record.state.status),
            pid=record.state.pid if _runs(live) else 0,
            started=record.state.started_ns // 1_000_000_000,
            namespaces=namespaces,
            control=await on_disk(_control, record, _cpu_rate(points.seconds, record.state.run), _runs(live)),
            layers=[*self._layers(image), _own_layer(len(image.layers) + 1 if image else 1, own_bytes, record)],
            origin=await self._origin(record, image, path) if path is not None else None,
            security=self._security(record, privileges),
            processes=processes,
            network=await on_disk(self._network, live, owner, rules, joined),
            timeline=live.timeline()._asdict(),
        )

    # --- layers

    def _image(self, record: Container) -> Image | None:
        try:
            return self._store.image(record.image_id)
        except NotFound:
            return None

    def _layers(self, image: Image | None) -> list[LayerPart]:
        if image is None:
            return []
        steps = [step for step in image.config.get("history") or () if not step.get("empty_layer")]
        steps = [{} for _ in range(len(image.layers) - len(steps))] + steps  # an image need not tell all of them
        found = []
        for number, (diff_id, step) in enumerate(zip(image.layers, steps, strict=False), 1):
            layer = self._store.layers[diff_id]
            created = unix_seconds(step["created"]) if step.get("created") else 0
            made_by = str(step.get("created_by") or "")
            found.append(LayerPart(number, diff_id, str(layer.kind), layer.size, made_by, created))
        return found

    async def _origin(self, record: Container, image: Image | None, path: str) -> Origin:
        if image is None:
            raise NotFound(f"No such image: {record.image_id}")
        numbers = {diff_id: number for number, diff_id in enumerate(image.layers, 1)}  # of several, the topmost
        ordered = [len(image.layers) + 1, *(numbers[diff_id] for diff_id in top_first(image.layers))]
        own = str(self._registry.folder(record.id) / "upper")
        # Without the engine's layer of mount points, which is the first of the lower folders.
        async with self._launcher.lowers(record) as lowers:
            found = await self._background.on_disk(layers.locate, [own, *lowers[1:]], path)
        return Origin(
            path=path,
            resolved=found.resolved if found.kind else "",
            kind=found.kind,
            layer=ordered[found.shown] if found.shown >= 0 else 0,
            hidden_in=sorted(ordered[index] for index in found.hidden),
            removed_in=ordered[found.removed_by] if found.removed_by >= 0 else 0,
            mount=_mount_over(record, found.resolved),
        )

    # --- security

    def _security(self, record: Container, privileges: kernel.Privileges | None) -> Security:
        host = record.host_config
        options = parse_security(host["SecurityOpt"])
        if privileges is None:
            bounding = effective = capabilities.mask(effective_capabilities(host))
        else:
            bounding, effective = privileges.bounding, privileges.effective
        seccomp = "default" if options.seccomp is None else "custom" if options.seccomp else "unconfined"
        if host["Privileged"]:
            seccomp = "unconfined"
        last = capabilities.last_capability()
        known = [(number, name) for number, name in enumerate(capabilities.NAMES) if number <= last]
        users = self._users.of(record)
        return Security(
            user=record.config["User"] or "",
            is_privileged=bool(host["Privileged"]),
            no_new_privileges=privileges.no_new_privileges if privileges else options.no_new_privileges,
            is_read_only=bool(host["ReadonlyRootfs"]),
            capabilities=[
                Capability(name, MEANINGS[name], bool(effective >> number & 1))
                for number, name in known
                if bounding >> number & 1
            ],
            missing=[name for number, name in known if not bounding >> number & 1],
            seccomp=seccomp,
            seccomp_words=SECCOMP[seccomp],
            user_namespace_words=(
                "None of its own: root in the container is root on the engine's machine, with fewer capabilities."
                if users is None
                else f"Its own: root in the container is user {users.root[0]} on the engine's machine."
            ),
        )

    # --- network

    def _network(
        self, live: Live, owner: Live, rules: Mapping[PublishedPort, Rule | None], joined: Sequence[str]
    ) -> Net:
        """Runs in a disk thread."""
        sandbox = self._endpoints.controller.sandbox(owner.id) if _runs(owner) else None
        return Net(
            mode=owner.record.network_mode,
            of=owner.record.name if owner is not live else "",
            interfaces=self._interfaces(sandbox) if sandbox else [],
            ports=self._ports(owner.record.state.pid, sandbox, rules, joined) if sandbox else [],
        )

    def _interfaces(self, sandbox: Sandbox) -> list[Interface]:
        networks = {network.id: network for network in self._endpoints.controller.networks()}
        return [
            Interface(
                network=end.network_name,
                driver=networks[end.network_id].driver,
                interface=end.interface,
                address=str(end.address),
                address6=str(end.address6 or ""),
                mac=end.mac,
                gateway=str(end.gateway or ""),
                host_interface=end.host_interface,
                bridge=networks[end.network_id].bridge,
            )
            for end in sandbox.endpoints
            if end.network_id in networks
        ]

    def _ports(
        self, pid: int, sandbox: Sandbox, rules: Mapping[PublishedPort, Rule | None], joined: Sequence[str]
    ) -> list[PortPath]:
        end = sandbox.published
        if end is None:
            return []
        pids = [pid for path in joined for pid in cgroup_tree().at(path).pids()]
        wanted = [(str(port.protocol), port.container_port) for port in sandbox.ports]
        listening = kernel.listeners(pid, pids, wanted)
        bridges = {network.id: network.bridge for network in self._endpoints.controller.networks()}
        found = []
        for port in sandbox.ports:
            rule = rules.get(port)
            address = end.address6 if port.host_ip.version == 6 and rule is not None else end.address
            found.append(
                PortPath(
                    protocol=str(port.protocol),
                    host_address=str(port.host_ip),
                    host_port=port.host_port,
                    by_host_agent=self._has_host_agent,
                    rule=rule.text if rule else "",
                    is_rule_there=rule is not None and rule.is_there,
                    by_relay=port in rules and rule is None,
                    bridge=bridges.get(end.network_id, ""),
                    host_interface=end.host_interface,
                    interface=end.interface,
                    address=str((address or end.address).ip),
                    container_port=port.container_port,
                    listeners=listening.get((str(port.protocol), port.container_port), []),
                )
            )
        return found


def _runs(live: Live) -> bool:
    return live.record.state.running and bool(live.record.state.pid)


def _own_layer(number: int, size_bytes: int, record: Container) -> LayerPart:
    words = "what the container itself has changed"
    return LayerPart(number, "", "upper", size_bytes, words, record.created_ns // 1_000_000_000)


def _mount_over(record: Container, path: str) -> str:
    """What is mounted at `path` or at the nearest folder above it, in words; "" for nothing but the layers."""
    places = {mount.destination.rstrip("/"): mount for mount in record.mounts}
    place = path
    while place not in ("", "/"):
        if (mount := places.get(place)) is not None:
            match mount.kind:
                case MountKind.VOLUME:
                    return f"volume {mount.volume} at {place}"
                case MountKind.BIND:
                    return f"{mount.source} of the engine's machine at {place}"
            return f"memory (tmpfs) at {place}"
        if place in _ENGINE_FILES:
            return f"{place}, which the engine writes at each start"
        if place in _KERNEL_PLACES:
            return f"{place}, which the engine mounts at each start"
        place = posixpath.dirname(place)
    return ""


def _processes(cgroup_path: str) -> list[Process]:
    return kernel.processes(cgroup_tree().at(cgroup_path).pids())


def _cpu_rate(seconds: Sequence[Point], run: int) -> float | None:
    """CPUs in use between the last two points of a run."""
    last = [point for point in seconds[-2:] if point.run == run]
    if len(last) < 2 or last[1].at_ns <= last[0].at_ns:
        return None
    return round((last[1].cpu_ns - last[0].cpu_ns) / (last[1].at_ns - last[0].at_ns), 3)


def _cpu_limit(host: Mapping[str, Any]) -> float | None:
    if host["NanoCpus"]:
        return float(host["NanoCpus"]) / 1e9
    if host["CpuQuota"] and host["CpuQuota"] > 0:
        return float(host["CpuQuota"]) / (host["CpuPeriod"] or _DEFAULT_PERIOD_US)
    return None


def _control(record: Container, cpu_rate: float | None, runs: bool) -> Control:
    """The cgroup's values; of a container that does not run, the limits that its next start sets. Raises OSError."""
    host, tree = record.host_config, cgroup_tree()
    cgroup = tree.at(record.cgroup_path)
    if runs:
        stats, pressure = cgroup.stats(), cgroup.pressure()
        # Last: the others return zeros where there is no cgroup. If this one still finds it, so did they.
        used = used_by(cgroup)
    if not runs or used is None:
        pids = host["PidsLimit"] or 0
        resources = [
            Resource("memory", "bytes", None, host["Memory"] or None, None),
            Resource("cpu", "CPUs", None, _cpu_limit(host), None),
            Resource("processes", "processes", None, pids if pids > 0 else None, None),
        ]
        return Control(record.cgroup_path, tree.version, resources, host["CpusetCpus"], None, [], 0, 0, 0, 0)
    cpu, memory, pids = stats["cpu"], stats["memory"], stats["pids"]
    return Control(
        path=record.cgroup_path,
        version=tree.version,
        resources=[
            Resource(
                "memory", "bytes", used.memory_bytes, used.memory_limit_bytes or None, memory["max_usage"] or None
            ),
            Resource("cpu", "CPUs", cpu_rate, _cpu_limit(host), None),
            Resource("processes", "processes", used.pids, pids["limit"], None),
        ],
        cpus=host["CpusetCpus"],
        throttling=Throttling(cpu["periods"], cpu["throttled_periods"], cpu["throttled_ns"]),
        pressure=[_pressure(name, text) for name, text in pressure.items()],
        oom_kills=stats["oom_kills"],
        memory_limit_hits=memory["failcnt"],
        read_bytes=used.read_bytes,
        written_bytes=used.written_bytes,
    )


def _pressure(resource: str, text: str) -> Pressure:
    stalls: dict[str, Stall] = {}
    for line in text.splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        stalls[kind] = Stall(
            float(values["avg10"]), float(values["avg60"]), float(values["avg300"]), int(values["total"])
        )
    return Pressure(resource, stalls["some"], stalls.get("full"))
