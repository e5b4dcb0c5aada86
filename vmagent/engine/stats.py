"""Samples of a container's resource use, in the form of the Engine API's ContainerStats."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.model import ZERO_TIME, Container, now_ns, rfc3339
from vmagent.linux.netlink import NetlinkSocket

_TICKS_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_COUNTERS = ("bytes", "packets", "errors", "dropped")
_BLKIO = (
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
)  # fmt: skip


def empty(record: Container) -> JsonObject:
    """The reply for a container that does not run: without online_cpus and networks."""
    cpu = {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }
    return _base(record, ZERO_TIME) | {
        "cpu_stats": cpu,
        "memory_stats": {},
        "pids_stats": {},
        "blkio_stats": _blkio({}),
    }


def sample(record: Container, counters: Mapping[str, Any], interfaces: Mapping[str, str]) -> JsonObject:
    """One sample. `counters`: the supervisor's reply; `interfaces`: name in the container → name of the host's end."""
    cpu, memory = counters["cpu"], counters["memory"]
    usage: JsonObject = {
        "total_usage": cpu["usage_ns"],
        "usage_in_kernelmode": cpu["system_ns"],
        "usage_in_usermode": cpu["user_ns"],
    }
    if cpu["percpu_ns"]:
        usage["percpu_usage"] = cpu["percpu_ns"]
    memory_stats: JsonObject = {
        "usage": memory["usage"],
        "stats": memory["stats"],
        "limit": min(memory["limit"] or total_memory(), total_memory()),
    }
    for key in ("max_usage", "failcnt"):
        if memory[key]:
            memory_stats[key] = memory[key]
    pids = counters["pids"]
    return _base(record, rfc3339(now_ns())) | {
        "cpu_stats": {
            "cpu_usage": usage,
            "system_cpu_usage": system_cpu_ns(),
            "online_cpus": os.cpu_count() or 1,
            "throttling_data": {
                "periods": cpu["periods"],
                "throttled_periods": cpu["throttled_periods"],
                "throttled_time": cpu["throttled_ns"],
            },
        },
        "memory_stats": memory_stats,
        "pids_stats": {"current": pids["current"], **({"limit": pids["limit"]} if pids["limit"] else {})},
        "blkio_stats": _blkio(counters["blkio"]),
        **({"networks": _interfaces(interfaces)} if interfaces else {}),
    }


def _base(record: Container, read: str) -> JsonObject:
    return {
        "read": read,
        "num_procs": 0,
        "storage_stats": {},
        "name": f"/{record.name}",
        "id": record.id,
        "os_type": "linux",
    }


def _blkio(counters: Mapping[str, Any]) -> JsonObject:
    result: JsonObject = {key: [] for key in _BLKIO}
    for key, name in (("bytes", "io_service_bytes_recursive"), ("operations", "io_serviced_recursive")):
        result[name] = [
            {"major": entry["major"], "minor": entry["minor"], "op": entry["op"], "value": entry["value"]}
            for entry in counters.get(key) or ()
        ]
    return result


def _interfaces(host_interfaces: Mapping[str, str]) -> JsonObject:
    """Counters of a container's interfaces, read at the host's ends of the veth pairs, with the directions swapped.

    By rtnetlink: /sys/class/net shows the network namespace in which it was mounted.
    """
    result = {}
    with NetlinkSocket() as netlink:
        for name, host_interface in host_interfaces.items():
            found = netlink.counters(host_interface) or {}  # none: the container has ended
            result[name] = {
                f"{ours}_{counter}": found.get(f"{theirs}_{counter}", 0)
                for ours, theirs in (("rx", "tx"), ("tx", "rx"))
                for counter in _COUNTERS
            }
    return result


def system_cpu_ns() -> int:
    """The host's total CPU time since boot, in ns: the sum of the first seven columns of proc_stat(5)."""
    with open("/proc/stat", encoding="ascii") as file:
        words = file.readline().split()
    return sum(int(word) for word in words[1:8]) * _TICKS_NS


def total_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
