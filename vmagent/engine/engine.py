"""The engine as one object: constructs its parts and connects them, opens and closes them. Served by vmagent.api."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import cached_property, partial
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from vmagent.builder.builder import Builder
from vmagent.containers import logconfig
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.model import Status
from vmagent.durable import sweep
from vmagent.engine.background import Background
from vmagent.engine.bin import Bin
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.containers import Containers
from vmagent.engine.creating import Creator
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.events import EventBus
from vmagent.engine.execs import Execs
from vmagent.engine.files import Files
from vmagent.engine.health import HealthMonitors
from vmagent.engine.history import History
from vmagent.engine.hostfolders import HostFolders
from vmagent.engine.hostlisteners import HostListeners
from vmagent.engine.launching import Launcher, make_init_layer
from vmagent.engine.lifecycle import Lifecycle
from vmagent.engine.links import Links
from vmagent.engine.logs import Logs
from vmagent.engine.networks import Networks
from vmagent.engine.recovery import Recovery
from vmagent.engine.registry import Registry
from vmagent.engine.states import StateWriter
from vmagent.engine.stepping import StepRunner
from vmagent.engine.streams import Streams
from vmagent.engine.surroundings import Surroundings, Told
from vmagent.engine.system import System
from vmagent.engine.tidying import Tidying
from vmagent.engine.usage import UsageReader
from vmagent.engine.userns import UserNamespaces
from vmagent.engine.volumes import Volumes
from vmagent.engine.warming import warm
from vmagent.images.hosts import RegistryHosts
from vmagent.images.imagestore import ImageStore
from vmagent.images.store import Store
from vmagent.linux.subids import IdMaps
from vmagent.paths import DataRoot, ExecRoot
from vmagent.supervisor.client import SupervisorClient

if TYPE_CHECKING:
    from vmagent.engine.checking.check import Check
    from vmagent.engine.imagebin import ImageBin
    from vmagent.engine.restoring import Restorer
    from vmagent.engine.volumefiles import VolumeFiles
    from vmagent.engine.xray.xray import XRay

log = structlog.get_logger(__name__)

SHUTDOWN_LIMIT_S = 10.0


class Engine:
    """The whole engine. After `open`, its public attributes serve the Engine API."""

    def __init__(
        self,
        data_root: DataRoot,
        exec_root: ExecRoot,
        *,
        bip: IPv4Interface | None,
        host_ports: Path | None = None,
        host_gateway: IPv4Address | None = None,
        host_folders: Path | None = None,
        registry_hosts: RegistryHosts,
        log_default: JsonObject = logconfig.DEFAULT,
        remap: IdMaps | None = None,
    ) -> None:
        """Does not access the disk; `open` does.

        `log_default`: HostConfig.LogConfig for requests without one. `host_folders`: in a VM, where the host's shared
        folders are mounted. `remap`: the id maps of containers that get a user namespace; None: containers are in the
        host's user namespace.
        """
        self.is_open = False
        self._is_warm = False
        self._opening: asyncio.Task[None] | None = None
        self._data_root, self._exec_root = data_root, exec_root

        self.events = bus = EventBus()
        self._container_events = events = ContainerEvents(bus)
        self._supervisor = supervisor = SupervisorClient()
        self._background = background = Background()
        self._registry = registry = Registry(data_root)
        self._states = states = StateWriter(registry, background, supervisor)
        self._tidying = tidying = Tidying(data_root, background, events)
        self._users = users = UserNamespaces(registry, background, data_root, exec_root, remap)
        self.surroundings = surroundings = Surroundings(exec_root.surroundings)
        self._store = store = Store(data_root, exec_root, hosts=registry_hosts, on_event=partial(bus.publish, "image"))
        self.images = images = ImageStore(store, registry.image_users)
        self._endpoints = endpoints = Endpoints(
            registry, bus, background, data_root, exec_root, bip, host_ports, host_gateway
        )
        self.bin = bin = Bin(data_root, background, tidying, bus, store)
        self.volumes = volumes = Volumes(data_root, registry, bus, background, tidying, bin)
        self.links = links = Links(registry, background, endpoints)
        folders = HostFolders(background, host_folders)
        self._has_host_agent = host_ports is not None
        self._launcher = launcher = Launcher(
            data_root, exec_root, registry, background, supervisor, users, store, endpoints, volumes, links, folders
        )
        self.files = files = Files(
            registry, events, background, supervisor, users, launcher, folders, store, images, exec_root
        )
        self.execs = Execs(registry, events, background, supervisor, users, links.environment)
        health = HealthMonitors(events, background, self.execs, states)
        self.lifecycle = lifecycle = Lifecycle(
            registry, events, background, supervisor, states, tidying, launcher, endpoints, volumes, health, links,
            exec_root, bin,
        )  # fmt: skip
        self.creator = Creator(
            data_root, registry, events, background, tidying, users, store, endpoints, volumes, files, lifecycle, links,
            folders, log_default=log_default,
        )  # fmt: skip
        self.streams = Streams(registry, events, supervisor, Logs(registry, background))
        self.containers = Containers(
            registry, events, background, supervisor, store, endpoints, lifecycle, files, launcher, exec_root, links,
            bin,
        )  # fmt: skip
        self.usage = usage = UsageReader(registry, endpoints.controller, background)
        self.history = History(registry, bus, background, usage, exec_root)
        self._listeners = None if host_ports is None else HostListeners(registry, bus, background, host_ports)
        self.networks = Networks(registry, bus, background, endpoints, launcher)
        steps = StepRunner(background, supervisor, launcher, exec_root)
        self.builder = builder = Builder(
            data_root, exec_root, store, images, steps, proxies=lambda: surroundings.build_proxies
        )
        self.system = System(
            data_root, registry, background, users, store, images, files, volumes, builder, surroundings,
            log_driver=log_default["Type"],
        )  # fmt: skip
        self._recovery = Recovery(
            data_root, exec_root, registry, background, supervisor, tidying, store, lifecycle, self.execs, steps, bin
        )

    @property
    def data_root(self) -> DataRoot:
        return self._data_root

    def host_gateway(self) -> str:
        """The address that `--add-host NAME:host-gateway` means; "" without a default bridge."""
        return self._endpoints.gateway()

    @cached_property
    def xray(self) -> XRay:
        """Loaded when it is first used: most engines never need it."""
        from vmagent.engine.xray.xray import XRay

        return XRay(
            self._registry, self._background, self._users, self._store, self._endpoints, self._launcher, self.files,
            self.history, has_host_agent=self._has_host_agent,
        )  # fmt: skip

    @cached_property
    def image_bin(self) -> ImageBin:
        """Loaded when it is first used."""
        from vmagent.engine.imagebin import ImageBin

        return ImageBin(self.bin, self.images, self._store)

    @cached_property
    def restorer(self) -> Restorer:
        """Loaded when it is first used."""
        from vmagent.engine.restoring import Restorer

        return Restorer(
            self._registry, self._container_events, self._background, self.bin, self._store, self._endpoints,
            self.volumes, self.lifecycle,
        )  # fmt: skip

    @cached_property
    def volume_files(self) -> VolumeFiles:
        """Loaded when it is first used."""
        from vmagent.engine.volumefiles import VolumeFiles

        return VolumeFiles(self.volumes)

    @cached_property
    def check(self) -> Check:
        """Loaded when it is first used."""
        from vmagent.engine.checking.check import Check

        return Check(
            self._data_root, self._exec_root, self._registry, self._background, self._store, self.lifecycle,
            self._endpoints, self.builder.cache, self._supervisor,
        )  # fmt: skip

    def active_containers(self) -> int:
        """How many containers run, are paused, or wait for their restart."""
        active = (Status.RUNNING, Status.PAUSED, Status.RESTARTING)
        return sum(live.record.state.status in active for live in self._registry)

    # --- opening

    async def prepare(self) -> None:
        """Load ahead of `open` what the first start will need. For an engine that waits for its disk: a VM's template
        is saved after this, so no start from it does it again."""
        await self._background.on_disk(warm, self._data_root, self._exec_root)
        self._is_warm = True

    async def open(self) -> None:
        """Open the data root: load records, images and networks, take over running containers, apply restart policies.

        Idempotent; after a failure it may be called again. It continues when the caller is cancelled (its client
        disconnected). Raises OSError, EngineError, ValueError if the data root can't be used.
        """
        if self.is_open:
            return
        if self._opening is None or self._opening.done():
            self._opening = self._background.spawn(self._open(), "open")
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        async with AsyncExitStack() as undo:
            await self._background.on_disk(self._make_roots)
            await self._background.on_disk(self.surroundings.load)
            await self._users.open()
            undo.push_async_callback(self.images.close)
            await self.images.open()
            undo.push_async_callback(self.builder.close)
            await self.builder.open()
            await self.volumes.open()
            await self._supervisor.connect(self._exec_root.supervisor_socket, self._recovery.on_event)
            undo.callback(self._recovery.forget)
            alive = await self._recovery.load()
            await self.volumes.take_over()
            undo.callback(self.bin.close)
            await self.bin.open()
            undo.push_async_callback(self._endpoints.abandon)
            await self._endpoints.open(alive)
            await self.networks.open()
            await self.system.open()
            # Last: if this folder exists, a restarted engine opens the data root itself (`vmagent.serving`) instead of
            # waiting for the host's request.
            await self._background.on_disk(make_init_layer, self._exec_root.path / "init-layer")
            undo.pop_all()
        self._recovery.take_over_execs()
        self.is_open = True
        log.info("engine.opened", containers=len(self._registry), running=len(alive))
        self._background.spawn(self._after_open(), "after open")

    def _make_roots(self) -> None:
        for path, mode in (
            (self._data_root.path, 0o711),
            (self._data_root.containers, 0o710),
            (self._data_root.trash, 0o700),
            (self._exec_root.path, 0o711),
            (self._exec_root.containers, 0o711),
            (self._exec_root.rootfs, 0o711),
            (self._exec_root.surroundings, 0o700),
        ):
            path.mkdir(mode=mode, parents=True, exist_ok=True)
        sweep(self._data_root.path)

    async def _after_open(self) -> None:
        """The part of opening that may run after the first requests."""
        self._tidying.open_spares()
        if not self._is_warm:
            self._background.submit(warm, self._data_root, self._exec_root)
        await self._recovery.resume()
        await self.bin.after_open()
        self.history.open()
        if self._listeners is not None:
            self._listeners.open()
        await self._store.collect()
        await self._tidying.sweep_trash()
        await self._recovery.sweep()

    async def surround(self, told: Told) -> None:
        """From now on `told` counts for pulls, builds and all else that reaches other machines. Raises OSError."""
        await self._background.on_disk(self.surroundings.replace, told)

    # --- closing

    async def close(self, *, stop_containers: bool) -> None:
        """Stop serving. `stop_containers`: stop all containers first, as dockerd does; else they continue to run."""
        if self.is_open:
            self.is_open = False
            if stop_containers:
                await self.lifecycle.stop_all(SHUTDOWN_LIMIT_S)
                await self._endpoints.close()
                await self.builder.close()
                await self.images.close()
            else:
                await self._endpoints.leave()
        await self.files.close()
        await self._states.settle()
        await self._background.end_tasks()
        await self._supervisor.close()
        self._states.flush()
        self._tidying.finish()
        self._background.close()
        self._users.close()
