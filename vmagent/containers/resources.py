"""Translates HostConfig's limits to the OCI runtime-spec's `linux.resources` (config-linux.md, "Control groups")."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.errors import BadRequest, EngineError

CPU_PERIOD_US = 100_000  # the period for --cpus; docker's and the kernel's default


def resources(host: Mapping[str, Any]) -> JsonObject:
    """The OCI object, with only those limits that are set. Raises BadRequest."""
    result: JsonObject = {}
    memory: JsonObject = {}
    for key, name in (("limit", "Memory"), ("reservation", "MemoryReservation"), ("swap", "MemorySwap")):
        if host[name]:
            memory[key] = host[name]
    if host.get("MemorySwappiness") not in (None, -1):
        memory["swappiness"] = host["MemorySwappiness"]
    if host.get("OomKillDisable"):
        memory["disableOOMKiller"] = True
    cpu: JsonObject = {}
    for key, name in (
        ("shares", "CpuShares"), ("quota", "CpuQuota"), ("period", "CpuPeriod"), ("cpus", "CpusetCpus"),
        ("mems", "CpusetMems"), ("realtimePeriod", "CpuRealtimePeriod"), ("realtimeRuntime", "CpuRealtimeRuntime"),
    ):  # fmt: skip
        if host[name]:
            cpu[key] = host[name]
    if host["NanoCpus"]:
        cpu |= {"period": CPU_PERIOD_US, "quota": host["NanoCpus"] * CPU_PERIOD_US // 1_000_000_000}
    block: JsonObject = {}
    if host["BlkioWeight"]:
        block["weight"] = host["BlkioWeight"]
    for key, name in (
        ("weightDevice", "BlkioWeightDevice"),
        ("throttleReadBpsDevice", "BlkioDeviceReadBps"),
        ("throttleWriteBpsDevice", "BlkioDeviceWriteBps"),
        ("throttleReadIOPSDevice", "BlkioDeviceReadIOps"),
        ("throttleWriteIOPSDevice", "BlkioDeviceWriteIOps"),
    ):
        if host[name]:
            block[key] = [_block_device(entry) for entry in host[name]]
    for key, value in (("memory", memory), ("cpu", cpu), ("blockIO", block)):
        if value:
            result[key] = value
    if (limit := host["PidsLimit"]) is not None and limit != 0:
        result["pids"] = {"limit": max(-1, limit)}
    return result


def _block_device(entry: Mapping[str, Any]) -> JsonObject:
    try:
        info = os.stat(entry["Path"])
    except OSError as e:
        raise BadRequest(f"block device {entry['Path']}: {e.strerror}") from e
    result: JsonObject = {"major": os.major(info.st_rdev), "minor": os.minor(info.st_rdev)}
    if "Weight" in entry:
        result["weight"] = entry["Weight"]
    else:
        result["rate"] = entry["Rate"]
    return result


def device_rules(host: Mapping[str, Any], devices: list[JsonObject]) -> list[JsonObject]:
    """The device cgroup's rules: deny all but mknod, `devices` and the user's own rules."""
    if host["Privileged"]:
        return [{"allow": True, "access": "rwm"}]
    rules: list[JsonObject] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "access": "m"},
        {"allow": True, "type": "b", "access": "m"},
    ]
    for device in devices:
        rules.append(
            {
                "allow": True,
                "type": device["type"],
                "major": device["major"],
                "minor": device["minor"],
                "access": device["access"],
            }
        )
    for text in host["DeviceCgroupRules"] or ():
        rules.append(_rule(text))
    return rules


def _rule(text: str) -> JsonObject:
    """The OCI form of a rule in the kernel's syntax, like "c 1:3 mr" or "a *:* rwm"."""
    try:
        kind, numbers, access = text.split(" ")
        major, minor = numbers.split(":")
        rule: JsonObject = {"allow": True, "type": kind, "access": access}
        if kind not in "abc" or set(access) - set("rwm"):
            raise ValueError
        if major != "*":
            rule["major"] = int(major)
        if minor != "*":
            rule["minor"] = int(minor)
    except ValueError:
        raise BadRequest(f"invalid device cgroup rule format: '{text}'") from None
    return rule


def devices(host: Mapping[str, Any]) -> list[JsonObject]:
    """OCI device nodes (plus `access` for the cgroup) for --device; for a privileged container, all of the host."""
    if host["Privileged"]:
        return list(_below("/dev", "/dev", "rwm"))
    found: list[JsonObject] = []
    for entry in host["Devices"] or ():
        path, inside = entry["PathOnHost"], entry.get("PathInContainer") or entry["PathOnHost"]
        access = entry.get("CgroupPermissions") or "rwm"
        try:
            if os.path.isdir(path):
                real = os.path.realpath(path)
                if not f"{real}/".startswith("/dev/"):  # a disk's folders may be large and slow to read
                    raise BadRequest(_no_device(path))
                found.extend(_below(real, inside, access))
            elif node := _node(path, inside, access):
                found.append(node)
            else:
                raise BadRequest(_no_device(path))
        except OSError as e:
            raise EngineError(
                f'error gathering device information while adding custom device "{path}": no such file or directory'
            ) from e
    return found


def _no_device(path: str) -> str:
    return f'error gathering device information while adding custom device "{path}": not a device node'


def _below(folder: str, inside: str, access: str) -> list[JsonObject]:
    found = []
    for entry in os.scandir(folder):
        target = f"{inside}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            # The container's own mounts provide these.
            if entry.name not in ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"):
                found.extend(_below(entry.path, target, access))
        elif entry.name != "console" and not entry.is_symlink() and (node := _node(entry.path, target, access)):
            found.append(node)
    return found


def _node(path: str, inside: str, access: str) -> JsonObject | None:
    info = os.stat(path)
    if stat.S_ISCHR(info.st_mode):
        kind = "c"
    elif stat.S_ISBLK(info.st_mode):
        kind = "b"
    else:
        return None
    return {
        "path": inside,
        "type": kind,
        "major": os.major(info.st_rdev),
        "minor": os.minor(info.st_rdev),
        "fileMode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "access": access,
    }
