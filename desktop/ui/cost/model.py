"""What things cost: memory and processor time of running containers, disk, and the time of a start. No Qt."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from desktop.client.api import ApiError
from desktop.client.engine import EngineClient
from desktop.ui.feed.usage import CpuRates
from desktop.ui.kit.words import tr

SAMPLE_MS = 1000
HELLO = "cove/hello"  # each engine of Cove has it
STARTS = 10
MEASURED = "io.cove.measured"  # a label: this container was made to measure its start, and removes itself
MOST = 5  # of parts with a colour of their own


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a cost: `amount` in bytes, or in percent of one CPU; `place` is the page that shows it."""

    name: str
    amount: float
    place: str = ""


@dataclass(frozen=True, slots=True)
class Costs:
    """Each largest first. `memory` and `cpu` are by Compose project or container; `idle_cache_bytes` is the part of the
    build cache that no build needs now."""

    memory: tuple[Part, ...]
    cpu: tuple[Part, ...]
    disk: tuple[Part, ...]
    idle_cache_bytes: int
    at_s: float


def read(client: EngineClient, groups: Mapping[str, str]) -> Costs:
    """Measure for a second. `groups`: by container id, the name under which it is counted. Raises the client's errors;
    ApiError 404: the engine has no stream of usage."""
    memory: dict[str, float] = {}
    cpu: dict[str, float] = {}
    rates = CpuRates()
    with client.usage(SAMPLE_MS) as stream:
        for number, sample in enumerate(stream):
            entries: Sequence[Mapping[str, Any]] = sample.get("containers") or ()
            for entry in entries:
                container_id = str(entry.get("id", ""))
                rate = rates.percent(container_id, int(entry.get("cpu_ns") or 0), str(entry.get("read", "")))
                if number and rate is not None:
                    name = groups.get(container_id, container_id[:12])
                    cpu[name] = cpu.get(name, 0.0) + rate
                    memory[name] = memory.get(name, 0.0) + int(entry.get("memory_bytes") or 0)
            if number or not entries:
                break
    disk, idle = _disk(client.disk_usage())
    return Costs(_largest(memory.items()), _largest(cpu.items()), disk, idle, time.time())


def _largest(amounts: Iterable[tuple[str, float]]) -> tuple[Part, ...]:
    """The largest by name, and the sum of the others."""
    parts = sorted((Part(name, amount, "containers") for name, amount in amounts), key=lambda part: -part.amount)
    if len(parts) <= MOST + 1:
        return tuple(parts)
    rest = Part(tr("others"), sum(part.amount for part in parts[MOST:]), "containers")
    return (*parts[:MOST], rest)


def _disk(told: Mapping[str, Any]) -> tuple[tuple[Part, ...], int]:
    """The parts of `GET /system/df` (SystemDataUsageResponse), and the idle part of the build cache."""
    cache = [entry for entry in told.get("BuildCache") or () if not entry.get("Shared")]  # what images share is theirs
    volumes = told.get("Volumes") or ()
    cached = sum(int(entry.get("Size") or 0) for entry in cache)
    parts = (
        Part(tr("Images"), int(told.get("LayersSize") or 0), "images"),
        Part(tr("Volumes"), sum(_at_least_0((v.get("UsageData") or {}).get("Size")) for v in volumes), "volumes"),
        Part(
            tr("Containers' own files"),
            sum(_at_least_0(c.get("SizeRw")) for c in told.get("Containers") or ()),
            "containers",
        ),
        Part(tr("Build cache"), cached, "builds"),
    )
    idle = sum(int(entry.get("Size") or 0) for entry in cache if not entry.get("InUse"))
    return tuple(sorted(parts, key=lambda part: -part.amount)), idle


def _at_least_0(value: object) -> int:
    """A size; -1 is docker's word for one that is not known."""
    return max(0, value) if isinstance(value, int) else 0


def start_s(client: EngineClient) -> float:
    """The seconds from the wish for a container of cove/hello until its first output: the median of `STARTS`, whose
    containers are deleted. Raises the client's errors."""
    taken = []
    for _ in range(STARTS):
        began = time.perf_counter()
        body = {"Image": HELLO, "AttachStdout": True, "Labels": {MEASURED: ""}, "HostConfig": {"AutoRemove": True}}
        made = str(client.create(body)["Id"])
        try:
            with client.attach(made, tty=False) as stream:
                client.start(made)
                stream.read()
                taken.append(time.perf_counter() - began)
        finally:
            with suppress(ApiError):  # it is being removed, or has been
                client.remove(made, force=True)
    return statistics.median(taken)
