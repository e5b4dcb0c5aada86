"""One start of a container: from its record to a running process. A failed start undoes everything that it made."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from vmagent.containers import hostfiles, logconfig, resources
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Live
from vmagent.containers.model import Container, MountKind, MountPoint
from vmagent.containers.spec import StartInputs, build_spec
from vmagent.containers.subpaths import attach, detach_each
from vmagent.engine.background import Background
from vmagent.engine.endpoints import Endpoints, needs_names
from vmagent.engine.hostfolders import HostFolders
from vmagent.engine.links import Links
from vmagent.engine.registry import Registry
from vmagent.engine.userns import Prepared, UserNamespaces
from vmagent.engine.volumes import Volumes
from vmagent.errors import BadRequest, Conflict, EngineError
from vmagent.images import hello
from vmagent.images.store import Store
from vmagent.linux import mounts
from vmagent.native import binary
from vmagent.networks.model import Endpoint
from vmagent.networks.names import HOST_NAMES
from vmagent.paths import DataRoot, ExecRoot
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.plan import compile_plan
from vmagent.runtime.plantypes import Overlay, Plan
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.messages import Spawned, SpawnError, SpawnRequest

log = structlog.get_logger(__name__)

# Docker's chain of prefixes before the runtime's message; clients match the end of the whole message.
PREFIX = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: "
)
MOUNT_HINT = (
    ": Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)
EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE, EXIT_FAILED = 127, 126, 128


class StartFailed(EngineError):
    """A failed start for which docker replies 500."""


def start_error(error: Exception) -> tuple[EngineError, int]:
    """(the error for the client, the container's exit code) for a failed start."""
    if isinstance(error, SpawnError | LaunchError):
        message = str(error)
        match error.kind:
            case "not-found":
                return BadRequest(PREFIX + message), EXIT_NOT_FOUND
            case "permission":
                return BadRequest(PREFIX + message), EXIT_NOT_EXECUTABLE
            case "user":
                return BadRequest(message), EXIT_NOT_EXECUTABLE
            case "mount" if "not a directory" in message.lower():
                return BadRequest(PREFIX + message + MOUNT_HINT), EXIT_NOT_FOUND
        return StartFailed(PREFIX + message), EXIT_FAILED
    if isinstance(error, EngineError):
        return error, EXIT_FAILED
    if isinstance(error, OSError):
        return StartFailed(f"{error.filename or 'start'}: {error.strerror}"), EXIT_FAILED
    return StartFailed(str(error)), EXIT_FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a start finds and leaves its files."""

    folder: Path  # has upper and work, and gets the log files
    host_files: Path
    log_limits: tuple[int, int] | None
    is_step: bool = False  # of a build: the sources of bind mounts are the engine's, so a user namespace id-maps them


class Launcher:
    """Starts containers, and steps of builds, which have a record that is in no registry and on no disk."""

    def __init__(
        self,
        data_root: DataRoot,
        exec_root: ExecRoot,
        registry: Registry,
        background: Background,
        supervisor: SupervisorClient,
        users: UserNamespaces,
        images: Store,
        endpoints: Endpoints,
        volumes: Volumes,
        links: Links,
        host_folders: HostFolders,
    ) -> None:
        self._host_folders = host_folders
        self._data_root, self._exec_root, self._registry = data_root, exec_root, registry
        self._background, self._supervisor = background, supervisor
        self._init_layer, self._rootfs = str(exec_root.path / "init-layer"), exec_root.rootfs
        self._users, self._images, self._endpoints, self._volumes = users, images, endpoints, volumes
        self._links = links

    async def launch(self, live: Live) -> Spawned:
        """Start the process of run `state.run`; the caller holds the container's lock.

        Raises EngineError, SpawnError, LaunchError, OSError.
        """
        record = live.record
        began = time.perf_counter()
        for mount in record.mounts:
            if mount.kind is MountKind.VOLUME:
                await self._volumes.settled(mount.volume)
        place = Place(
            folder=self._registry.folder(record.id),
            # On the data root, as under dockerd: the container's root may fill the file system by writing them.
            host_files=self._data_root.host_files(record.id),
            log_limits=logconfig.limits(record.host_config["LogConfig"]),
        )
        async with AsyncExitStack() as use:
            find_lowers = partial(use.enter_async_context, self.lowers(record))
            spawned, planned = await self._launch(record, place, find_lowers)
        done = time.perf_counter()
        live.note_start(
            prepare_ms=(planned - began) * 1000,
            mount_ms=spawned.timings.get("mount_ms", 0.0),
            setup_ms=spawned.timings.get("setup_ms", 0.0),
            start_ms=(done - began) * 1000,
        )
        return spawned

    async def launch_step(self, record: Container, place: Place, lowers: Sequence[str]) -> Spawned:
        """Start the process of a build's step on an overlay of `lowers`, topmost first. `end_step` undoes it.

        Raises as `launch`.
        """

        async def find_lowers() -> list[str]:
            # The init layer at the bottom: it must not hide attributes that the step's layers give to /etc and others.
            return [*lowers, self._init_layer]

        return (await self._launch(record, place, find_lowers))[0]

    async def end_step(self, record: Container) -> None:
        """Release what `launch_step` has made for a process that has ended. Raises OSError."""
        if (released := self._endpoints.release(record)) is not None:
            await released
        await self.unmount(record)

    async def _launch(
        self, record: Container, place: Place, find_lowers: Callable[[], Awaitable[list[str]]]
    ) -> tuple[Spawned, float]:
        """(what was spawned, the time.perf_counter when it was planned). `find_lowers` may mount layers."""
        namespace_fd = None
        subpaths: dict[str, Path] = {}  # by destination
        private = await self._users.prepare(record) if self._users.is_private(record.host_config) else None
        try:
            given_fd = private.network_fd if private is not None else None
            attaching = self._endpoints.attach(record, given_fd, self._host_files_writer(record, place.host_files))
        except BaseException:
            if private is not None:
                private.close()
            raise
        try:
            try:  # while the network thread works
                sources = await self._prepare_sources(record, place, private, subpaths)
                lowers = await find_lowers()
                init = None
                if record.host_config.get("Init"):
                    init = str(await self._background.on_disk(binary, "init", platform.machine()))
                devices = None
                if record.host_config["Devices"]:
                    devices = await self._background.on_disk(resources.devices, record.host_config)
                plan = self._plan(record, place, lowers, init, private, sources, devices)
            finally:
                namespace_fd = await attaching
            planned = time.perf_counter()
            self._endpoints.prepare()
            spawned = await self._supervisor.spawn(
                SpawnRequest(
                    id=record.id,
                    run=record.state.run,
                    plan=plan,
                    log_dir=str(place.folder),
                    log_limits=place.log_limits,
                    open_stdin=record.open_stdin,
                    tty=record.tty,
                    tty_size=_size(record.host_config["ConsoleSize"]) if record.tty else None,
                    netns_fd=namespace_fd,
                )
            )
        except BaseException:
            if (released := self._endpoints.release(record)) is not None:
                await released
            await self.unmount(record)
            raise
        finally:
            if namespace_fd is not None:
                os.close(namespace_fd)
            if private is not None:
                private.close()
            if subpaths:
                await self._background.on_disk(detach_each, list(subpaths.values()))
        return spawned, planned

    async def _prepare_sources(
        self, record: Container, place: Place, private: Prepared | None, subpaths: dict[str, Path]
    ) -> dict[str, str]:
        """Prepare the sources of mounts: look up volumes' folders, make missing bind sources and the shared /dev/shm.

        Returns, by destination, what is bound in place of the mount's source. Adds to `subpaths`, by destination, what
        the caller has to detach. Raises NotFound, EngineError, OSError.
        """
        for mount in record.mounts:
            if mount.kind is MountKind.VOLUME:
                mount.source = str(await self._volumes.mount(mount, record.id))
                if mount.subpath:
                    folder = self._exec_root.subpaths
                    attached = await self._background.on_disk(attach, mount.source, mount.subpath, folder)
                    subpaths[mount.destination] = attached
        root = private.user.maps.root if private else None
        sources = {destination: str(attached) for destination, attached in subpaths.items()}
        if not place.is_step:  # the engine has made those of a step
            binds = [mount for mount in record.mounts if mount.kind is MountKind.BIND]
            sources |= await self._host_folders.prepare(binds, root)
        if record.host_config["IpcMode"] == "shareable":
            path = self._exec_root.container(record.id) / "shm"
            await self._background.on_disk(_mount_shm, path, record.host_config["ShmSize"], root or (0, 0))
        return sources

    def _plan(
        self,
        record: Container,
        place: Place,
        lowers: list[str],
        init: str | None,
        private: Prepared | None,
        sources: Mapping[str, str],
        devices: Sequence[JsonObject] | None,
    ) -> Plan:
        own_network = record.network_mode != "host"
        cgroup = record.cgroup_path
        inputs = StartInputs(
            rootfs=self._rootfs,
            host_files=place.host_files,
            is_step=place.is_step,
            cgroup_path=cgroup,
            own_network=own_network,
            pid_of=self._joined(record),
            shm=self._shm(record),
            user=private.user if private else None,
            devices=devices,
            linked_env=self._links.environment(record),
            sources=sources,
            idmapped=frozenset(
                mount.destination
                for mount in record.mounts
                if private and (self.owns(mount) or (place.is_step and mount.kind is MountKind.BIND))
            ),
        )
        return compile_plan(
            build_spec(record, inputs),
            container_id=record.id,
            cgroup_path=cgroup,
            # What a step has written is flushed once it is a layer.
            overlay=Overlay(tuple(lowers), f"{place.folder}/upper", f"{place.folder}/work", is_volatile=place.is_step),
            user=record.config["User"] or None,
            group_add=record.host_config["GroupAdd"] or (),
            netns_fd=own_network,
            # Any image may have this label, but only Cove's own program gets the host's namespace numbers.
            tell_outside=record.labels.get(hello.OUTSIDE_LABEL) == "1"
            and hello.is_own(self._images.image(record.image_id).layers),
            init=init,
            joined_maps=private.user.maps if private else None,
        )

    def owns(self, mount: MountPoint) -> bool:
        """Whether the mount's source is in the data root, so that it is id-mapped in a container's user namespace."""
        return mount.kind is MountKind.VOLUME and self._volumes.is_own(mount.volume)

    def is_there(self, mount: MountPoint) -> bool:
        """Whether the mount's source shows its content: a volume with a file system of its own does while used."""
        return mount.kind is not MountKind.VOLUME or self._volumes.is_there(mount.volume)

    @asynccontextmanager
    async def lowers(self, record: Container) -> AsyncIterator[list[str]]:
        """`lower_paths`, with the image's layers mounted and none of them replaced until the exit.

        Raises OSError, NotFound.
        """
        async with self._images.lowers(self._images.image(record.image_id)) as layers:
            yield self._below_init_layer(layers)

    def lower_paths(self, record: Container) -> list[str]:
        """The overlay's lower folders, top first: the init layer with the mount points, then the image's layers.

        Raises NotFound.
        """
        return self._below_init_layer(self._images.lower_paths(self._images.image(record.image_id)))

    def _below_init_layer(self, layers: list[str]) -> list[str]:
        return [self._init_layer, *layers]

    def _joined(self, record: Container) -> Mapping[str, int]:
        """Namespace → pid of the other container whose namespace this one joins. Raises NotFound, Conflict."""
        found = {}
        for name, mode in (("pid", record.host_config["PidMode"]), ("ipc", record.host_config["IpcMode"])):
            if mode.startswith("container:"):
                other = self._registry.find(mode.partition(":")[2]).record
                if not other.state.running:
                    raise Conflict(
                        f"cannot join {name.upper()} namespace of a non running container: container {other.name} is "
                        f"{other.state.status}"
                    )
                if name == "ipc" and other.host_config["IpcMode"] in ("private", "none"):
                    raise Conflict(
                        f"can't join IPC of container {other.id}: non-shareable IPC "
                        "(hint: use IpcMode:shareable for the donor container)"
                    )
                found[name] = other.state.pid
        return found

    def _shm(self, record: Container) -> Path | None:
        """The folder to bind on /dev/shm if it is shared with other containers; else None."""
        mode = record.host_config["IpcMode"]
        if mode == "shareable":
            return self._exec_root.container(record.id) / "shm"
        if mode.startswith("container:"):
            other = self._registry.find(mode.partition(":")[2]).record
            return self._exec_root.container(other.id) / "shm"
        return None

    async def unmount(self, record: Container) -> None:
        """Undo what was mounted on the host for a run: volumes' file systems, and the tmpfs of IpcMode shareable.

        Containers that share them keep their mounts. Raises OSError.
        """
        for mount in record.mounts:
            if mount.kind is MountKind.VOLUME:
                await self._volumes.unmount(mount, record.id)
        if record.host_config["IpcMode"] == "shareable":
            await self._background.on_disk(_unmount, self._exec_root.container(record.id) / "shm")

    def _host_files_writer(self, record: Container, folder: Path) -> Callable[[Sequence[Endpoint]], None]:
        """A function that writes /etc/hosts, hostname and resolv.conf from the container's endpoints, in any thread.

        Data of other containers is read by this call, on the loop. Raises NotFound or Conflict for a missing link or
        shared network. The returned function raises OSError, and BadRequest for an invalid --add-host.
        """
        if record.network_mode.startswith("container:"):
            other = self._data_root.host_files(self._registry.find(record.network_mode.partition(":")[2]).record.id)
            return lambda _: hostfiles.link_all(other, folder)
        hostname = record.config["Hostname"] or platform.node()
        links = self._links.entries(record)
        fixed, bridge_gateway = self._endpoints.host_gateway, self._endpoints.gateway()

        def write(endpoints: Sequence[Endpoint]) -> None:
            own = next((str(endpoint.gateway) for endpoint in endpoints if endpoint.gateway), bridge_gateway)
            has_names = needs_names(endpoints)
            hosts = _hosts_text(record, endpoints, links, str(fixed or own), has_names=has_names)
            resolv = _resolv_settings(record, has_names=has_names)
            hostfiles.write_all(folder, hosts, hostname + "\n", resolv)

        return write

    async def refresh_resolv(self, record: Container) -> None:
        """Rewrite a running container's resolv.conf after it has joined or left a user-defined network.

        Raises OSError.
        """
        folder = self._data_root.host_files(record.id)
        resolv = _resolv_settings(record, has_names=self._endpoints.has_name_server(record.id))
        await self._background.on_disk(hostfiles.write_resolv, folder, resolv)


def _resolv_settings(record: Container, *, has_names: bool) -> hostfiles.ResolvSettings:
    """The settings for resolv.conf; `has_names`: the container uses the engine's name server."""
    host = record.host_config
    return hostfiles.ResolvSettings(
        servers=["127.0.0.11"] if has_names else host["Dns"] or (),
        search=host["DnsSearch"] or (),
        options=(host["DnsOptions"] or ["ndots:0"]) if has_names else host["DnsOptions"] or (),
        keep_loopback=record.network_mode == "host",
    )


def _hosts_text(
    record: Container,
    endpoints: Sequence[Endpoint],
    links: Sequence[hostfiles.HostEntry],
    gateway: str,
    *,
    has_names: bool,
) -> str:
    """The text of /etc/hosts: the container's own addresses, --add-host and links. The host's names are in it where no
    name server of ours resolves them. Raises BadRequest."""
    hostname, domain = record.config["Hostname"], record.config["Domainname"]
    full = f"{hostname}.{domain}" if domain else hostname
    names = (full, full.partition(".")[0]) if "." in full else (full,)
    addresses = [one.ip for endpoint in endpoints for one in (endpoint.address, endpoint.address6) if one is not None]
    own = [hostfiles.HostEntry(str(address), names) for address in addresses]
    others = [*hostfiles.extra_hosts(record.host_config["ExtraHosts"], gateway), *links]
    taken = {name for entry in others for name in entry.names}
    if gateway and not has_names and record.network_mode != "none":
        others += [hostfiles.HostEntry(gateway, (name,)) for name in HOST_NAMES if name not in taken]
    return hostfiles.hosts_text(own, others)


def _mount_shm(path: Path, size: int, owner: tuple[int, int]) -> None:
    """Mount a tmpfs at `path` that several containers can bind on /dev/shm. Raises OSError."""
    path.parent.mkdir(mode=0o711, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    if not os.path.ismount(path):  # it exists if the last run's clean-up failed
        flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
        mounts.mount("shm", str(path), "tmpfs", flags, f"mode=1777,size={size},uid={owner[0]},gid={owner[1]}")


def _unmount(path: Path) -> None:
    if os.path.ismount(path):
        mounts.umount(str(path), mounts.MNT_DETACH)


def _size(console: list[int]) -> tuple[int, int] | None:
    return (console[0], console[1]) if all(console) else None


def make_init_layer(folder: Path) -> None:
    """Make the lower folder that is above every image: it has the mount points that each container needs.

    Without it, they would be made in the container's writable layer.
    """
    for path in ("dev", "proc", "sys", "etc"):
        (folder / path).mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in (".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf"):
        (folder / name).touch(mode=0o755 if name == ".dockerenv" else 0o644)
