"""What a container has used over time: points of counters, and the rates between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from desktop.ui.feed.usage import memory_in_use
from desktop.ui.kit.words import from_rfc3339

GAP_FACTOR = 3.5  # a pause longer than so many usual distances is a gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The counters of one start (`run`) at `at_s` (Unix seconds): CPU time, and bytes since that start."""

    at_s: float
    run: int
    cpu_ns: int
    memory: int
    read: int = 0
    written: int = 0
    received: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What was used at `at_s`: CPU in percent of one CPU, bytes of memory, bytes per second. None: not known, as where
    nothing was measured."""

    at_s: float
    cpu: float | None = None
    memory: float | None = None
    read: float | None = None
    written: float | None = None
    received: float | None = None
    sent: float | None = None


def of_history(lists: Mapping[str, Any]) -> list[Point]:
    """From UsagePoints of `GET /cove/v1/containers/{id}/usage`."""
    names = ("at_ms", "run", "cpu_ns", "memory_bytes", "read_bytes", "written_bytes", "received_bytes", "sent_bytes")
    rows: Iterable[tuple[int, ...]] = zip(*(lists[name] for name in names), strict=True)
    return [
        Point(at_s=at / 1000, run=run, cpu_ns=cpu, memory=held, read=read, written=written, received=got, sent=sent)
        for at, run, cpu, held, read, written, got, sent in rows
    ]


def of_sample(entry: Mapping[str, Any]) -> Point:
    """From ContainerUsage of `GET /cove/v1/stats`."""
    return Point(
        at_s=from_rfc3339(str(entry["read"])) or 0.0,
        run=int(entry["run"]),
        cpu_ns=int(entry["cpu_ns"]),
        memory=int(entry["memory_bytes"]),
        read=int(entry["read_bytes"]),
        written=int(entry["written_bytes"]),
        received=int(entry["received_bytes"]),
        sent=int(entry["sent_bytes"]),
    )


def of_stats(stats: Mapping[str, Any]) -> Point | None:
    """From ContainerStats, which every engine has; None while the container does not run."""
    at_s = from_rfc3339(str(stats.get("read") or ""))
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    if at_s is None or not stats.get("memory_stats"):
        return None
    bytes_of = {"read": 0, "write": 0}
    for entry in (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        operation = str(entry.get("op", "")).lower()
        if operation in bytes_of:
            bytes_of[operation] += int(entry.get("value") or 0)
    networks = (stats.get("networks") or {}).values()
    return Point(
        at_s=at_s,
        run=1,
        cpu_ns=int(cpu.get("total_usage") or 0),
        memory=memory_in_use(stats["memory_stats"]),
        read=bytes_of["read"],
        written=bytes_of["write"],
        received=sum(int(each.get("rx_bytes") or 0) for each in networks),
        sent=sum(int(each.get("tx_bytes") or 0) for each in networks),
    )


def rates(points: Sequence[Point], period_s: float) -> list[Rates]:
    """The rates between each two points, with an unknown one where the container was not measured for longer than a
    few times `period_s`, and at the beginning of each run."""
    found: list[Rates] = []
    for before, after in pairwise(points):
        passed = after.at_s - before.at_s
        if passed <= 0:
            continue
        if after.run != before.run or passed > period_s * GAP_FACTOR or after.cpu_ns < before.cpu_ns:
            found.append(Rates(at_s=before.at_s + min(passed, period_s) / 2))
            continue
        found.append(
            Rates(
                at_s=after.at_s,
                cpu=(after.cpu_ns - before.cpu_ns) / passed / 1e7,
                memory=after.memory,
                read=max(0, after.read - before.read) / passed,
                written=max(0, after.written - before.written) / passed,
                received=max(0, after.received - before.received) / passed,
                sent=max(0, after.sent - before.sent) / passed,
            )
        )
    return found


def starts(points: Sequence[Point]) -> list[float]:
    """When the container was seen to have been started again, Unix seconds."""
    return [after.at_s for before, after in pairwise(points) if after.run != before.run]


def as_csv(rows: Iterable[Rates]) -> Iterator[list[str]]:
    """Lines for a table: times as Unix seconds, rates as numbers, unknown ones empty."""
    yield ["time", "cpu_percent", "memory_bytes", "read_bytes_per_s", "written_bytes_per_s", "received_bytes_per_s",
           "sent_bytes_per_s"]  # fmt: skip
    for row in rows:
        values = (row.cpu, row.memory, row.read, row.written, row.received, row.sent)
        yield [f"{row.at_s:.3f}", *("" if value is None else f"{value:.2f}" for value in values)]
