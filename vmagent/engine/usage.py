"""Periodic samples of the resource use of all running containers: the source of `GET /cove/v1/stats`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.model import Container, now_ns, rfc3339
from vmagent.engine.registry import Registry
from vmagent.engine.stats import total_memory
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.messages import NotHeld, SupervisorUnavailable

AT_ONCE = 16  # concurrent requests to the supervisor: a start must not wait for samples of many containers


async def samples(registry: Registry, supervisor: SupervisorClient, interval_s: float) -> AsyncIterator[JsonObject]:
    """One `UsageSample` (openapi.yaml) now, then one every `interval_s` seconds, without end.

    A caller that takes longer than the interval gets the next sample when it asks for it; samples are not queued.
    """
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        yield await _sample(registry, supervisor)
        due = max(due + interval_s, clock())
        await asyncio.sleep(due - clock())


async def _sample(registry: Registry, supervisor: SupervisorClient) -> JsonObject:
    running = [live.record for live in registry if live.record.state.running]
    found: list[JsonObject] = []
    for begin in range(0, len(running), AT_ONCE):
        part = running[begin : begin + AT_ONCE]
        found += [entry for entry in await asyncio.gather(*(_entry(supervisor, record) for record in part)) if entry]
    return {"containers": found}


async def _entry(supervisor: SupervisorClient, record: Container) -> JsonObject | None:
    """The container's entry; None if it has just ended, or if the supervisor is being replaced and cannot be asked."""
    try:
        counters = await supervisor.stats(record.id)
    except (NotHeld, SupervisorUnavailable):
        return None
    memory = counters["memory"]
    return {
        "id": record.id,
        "name": record.name,
        "read": rfc3339(now_ns()),
        "cpu_ns": counters["cpu"]["usage_ns"],
        "memory_bytes": _memory_in_use(memory),
        "memory_limit_bytes": min(memory["limit"] or total_memory(), total_memory()),
        "pids": counters["pids"]["current"],
        "read_bytes": _blocks(counters["blkio"].get("bytes") or (), "read"),
        "written_bytes": _blocks(counters["blkio"].get("bytes") or (), "write"),
    }


def _memory_in_use(memory: Mapping[str, Any]) -> int:
    """The cgroup's memory in bytes without the inactive file cache, as docker's clients calculate it."""
    detail = memory["stats"]
    cache = int(detail.get("total_inactive_file") or detail.get("inactive_file") or 0)  # cgroup v1, v2
    usage = int(memory["usage"])
    return usage - cache if cache < usage else usage


def _blocks(entries: Sequence[Mapping[str, Any]], operation: str) -> int:
    return sum(int(entry["value"]) for entry in entries if str(entry["op"]).lower() == operation)
