"""Names of JSON fields in any case.

Go matches field names without regard to case, and clients have come to rely on it (docker-py sends `detachKeys`). The
engine knows the spelling of the specification only; other spellings of these fields become that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _by_lower_case(names: str) -> Mapping[str, str]:
    return {name.lower(): name for name in names.split()}


_CREATE = _by_lower_case(
    "ArgsEscaped AttachStderr AttachStdin AttachStdout Cmd Domainname Entrypoint Env ExposedPorts "
    "Healthcheck HostConfig Hostname Image Labels MacAddress NetworkDisabled NetworkingConfig OnBuild "
    "OpenStdin Shell StdinOnce StopSignal StopTimeout Tty User Volumes WorkingDir"
)
_HOST = _by_lower_case(
    "Annotations AutoRemove Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps "
    "BlkioDeviceWriteIOps BlkioWeight BlkioWeightDevice CapAdd CapDrop Cgroup CgroupParent CgroupnsMode "
    "ConsoleSize ContainerIDFile CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod "
    "CpuRealtimeRuntime CpuShares CpusetCpus CpusetMems DeviceCgroupRules DeviceRequests Devices Dns "
    "DnsOptions DnsSearch ExtraHosts GroupAdd IOMaximumBandwidth IOMaximumIOps Init IpcMode Isolation "
    "KernelMemory KernelMemoryTCP Links LogConfig MaskedPaths Memory MemoryReservation MemorySwap "
    "MemorySwappiness Mounts NanoCpus NetworkMode OomKillDisable OomScoreAdj PidMode PidsLimit "
    "PortBindings Privileged PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime "
    "SecurityOpt ShmSize StorageOpt Sysctls Tmpfs UTSMode Ulimits UsernsMode VolumeDriver VolumesFrom"
)
_EXEC = _by_lower_case(
    "AttachStderr AttachStdin AttachStdout Cmd ConsoleSize DetachKeys Env Privileged Tty User WorkingDir"
)
_NETWORKING = _by_lower_case("EndpointsConfig")


def _respelled(body: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """`body` with known fields as the specification spells them; of two spellings of one field the last wins."""
    return {names.get(key.lower(), key): value for key, value in body.items()}


def create_body(body: dict[str, Any]) -> dict[str, Any]:
    """The body of ContainerCreate."""
    body = _respelled(body, _CREATE)
    for key, names in (("HostConfig", _HOST), ("NetworkingConfig", _NETWORKING)):
        if isinstance(part := body.get(key), dict):
            body[key] = _respelled(part, names)
    return body


def host_config(body: dict[str, Any]) -> dict[str, Any]:
    """A HostConfig, or the part of it that ContainerUpdate takes."""
    return _respelled(body, _HOST)


def container_config(body: dict[str, Any]) -> dict[str, Any]:
    """A container's Config, as ImageCommit takes it."""
    return _respelled(body, _CREATE)


def exec_config(body: dict[str, Any]) -> dict[str, Any]:
    """The body of ContainerExec."""
    return _respelled(body, _EXEC)
