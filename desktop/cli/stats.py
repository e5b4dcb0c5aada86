"""`cove stats`: the containers' use of resources, updated continuously."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.app import FAILURES
from desktop.cli.flags import Flag, Parsed, Spec, parse
from desktop.cli.table import Row, human_memory, human_size, show
from desktop.client.api import path_part
from desktop.client.engine import EngineClient

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="stats",
    usage="[OPTIONS] [CONTAINER...]",
    summary="Show what containers use of the processor, memory, network and disk; all running ones if none is named",
    flags=(
        Flag("all", "a", help="Stopped ones too"),
        Flag("format", kind="string", help="A template, `table` and a template, or json"),
        Flag("no-stream", help="Once"),
        Flag("no-trunc", help="Nothing is shortened"),
    ),
)
_COLUMNS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client = app.client()
    for name in flags.args:
        client.inspect(name)  # raises at once if it does not exist

    def wanted() -> list[str]:
        return flags.args or [str(found["Id"]) for found in client.containers(flags.on("all"))]

    follow(client, wanted, flags)
    return 0


def follow(client: EngineClient, wanted: Callable[[], Sequence[str]], flags: Parsed) -> None:
    """Print what the containers `wanted` use: for ever, or once with `no-stream` among `flags`. Raises ApiError."""
    while True:
        names = wanted()
        samples = _samples(client, names)
        rows = [row_of(sample, whole=flags.on("no-trunc")) for sample in samples]
        if not flags.on("no-stream") and sys.stdout.isatty():
            sys.stdout.write("\x1b[H\x1b[J")
        show(rows, _COLUMNS, flags.text("format"))
        sys.stdout.flush()
        if flags.on("no-stream"):
            return
        if not names:
            threading.Event().wait(1)


def _samples(client: EngineClient, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """One sample of each container that still exists. The engine measures over one second."""
    found: dict[str, Mapping[str, Any]] = {}

    def ask(name: str) -> None:
        try:
            found[name] = client.json_object("GET", f"/containers/{path_part(name)}/stats", {"stream": False})
        except FAILURES:
            return  # the container was removed, or the engine ended: the next list request shows which

    threads = [threading.Thread(target=ask, args=(name,), name=f"stats {name}", daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[name] for name in names if name in found]


def row_of(sample: Mapping[str, Any], *, whole: bool) -> Row:
    """Computed as docker does: memory without the inactive page cache; CPU in percent of one CPU, summed over all."""
    memory = sample.get("memory_stats") or {}
    details = memory.get("stats") or {}
    used = memory.get("usage", 0)
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    used = used - cache if cache < used else used
    limit = memory.get("limit", 0)
    networks = (sample.get("networks") or {}).values()
    read = written = 0
    for entry in (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        read += entry["value"] if entry["op"].lower() == "read" else 0
        written += entry["value"] if entry["op"].lower() == "write" else 0
    received = sum(network["rx_bytes"] for network in networks)
    sent = sum(network["tx_bytes"] for network in networks)
    identifier = str(sample.get("id", ""))
    return Row(
        ID=identifier if whole else identifier[:12],
        Container=identifier if whole else identifier[:12],
        Name=str(sample.get("name", "")).lstrip("/"),
        CPUPerc=f"{_cpu_percent(sample):.2f}%",
        MemUsage=f"{human_memory(used)} / {human_memory(limit)}",
        MemPerc=f"{100 * used / limit if limit else 0:.2f}%",
        NetIO=f"{human_size(received)} / {human_size(sent)}",
        BlockIO=f"{human_size(read)} / {human_size(written)}",
        PIDs=str((sample.get("pids_stats") or {}).get("current", 0)),
    )


def _cpu_percent(sample: Mapping[str, Any]) -> float:
    now, before = sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}
    used = now["cpu_usage"]["total_usage"] - (before.get("cpu_usage") or {}).get("total_usage", 0) if now else 0
    system = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cpus = now.get("online_cpus") or 1
    return 100.0 * used / system * cpus if used > 0 and system > 0 else 0.0
