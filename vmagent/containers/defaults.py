"""The Engine API's Config and HostConfig with all defaults filled in, as docker shows them in inspect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from sys import intern
from typing import Any, ClassVar

from vmagent.containers.jsonobject import JsonObject

SHM_SIZE = 64 << 20  # default size of /dev/shm in bytes
MASKED_PATHS = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CONFIG: JsonObject = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
# Shown only where they are set.
CONFIG_OPTIONAL = (
    "ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal", "StopTimeout", "Shell",
)  # fmt: skip

HOST_CONFIG: JsonObject = {
    "Binds": None,
    "ContainerIDFile": "",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "NetworkMode": "bridge",
    "PortBindings": {},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "VolumeDriver": "",
    "VolumesFrom": None,
    "ConsoleSize": [0, 0],
    "CapAdd": None,
    "CapDrop": None,
    "CgroupnsMode": "private",
    "Dns": [],
    "DnsOptions": [],
    "DnsSearch": [],
    "ExtraHosts": None,
    "GroupAdd": None,
    "IpcMode": "private",
    "Cgroup": "",
    "Links": None,
    "OomScoreAdj": 0,
    "PidMode": "",
    "Privileged": False,
    "PublishAllPorts": False,
    "ReadonlyRootfs": False,
    "SecurityOpt": None,
    "UTSMode": "",
    "UsernsMode": "",
    "ShmSize": SHM_SIZE,
    "Runtime": "runc",
    "Isolation": "",
    "CpuShares": 0,
    "Memory": 0,
    "NanoCpus": 0,
    "CgroupParent": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteIOps": [],
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "Devices": [],
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": None,
    "OomKillDisable": False,
    "PidsLimit": None,
    "Ulimits": [],
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
    "MaskedPaths": MASKED_PATHS,
    "ReadonlyPaths": READONLY_PATHS,
}
# Shown only where they are set.
HOST_CONFIG_OPTIONAL = (
    "Mounts",
    "Tmpfs",
    "Sysctls",
    "Init",
    "StorageOpt",
    "Annotations",
    "KernelMemory",
    "KernelMemoryTCP",
)


def filled(defaults: JsonObject, optional: tuple[str, ...], given: JsonObject) -> JsonObject:
    """A copy of `defaults` with the values of `given`; null counts as not given. Unknown fields are dropped.

    All results share the lists and objects of `defaults`, because a deep copy took a tenth of a create's time and 2 kB
    per idle container. So a caller must replace such a value and not modify it.
    """
    result = dict(defaults)
    for key in (*defaults, *optional):
        if (value := given.get(key)) is not None:
            result[key] = value
    return result


_rows: dict[tuple[str, ...], tuple[str, ...]] = {}  # interned tuples of field names


class _Filled(Mapping[str, Any]):
    """An immutable object with all defaults filled in, which stores only the values that differ from the defaults.

    A dict with HostConfig's 61 fields takes 1.6 kB; this form takes 150 bytes for an ordinary container. To change a
    value, make a new object from `whole()`.
    """

    __slots__ = ("_names", "_values")
    _defaults: ClassVar[JsonObject]

    def __init__(self, whole: Mapping[str, Any]) -> None:
        """`whole`: all fields of the defaults, possibly others. Its lists and objects are shared, not copied."""
        defaults = self._defaults
        own = [
            (name, value)
            for name, value in whole.items()
            if name not in defaults or (value is not defaults[name] and value != defaults[name])
        ]
        names = tuple(intern(name) for name, _ in own)
        self._names = _rows.setdefault(names, names)
        self._values = tuple(intern(value) if type(value) is str else value for _, value in own)

    def whole(self) -> JsonObject:
        """All fields as a new dict."""
        return {**self._defaults, **dict(zip(self._names, self._values, strict=True))}

    def __getitem__(self, name: str) -> Any:
        names = self._names
        return self._values[names.index(name)] if name in names else self._defaults[name]

    def get(self, name: str, default: Any = None) -> Any:
        names = self._names
        return self._values[names.index(name)] if name in names else self._defaults.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())


class FilledConfig(_Filled):
    """A Config."""

    __slots__ = ()
    _defaults = CONFIG


class FilledHostConfig(_Filled):
    """A HostConfig."""

    __slots__ = ()
    _defaults = HOST_CONFIG


def plain(filled: Mapping[str, Any]) -> JsonObject:
    """`filled` as a dict, for the JSON encoder."""
    return filled.whole() if isinstance(filled, _Filled) else dict(filled)
