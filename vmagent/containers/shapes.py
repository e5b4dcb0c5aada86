"""Containers as the Engine API shows them: the objects of ContainerInspect and ContainerList."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vmagent.containers.defaults import plain
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.model import Container, MountKind, MountPoint, Status, rfc3339


def state_json(container: Container, health: JsonObject | None) -> JsonObject:
    """inspect's `State`."""
    state = container.state
    shown = {
        "Status": str(state.status),
        "Running": state.running or state.status is Status.RESTARTING,
        "Paused": state.status is Status.PAUSED,
        "Restarting": state.status is Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.status is Status.DEAD,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_ns),
        "FinishedAt": rfc3339(state.finished_ns),
    }
    if health is not None:
        shown["Health"] = health
    return shown


def mounts_json(mounts: Iterable[MountPoint]) -> list[JsonObject]:
    """inspect's `Mounts`."""
    result = []
    for mount in mounts:
        if mount.kind is MountKind.TMPFS:
            result.append(
                {
                    "Type": "tmpfs",
                    "Source": "",
                    "Destination": mount.destination,
                    "Mode": "",
                    "RW": mount.writable,
                    "Propagation": "",
                }
            )
            continue
        entry: JsonObject = {"Type": str(mount.kind)}
        if mount.kind is MountKind.VOLUME:
            entry["Name"] = mount.volume
        entry |= {"Source": mount.source, "Destination": mount.destination}
        if mount.kind is MountKind.VOLUME:
            entry["Driver"] = mount.driver
        entry |= {"Mode": mount.mode, "RW": mount.writable, "Propagation": mount.propagation}
        result.append(entry)
    return result


def inspect_json(
    container: Container,
    *,
    health: JsonObject | None,
    network_settings: JsonObject,
    links: list[str] | None,
    exec_ids: Sequence[str],
    paths: Mapping[str, str],
    graph: JsonObject,
    sizes: tuple[int, int] | None,
) -> JsonObject:
    """ContainerInspect. `paths` of hosts, hostname, resolv.conf and log; `sizes`: bytes written, total bytes."""
    result: JsonObject = {
        "Id": container.id,
        "Created": rfc3339(container.created_ns),
        "Path": container.argv[0],
        "Args": container.argv[1:],
        "State": state_json(container, health),
        "Image": container.image_id,
        "ResolvConfPath": paths["resolv.conf"],
        "HostnamePath": paths["hostname"],
        "HostsPath": paths["hosts"],
        "LogPath": paths["log"],
        "Name": f"/{container.name}",
        "RestartCount": container.state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(exec_ids) or None,
        "HostConfig": {**plain(container.host_config), "Links": links},
        "GraphDriver": graph,
        "Mounts": mounts_json(container.mounts),
        "Config": plain(container.config),
        "NetworkSettings": network_settings,
    }
    if sizes is not None:
        result["SizeRw"], result["SizeRootFs"] = sizes
    return result


def list_json(
    container: Container,
    *,
    image: str,
    health_status: str,
    link_names: Iterable[str],
    networks: JsonObject,
    ports: list[JsonObject],
    sizes: tuple[int, int] | None,
) -> JsonObject:
    """One entry of ContainerList."""
    result: JsonObject = {
        "Id": container.id,
        "Names": [f"/{name}" for name in (container.name, *link_names)],
        "Image": image,
        "ImageID": container.image_id,
        "Command": command_text(container.argv),
        "Created": container.created_ns // 1_000_000_000,
        "Ports": ports,
        "Labels": container.labels,
        "State": str(container.state.status),
        "Status": status_text(container, health_status),
        "HostConfig": {"NetworkMode": container.network_mode},
        "NetworkSettings": {"Networks": networks},
        "Mounts": mounts_json(container.mounts),
    }
    if sizes is not None:
        result["SizeRw"], result["SizeRootFs"] = sizes
    return result


def command_text(argv: Sequence[str]) -> str:
    """Path and arguments in one line; arguments with blanks are in single quotes."""
    return " ".join(f"'{word}'" if " " in word or "\t" in word else word for word in argv)


def status_text(container: Container, health_status: str) -> str:
    """`Up 3 seconds`, `Exited (0) 2 hours ago` …: old clients parse this text."""
    state = container.state
    now = time.time_ns()
    match state.status:
        case Status.RUNNING | Status.PAUSED:
            up = f"Up {ago(now - state.started_ns)}"
            if state.status is Status.PAUSED:
                return f"{up} (Paused)"
            match health_status:
                case "" | "none":
                    return up
                case "starting":
                    return f"{up} (health: starting)"
            return f"{up} ({health_status})"
        case Status.RESTARTING:
            return f"Restarting ({state.exit_code}) {ago(now - state.finished_ns)} ago"
        case Status.REMOVING:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
        case Status.CREATED:
            return "Created"
    return f"Exited ({state.exit_code}) {ago(now - state.finished_ns)} ago"


_UNITS = (("year", 365 * 86400), ("month", 30 * 86400), ("week", 7 * 86400), ("day", 86400), ("hour", 3600))


def ago(duration_ns: int) -> str:
    """A duration as docker shows it: one unit, rounded down, or "About a minute", "Less than a second" …"""
    seconds = duration_ns // 1_000_000_000
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if seconds < 120:
        return "About a minute"
    if seconds < 60 * 60:
        return f"{seconds // 60} minutes"
    if seconds < 90 * 60:
        return "About an hour"
    hours = round(seconds / 3600)
    if hours < 48:
        return f"{hours} hours"
    for name, length in (("year", 2 * 365 * 86400), ("month", 60 * 86400), ("week", 14 * 86400), ("day", 0)):
        if seconds >= length:
            return f"{seconds // dict(_UNITS)[name]} {name}s"
    raise AssertionError("unreachable: every duration is at least 0 days")


def endpoint_json(asked: Mapping[str, Any], network_id: str, live: Mapping[str, Any] | None) -> JsonObject:
    """inspect's EndpointSettings: the requested settings, and `live` addresses while the container runs."""
    live = live or {}
    return {
        "IPAMConfig": asked.get("IPAMConfig"),
        "Links": asked.get("Links"),
        "Aliases": asked.get("Aliases"),
        "DriverOpts": asked.get("DriverOpts"),
        "GwPriority": asked.get("GwPriority") or 0,
        "NetworkID": network_id,
        "EndpointID": live.get("EndpointID", ""),
        "Gateway": live.get("Gateway", ""),
        "IPAddress": live.get("IPAddress", ""),
        "IPPrefixLen": live.get("IPPrefixLen", 0),
        "MacAddress": live.get("MacAddress", asked.get("MacAddress") or ""),
        "IPv6Gateway": live.get("IPv6Gateway", ""),
        "GlobalIPv6Address": live.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": live.get("GlobalIPv6PrefixLen", 0),
        "DNSNames": live.get("DNSNames"),
    }
