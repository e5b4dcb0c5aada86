"""What docker refuses in a HostConfig, with its words: limits out of range, and settings that exclude each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.errors import BadRequest

MIN_MEMORY = 6 << 20
_NANO = 1_000_000_000
_MOST_ID = (1 << 31) - 1
_SETTLED_BY_OTHER: tuple[tuple[Callable[[Mapping[str, Any]], object], str], ...] = (
    (lambda host: host["Dns"], "dns and the network mode"),
    (lambda host: host["ExtraHosts"], "custom host-to-IP mapping and the network mode"),
    (
        lambda host: host["PortBindings"] or host["PublishAllPorts"],
        "port publishing and the container type network mode",
    ),
)


def check_resources(host: JsonObject) -> None:
    """Raises BadRequest for limits that docker refuses."""
    _check_memory(host)
    _check_cpu(host)
    if host["BlkioWeight"] and not 10 <= host["BlkioWeight"] <= 1000:
        raise BadRequest("Range of blkio weight is from 10 to 1000")
    if host["OomScoreAdj"] and not -1000 <= host["OomScoreAdj"] <= 1000:
        raise BadRequest(f"Invalid value {host['OomScoreAdj']}, range for oom score adj is [-1000, 1000]")


def _check_memory(host: JsonObject) -> None:
    memory, swap, reservation = host["Memory"] or 0, host["MemorySwap"] or 0, host["MemoryReservation"] or 0
    if memory and memory < MIN_MEMORY:
        raise BadRequest("Minimum memory limit allowed is 6MB")
    if swap > 0 and memory and swap < memory:
        raise BadRequest("Minimum memoryswap limit should be larger than memory limit, see usage")
    if swap > 0 and not memory:
        raise BadRequest("You should always set the Memory limit when using Memoryswap limit, see usage")
    if reservation and reservation < MIN_MEMORY:
        raise BadRequest("Minimum memory reservation allowed is 6MB")
    if reservation and memory and reservation > memory:
        raise BadRequest("Minimum memory limit can not be less than memory reservation limit, see usage")
    swappiness = host.get("MemorySwappiness")
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise BadRequest(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")


def _check_cpu(host: JsonObject) -> None:
    if host["NanoCpus"] and (host["CpuPeriod"] or host["CpuQuota"]):
        raise BadRequest("Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set.")
    count = os.cpu_count() or 1
    if not 0 <= host["NanoCpus"] <= count * _NANO:
        raise BadRequest(f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available")
    if host["CpuPeriod"] and not 1000 <= host["CpuPeriod"] <= 1_000_000:
        raise BadRequest("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < host["CpuQuota"] < 1000:
        raise BadRequest("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host["CpuShares"] < 0:
        raise BadRequest(f"invalid CPU shares ({host['CpuShares']}): value must be a positive integer")
    for key, words, path in (
        ("CpusetCpus", "CPUs", "/sys/devices/system/cpu/online"),
        ("CpusetMems", "memory nodes", "/sys/devices/system/node/online"),
    ):
        _check_set(host[key], key, words, path)


def _check_set(text: str, key: str, words: str, path: str) -> None:
    if not text:
        return
    try:
        wanted = numbers_of(text)
    except ValueError:
        raise BadRequest(f"Invalid value {text} for {key.replace('Cpuset', 'cpuset ').lower()}") from None
    try:
        with open(path, encoding="ascii") as file:
            available = file.read().strip()
    except OSError:
        return  # the kernel does not say; the cgroup refuses it
    if not wanted <= numbers_of(available):
        raise BadRequest(f"Requested {words} are not available - requested {text}, available: {available}")


def numbers_of(text: str) -> set[int]:
    """The numbers of a list in the kernel's form, like "0-3,7". Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low, high = int(first), int(last if dash else first)
        if not 0 <= low <= high < 1 << 16:
            raise ValueError(text)
        found.update(range(low, high + 1))
    return found


def check_combinations(host: Mapping[str, Any]) -> None:
    """Raises BadRequest for settings that exclude each other, or that docker checks at create."""
    if host["NetworkMode"].startswith("container:"):
        if host["NetworkMode"] == "container:":
            raise BadRequest("Invalid network mode: invalid container format container:<name|id>")
        for is_set, words in _SETTLED_BY_OTHER:
            if is_set(host):
                raise BadRequest(f"conflicting options: {words}")
    for name in host.get("Annotations") or ():
        if not name:
            raise BadRequest("invalid Annotations: the empty string is not permitted as an annotation key")
    for text in host["ExtraHosts"] or ():
        name, separator, address = text.partition(":" if "=" not in text else "=")
        if not separator or not name:
            raise BadRequest(f'bad format for add-host: "{text}"')
        try:
            if address != "host-gateway":
                ip_address(address.strip("[]"))
        except ValueError:
            raise BadRequest(f'invalid IP address in add-host: "{address}"') from None
    for entry in host["Devices"] or ():
        access = entry.get("CgroupPermissions") or "rwm"
        if set(access) - set("rwm"):
            raise BadRequest(f"invalid device mode: {access}")


def check_update(before: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise BadRequest for new CPU limits that exclude those which the container has."""
    for key, words in (("CpuPeriod", "CPU Period"), ("CpuQuota", "CPU Quota")):
        if asked.get("NanoCpus") and before[key]:
            raise BadRequest(f"Conflicting options: Nano CPUs cannot be updated as {words} has already been set")
        if before["NanoCpus"] and asked.get(key):
            raise BadRequest(f"Conflicting options: {words} cannot be updated as NanoCPUs has already been set")


def check_user(text: str) -> None:
    """Raise BadRequest for a numeric user or group that is out of range. `text`: "USER", "USER:GROUP"."""
    for part in text.split(":"):
        digits = part.removeprefix("-")
        if digits.isascii() and digits.isdigit() and not 0 <= int(part) <= _MOST_ID:
            raise BadRequest("uids and gids must be in range 0-2147483647")
