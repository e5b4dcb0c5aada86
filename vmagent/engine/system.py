"""`engine.system`: information about the engine and its machine: version, info, disk usage."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vmagent.builder.builder import Builder
from vmagent.containers import logconfig
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.model import Status, now_ns, rfc3339
from vmagent.durable import publish
from vmagent.engine.background import Background
from vmagent.engine.files import Files
from vmagent.engine.registry import Registry
from vmagent.engine.surroundings import Surroundings
from vmagent.engine.userns import UserNamespaces
from vmagent.engine.versions import API_VERSION, DOCKER_VERSION, ENGINE_VERSION, MIN_API_VERSION
from vmagent.engine.volumes import Volumes
from vmagent.errors import BadRequest
from vmagent.images.imagestore import ImageStore
from vmagent.images.store import Store
from vmagent.paths import DataRoot
from vmagent.runtime.cgroups import tree as cgroup_tree

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
COMMIT = {"ID": "", "Expected": ""}


@dataclass(frozen=True, slots=True)
class _Machine:
    """Facts that are read from disk once: the engine's id, the data root's file system, os-release(5)."""

    engine_id: str
    filesystem: str
    release: Mapping[str, str]

    @classmethod
    def read(cls, data_root: DataRoot) -> _Machine:
        """Raises OSError."""
        return cls(_engine_id(data_root.engine_id), _filesystem(data_root.path), _os_release())


# Entries of SystemInfo that are the same for every engine.
_ALWAYS: JsonObject = {
    "Driver": "overlay2",
    "Plugins": {
        "Volume": ["local"],
        "Network": ["bridge", "host", "null"],
        "Authorization": None,
        "Log": [*logconfig.DRIVERS],
    },
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsPeriod": True,
    "CpuCfsQuota": True,
    "CPUShares": True,
    "CPUSet": True,
    "PidsLimit": True,
    "IPv4Forwarding": True,
    "BridgeNfIptables": False,
    "BridgeNfIp6tables": False,
    "Debug": False,
    "NGoroutines": 1,
    "CgroupDriver": "cgroupfs",
    "NEventsListener": 0,
    "OSType": "linux",
    "IndexServerAddress": "https://index.docker.io/v1/",
    "GenericResources": None,
    "Labels": [],
    "ExperimentalBuild": False,
    "Runtimes": {"runc": {"path": "cove-runtime"}},
    "DefaultRuntime": "runc",
    "Swarm": {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    },
    "LiveRestoreEnabled": True,
    "Isolation": "",
    "InitBinary": "docker-init",
    "ContainerdCommit": COMMIT,
    "RuncCommit": COMMIT,
    "InitCommit": COMMIT,
    "Warnings": None,
}


class System:
    """The verbs about the engine as a whole."""

    def __init__(
        self,
        data_root: DataRoot,
        registry: Registry,
        background: Background,
        users: UserNamespaces,
        store: Store,
        images: ImageStore,
        files: Files,
        volumes: Volumes,
        builder: Builder,
        surroundings: Surroundings,
        *,
        log_driver: str,
    ) -> None:
        """`log_driver`: the driver of containers whose request names none."""
        self._data_root, self._registry, self._background, self._users = data_root, registry, background, users
        self._store, self._images, self._files, self._volumes = store, images, files, volumes
        self._builder, self._surroundings = builder, surroundings
        self._log_driver = log_driver
        self._machine: _Machine

    async def open(self) -> None:
        """Read constant facts: the engine's id (made for a new data root), the machine. Raises OSError."""
        self._machine = await self._background.on_disk(_Machine.read, self._data_root)

    async def version(self) -> JsonObject:
        """SystemVersion."""
        facts = {
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "GitCommit": "",
            "GoVersion": "",
            "Os": "linux",
            "Arch": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "KernelVersion": platform.release(),
            "BuildTime": "",
        }
        details = {**facts, "Experimental": "false"}
        return {
            "Platform": {"Name": f"Cove {ENGINE_VERSION}"},
            "Components": [{"Name": "Engine", "Version": DOCKER_VERSION, "Details": details}],
            "Version": DOCKER_VERSION,
            **facts,
        }

    async def info(self) -> JsonObject:
        """SystemInfo."""
        states = [live.record.state for live in self._registry]
        paused = sum(state.status is Status.PAUSED for state in states)
        running = sum(state.running for state in states) - paused
        version = cgroup_tree().version
        release = self._machine.release
        return {
            **_ALWAYS,
            **self._surroundings.in_info(),
            "ID": self._machine.engine_id,
            "RegistryConfig": self._store.hosts.in_info(),
            "Containers": len(states),
            "ContainersRunning": running,
            "ContainersPaused": paused,
            "ContainersStopped": len(states) - running - paused,
            "Images": len(await self._images.list()),
            "DriverStatus": [
                ["Backing Filesystem", self._machine.filesystem],
                ["Layers", str(self._store.kind)],
            ],
            "OomKillDisable": version == 1,
            "NFd": len(os.listdir("/proc/self/fd")),
            "SystemTime": rfc3339(now_ns()),
            "LoggingDriver": self._log_driver,
            "CgroupVersion": str(version),
            "KernelVersion": platform.release(),
            "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
            "OSVersion": release.get("VERSION_ID", ""),
            "Architecture": platform.machine(),
            "NCPU": os.cpu_count() or 1,
            "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "DockerRootDir": str(self._data_root.path),
            "Name": platform.node(),
            "ServerVersion": DOCKER_VERSION,
            "SecurityOptions": [
                "name=seccomp,profile=builtin",
                *(["name=userns"] if self._users.maps is not None else []),
            ],
        }

    async def df(self) -> JsonObject:
        """SystemDataUsage, in the form of API versions below 1.52."""
        containers = []
        records = [live.record for live in self._registry]
        for record, (own, total) in zip(records, await self._files.sizes_of(records), strict=True):
            containers.append(
                {
                    "Id": record.id,
                    "Names": [f"/{record.name}"],
                    "Image": record.image_ref,
                    "ImageID": record.image_id,
                    "Created": record.created_ns // 1_000_000_000,
                    "SizeRw": own,
                    "SizeRootFs": total,
                    "State": str(record.state.status),
                    "Labels": record.labels,
                    "Ports": [],
                    "Mounts": [],
                    "Command": " ".join(record.argv),
                    "Status": "",
                    "HostConfig": {"NetworkMode": record.network_mode},
                    "NetworkSettings": {"Networks": {}},
                }
            )
        return {
            "LayersSize": self._store.disk_usage(),
            "Images": await self._images.list(),
            "Containers": containers,
            "Volumes": await self._volumes.usage(),
            "BuildCache": self._builder.usage(),
        }

    async def registries(self) -> JsonObject:
        """How registries are reached, for /cove/v1/registries."""
        hosts = self._store.hosts
        return {
            "insecure": list(hosts.insecure),
            "mirrors": list(hosts.mirrors),
            "certificates": await asyncio.to_thread(hosts.certified),
        }

    async def auth(self, credentials: JsonObject) -> JsonObject:
        """SystemAuth: the registry checks the credentials. Raises Unauthorized, BadRequest, EngineError."""
        given = {str(key).lower(): value for key, value in credentials.items()}
        for key in ("username", "password", "auth", "serveraddress", "identitytoken", "registrytoken"):
            if not isinstance(given.get(key) or "", str):
                raise BadRequest(f"invalid JSON: {key} must be a string")
        return {"Status": "Login Succeeded", "IdentityToken": await self._images.log_in(given)}


def _engine_id(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        made = secrets.token_hex(16)
        publish(path, made.encode())
        return made


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _filesystem(path: Path) -> str:
    """The type of the file system of `path`: that of the longest matching mount point in proc_pid_mountinfo(5)."""
    best, found = "", "unknown"
    target = f"{path.resolve()}/"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].rstrip("/") + "/"
        if target.startswith(point) and len(point) >= len(best):
            best, found = point, right.split()[0]
    return found
