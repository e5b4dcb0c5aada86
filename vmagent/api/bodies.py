"""JSON bodies of requests: the types of their fields, and the names in any case.

Go decodes into typed structs: a wrong type is a 400, `null` means absent, unknown fields are ignored, and field names
match without regard to case (docker-py sends `detachKeys`). Here the same is done once, at the edge, so that the engine
sees only fields of the right type under the specification's spelling. Engine API, definitions ContainerConfig,
HostConfig, EndpointSettings and others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from vmagent.api.gojson import KINDS
from vmagent.errors import BadRequest

Json: TypeAlias = dict[str, Any]
Kind: TypeAlias = Callable[[Any, str], Any]  # (value, where it stands) -> the value to use; raises BadRequest


def _wrong(value: Any, where: str, wanted: str) -> BadRequest:
    """In Go's words; `wanted`: Go's type."""
    kind = KINDS.get(type(value), "null")
    if kind == "number" and wanted == "int64":  # it has a fraction, or is too large
        kind = f"number {value}"
    return BadRequest(f"invalid JSON: json: cannot unmarshal {kind} into Go struct field {where} of type {wanted}")


def string(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(value, where, "string")
    return value


def integer(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
        raise _wrong(value, where, "int64")
    return value


def boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, where, "bool")
    return value


def anything(value: Any, _: str) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list whose items are all of one kind."""

    item: Kind

    def __call__(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(value, where, "[]string")
        return [self.item(each, f"{where}[{at}]") for at, each in enumerate(value)]


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with any keys, whose values are all of one kind."""

    item: Kind

    def __call__(self, value: Any, where: str) -> Json:
        if not isinstance(value, dict):
            raise _wrong(value, where, "map[string]string")
        return {key: self.item(each, f"{where}[{key!r}]") for key, each in value.items()}


class Object:
    """An object of known fields, spelled as docker does; `null` ones are dropped and unknown ones ignored."""

    __slots__ = ("_names", "fields")

    def __init__(self, fields: Mapping[str, Kind]) -> None:
        self.fields = fields
        self._names = {name.lower(): name for name in fields}

    def __call__(self, value: Any, where: str) -> Json:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _wrong(value, where, "struct")
        result: Json = {}
        for key, each in value.items():
            name = self._names.get(key.lower())
            if name is not None and each is not None:
                result[name] = self.fields[name](each, f"{where}.{name}" if where else name)
        return result


def _fields(kind: Kind, names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), kind)


_strings = ListOf(string)
_string_map = MapOf(string)
_empty_objects = MapOf(anything)  # sets, spelled as maps to {}


def words(value: Any, where: str) -> list[str]:
    """Cmd and Entrypoint: also one string (Go's strslice)."""
    return [value] if isinstance(value, str) else _strings(value, where)


def ports(value: Any, where: str) -> list[Json]:
    """One port's bindings; null means no binding."""
    return [] if value is None else ListOf(Object(_fields(string, "HostIp HostPort")))(value, where)


_HEALTHCHECK = Object({"Test": _strings} | _fields(integer, "Interval Timeout StartPeriod StartInterval Retries"))

_CONFIG: dict[str, Kind] = {
    **_fields(string, "Domainname Hostname Image MacAddress StopSignal User WorkingDir"),
    **_fields(boolean, "ArgsEscaped AttachStderr AttachStdin AttachStdout NetworkDisabled OpenStdin StdinOnce Tty"),
    **_fields(_strings, "Env OnBuild Shell"),
    **_fields(words, "Cmd Entrypoint"),
    **_fields(_empty_objects, "ExposedPorts Volumes"),
    "Labels": _string_map,
    "StopTimeout": integer,
    "Healthcheck": _HEALTHCHECK,
}

_DRIVER_CONFIG = Object({"Name": string, "Options": _string_map})
_MOUNT = Object(
    {
        **_fields(string, "Type Source Target Consistency"),
        "ReadOnly": boolean,
        "BindOptions": Object(
            {
                "Propagation": string,
                **_fields(boolean, "NonRecursive CreateMountpoint ReadOnlyNonRecursive ReadOnlyForceRecursive"),
            }
        ),
        "VolumeOptions": Object(
            {"NoCopy": boolean, "Labels": _string_map, "DriverConfig": _DRIVER_CONFIG, "Subpath": string}
        ),
        "TmpfsOptions": Object({"SizeBytes": integer, "Mode": integer, "Options": ListOf(_strings)}),
        "ImageOptions": Object({"Subpath": string}),
    }
)
_RATES = ListOf(Object({"Path": string, "Rate": integer}))

_RESOURCES: dict[str, Kind] = {
    **_fields(
        integer,
        "BlkioWeight CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares "
        "IOMaximumBandwidth IOMaximumIOps KernelMemory KernelMemoryTCP Memory MemoryReservation MemorySwap "
        "MemorySwappiness NanoCpus PidsLimit",
    ),
    **_fields(string, "CgroupParent CpusetCpus CpusetMems"),
    **_fields(_RATES, "BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps"),
    "BlkioWeightDevice": ListOf(Object({"Path": string, "Weight": integer})),
    "DeviceCgroupRules": _strings,
    "DeviceRequests": ListOf(
        Object(
            {
                "Driver": string,
                "Count": integer,
                "DeviceIDs": _strings,
                "Capabilities": ListOf(_strings),
                "Options": _string_map,
            }
        )
    ),
    "Devices": ListOf(Object(_fields(string, "PathOnHost PathInContainer CgroupPermissions"))),
    "OomKillDisable": boolean,
    "Init": boolean,
    "Ulimits": ListOf(Object({"Name": string, "Soft": integer, "Hard": integer})),
}
_RESTART_POLICY = Object({"Name": string, "MaximumRetryCount": integer})

_HOST: dict[str, Kind] = {
    **_RESOURCES,
    **_fields(
        string,
        "Cgroup CgroupnsMode ContainerIDFile IpcMode Isolation NetworkMode PidMode Runtime UTSMode UsernsMode "
        "VolumeDriver",
    ),
    **_fields(boolean, "AutoRemove Privileged PublishAllPorts ReadonlyRootfs"),
    **_fields(integer, "OomScoreAdj ShmSize"),
    **_fields(
        _strings,
        "Binds CapAdd CapDrop Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links MaskedPaths ReadonlyPaths "
        "SecurityOpt VolumesFrom",
    ),
    **_fields(_string_map, "Annotations StorageOpt Sysctls Tmpfs"),
    "ConsoleSize": ListOf(integer),
    "LogConfig": Object({"Type": string, "Config": _string_map}),
    "Mounts": ListOf(_MOUNT),
    "PortBindings": MapOf(ports),
    "RestartPolicy": _RESTART_POLICY,
}

_ENDPOINT = Object(
    {
        "IPAMConfig": Object({**_fields(string, "IPv4Address IPv6Address"), "LinkLocalIPs": _strings}),
        **_fields(_strings, "Links Aliases DNSNames"),
        **_fields(string, "NetworkID EndpointID Gateway IPAddress IPv6Gateway GlobalIPv6Address MacAddress"),
        **_fields(integer, "IPPrefixLen GlobalIPv6PrefixLen GwPriority"),
        "DriverOpts": _string_map,
    }
)

container_config = Object(_CONFIG)
container_create = Object(
    {
        **_CONFIG,
        "HostConfig": Object(_HOST),
        "NetworkingConfig": Object({"EndpointsConfig": MapOf(_ENDPOINT)}),
    }
)
container_update = Object({**_RESOURCES, "RestartPolicy": _RESTART_POLICY})
exec_create = Object(
    {
        **_fields(boolean, "AttachStderr AttachStdin AttachStdout Privileged Tty"),
        **_fields(string, "DetachKeys User WorkingDir"),
        "Cmd": words,
        "ConsoleSize": ListOf(integer),
        "Env": _strings,
    }
)
exec_start = Object({**_fields(boolean, "Detach Tty"), "ConsoleSize": ListOf(integer)})
network_create = Object(
    {
        **_fields(string, "Name Driver Scope"),
        **_fields(boolean, "CheckDuplicate Internal Attachable Ingress ConfigOnly EnableIPv4 EnableIPv6"),
        **_fields(_string_map, "Options Labels"),
        "ConfigFrom": Object({"Network": string}),
        "IPAM": Object(
            {
                "Driver": string,
                "Options": _string_map,
                "Config": ListOf(
                    Object({**_fields(string, "Subnet IPRange Gateway"), "AuxiliaryAddresses": _string_map})
                ),
            }
        ),
    }
)
network_connect = Object({"Container": string, "EndpointConfig": _ENDPOINT})
network_disconnect = Object({"Container": string, "Force": boolean})
volume_create = Object({**_fields(string, "Name Driver"), **_fields(_string_map, "DriverOpts Labels")})
