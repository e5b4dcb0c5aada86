"""JSON bodies of requests: the types of their fields, and the names in any case.

Go decodes into typed structs: a wrong type is a 400, `null` means absent, unknown fields are ignored, and field names
match without regard to case (docker-py sends `detachKeys`). Here the same is done once, at the edge, so that the engine
sees only fields of the right type under the specification's spelling. Engine API, definitions ContainerConfig,
HostConfig, EndpointSettings and others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def _string(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(value, where, "string")
    return value


def _integer(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
        raise _wrong(value, where, "int64")
    return value


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, where, "bool")
    return value


def _anything(value: Any, _: str) -> Any:
    return value


def _list(item: Kind) -> Kind:
    def check(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(value, where, "[]string")
        return [item(each, f"{where}[{at}]") for at, each in enumerate(value)]

    return check


def _map(item: Kind) -> Kind:
    """An object with any keys, whose values are all of one kind."""

    def check(value: Any, where: str) -> Json:
        if not isinstance(value, dict):
            raise _wrong(value, where, "map[string]string")
        return {key: item(each, f"{where}[{key!r}]") for key, each in value.items()}

    return check


def _object(fields: Mapping[str, Kind]) -> Kind:
    """Check known fields and spell them as docker does; drop `null` ones and ignore unknown ones."""
    names = {name.lower(): name for name in fields}

    def check(value: Any, where: str) -> Json:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _wrong(value, where, "struct")
        result: Json = {}
        for key, each in value.items():
            name = names.get(key.lower())
            if name is not None and each is not None:
                result[name] = fields[name](each, f"{where}.{name}" if where else name)
        return result

    return check


def _fields(kind: Kind, names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), kind)


_strings = _list(_string)
_string_map = _map(_string)
_empty_objects = _map(_anything)  # sets, spelled as maps to {}


def _words(value: Any, where: str) -> list[str]:
    """Cmd and Entrypoint: also one string (Go's strslice)."""
    return [value] if isinstance(value, str) else _strings(value, where)


def _ports(value: Any, where: str) -> list[Json]:
    """One port's bindings; null means no binding."""
    return [] if value is None else _list(_object(_fields(_string, "HostIp HostPort")))(value, where)


_HEALTHCHECK = _object({"Test": _strings} | _fields(_integer, "Interval Timeout StartPeriod StartInterval Retries"))

_CONFIG: dict[str, Kind] = {
    **_fields(_string, "Domainname Hostname Image MacAddress StopSignal User WorkingDir"),
    **_fields(_boolean, "ArgsEscaped AttachStderr AttachStdin AttachStdout NetworkDisabled OpenStdin StdinOnce Tty"),
    **_fields(_strings, "Env OnBuild Shell"),
    **_fields(_words, "Cmd Entrypoint"),
    **_fields(_empty_objects, "ExposedPorts Volumes"),
    "Labels": _string_map,
    "StopTimeout": _integer,
    "Healthcheck": _HEALTHCHECK,
}

_DRIVER_CONFIG = _object({"Name": _string, "Options": _string_map})
_MOUNT = _object(
    {
        **_fields(_string, "Type Source Target Consistency"),
        "ReadOnly": _boolean,
        "BindOptions": _object(
            {
                "Propagation": _string,
                **_fields(_boolean, "NonRecursive CreateMountpoint ReadOnlyNonRecursive ReadOnlyForceRecursive"),
            }
        ),
        "VolumeOptions": _object(
            {"NoCopy": _boolean, "Labels": _string_map, "DriverConfig": _DRIVER_CONFIG, "Subpath": _string}
        ),
        "TmpfsOptions": _object({"SizeBytes": _integer, "Mode": _integer, "Options": _list(_strings)}),
        "ImageOptions": _object({"Subpath": _string}),
    }
)
_RATES = _list(_object({"Path": _string, "Rate": _integer}))

_RESOURCES: dict[str, Kind] = {
    **_fields(
        _integer,
        "BlkioWeight CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares "
        "IOMaximumBandwidth IOMaximumIOps KernelMemory KernelMemoryTCP Memory MemoryReservation MemorySwap "
        "MemorySwappiness NanoCpus PidsLimit",
    ),
    **_fields(_string, "CgroupParent CpusetCpus CpusetMems"),
    **_fields(_RATES, "BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps"),
    "BlkioWeightDevice": _list(_object({"Path": _string, "Weight": _integer})),
    "DeviceCgroupRules": _strings,
    "DeviceRequests": _list(
        _object(
            {
                "Driver": _string,
                "Count": _integer,
                "DeviceIDs": _strings,
                "Capabilities": _list(_strings),
                "Options": _string_map,
            }
        )
    ),
    "Devices": _list(_object(_fields(_string, "PathOnHost PathInContainer CgroupPermissions"))),
    "OomKillDisable": _boolean,
    "Init": _boolean,
    "Ulimits": _list(_object({"Name": _string, "Soft": _integer, "Hard": _integer})),
}
_RESTART_POLICY = _object({"Name": _string, "MaximumRetryCount": _integer})

_HOST: dict[str, Kind] = {
    **_RESOURCES,
    **_fields(
        _string,
        "Cgroup CgroupnsMode ContainerIDFile IpcMode Isolation NetworkMode PidMode Runtime UTSMode UsernsMode "
        "VolumeDriver",
    ),
    **_fields(_boolean, "AutoRemove Privileged PublishAllPorts ReadonlyRootfs"),
    **_fields(_integer, "OomScoreAdj ShmSize"),
    **_fields(
        _strings,
        "Binds CapAdd CapDrop Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links MaskedPaths ReadonlyPaths "
        "SecurityOpt VolumesFrom",
    ),
    **_fields(_string_map, "Annotations StorageOpt Sysctls Tmpfs"),
    "ConsoleSize": _list(_integer),
    "LogConfig": _object({"Type": _string, "Config": _string_map}),
    "Mounts": _list(_MOUNT),
    "PortBindings": _map(_ports),
    "RestartPolicy": _RESTART_POLICY,
}

_ENDPOINT = _object(
    {
        "IPAMConfig": _object({**_fields(_string, "IPv4Address IPv6Address"), "LinkLocalIPs": _strings}),
        **_fields(_strings, "Links Aliases DNSNames"),
        **_fields(_string, "NetworkID EndpointID Gateway IPAddress IPv6Gateway GlobalIPv6Address MacAddress"),
        **_fields(_integer, "IPPrefixLen GlobalIPv6PrefixLen GwPriority"),
        "DriverOpts": _string_map,
    }
)

container_config = _object(_CONFIG)
container_create = _object(
    {
        **_CONFIG,
        "HostConfig": _object(_HOST),
        "NetworkingConfig": _object({"EndpointsConfig": _map(_ENDPOINT)}),
    }
)
container_update = _object({**_RESOURCES, "RestartPolicy": _RESTART_POLICY})
exec_create = _object(
    {
        **_fields(_boolean, "AttachStderr AttachStdin AttachStdout Privileged Tty"),
        **_fields(_string, "DetachKeys User WorkingDir"),
        "Cmd": _words,
        "ConsoleSize": _list(_integer),
        "Env": _strings,
    }
)
exec_start = _object({**_fields(_boolean, "Detach Tty"), "ConsoleSize": _list(_integer)})
network_create = _object(
    {
        **_fields(_string, "Name Driver Scope"),
        **_fields(_boolean, "CheckDuplicate Internal Attachable Ingress ConfigOnly EnableIPv4 EnableIPv6"),
        **_fields(_string_map, "Options Labels"),
        "ConfigFrom": _object({"Network": _string}),
        "IPAM": _object(
            {
                "Driver": _string,
                "Options": _string_map,
                "Config": _list(
                    _object({**_fields(_string, "Subnet IPRange Gateway"), "AuxiliaryAddresses": _string_map})
                ),
            }
        ),
    }
)
network_connect = _object({"Container": _string, "EndpointConfig": _ENDPOINT})
network_disconnect = _object({"Container": _string, "Force": _boolean})
volume_create = _object({**_fields(_string, "Name Driver"), **_fields(_string_map, "DriverOpts Labels")})
