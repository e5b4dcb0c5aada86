"""`cove update`: change the resource limits of containers, running or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.containerconfig import restart_policy
from desktop.cli.each import each
from desktop.cli.flags import Flag, Spec, parse
from desktop.client.api import path_part

if TYPE_CHECKING:
    from desktop.cli.app import App

_FIELDS = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-shares": "CpuShares",
    "cpus": "NanoCpus",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "pids-limit": "PidsLimit",
}
SPEC = Spec(
    name="update",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Change the limits of containers, running or not",
    least=1,
    flags=(
        Flag("blkio-weight", kind="int", help="Share of block I/O, 10 to 1000"),
        Flag("cpu-period", kind="int", help="CFS period in microseconds"),
        Flag("cpu-quota", kind="int", help="CFS quota in microseconds"),
        Flag("cpu-shares", "c", "int", help="Relative weight for the CPU"),
        Flag("cpus", kind="decimal", help="How many CPUs (1.5)"),
        Flag("cpuset-cpus", kind="string", help="Which CPUs (0-3, 0,1)"),
        Flag("cpuset-mems", kind="string", help="Which memory nodes (0-3, 0,1)"),
        Flag("memory", "m", "bytes", help="Memory limit"),
        Flag("memory-reservation", kind="bytes", help="Soft memory limit"),
        Flag("memory-swap", kind="bytes", help="Limit of memory and swap together; -1: unlimited swap"),
        Flag("pids-limit", kind="int", help="How many processes at most; -1: unlimited"),
        Flag("restart", kind="string", help="Restart policy: no, on-failure[:n], always, unless-stopped"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    body: dict[str, object] = {field: flags.number(flag) for flag, field in _FIELDS.items() if flags.given(flag)}
    for flag, field in (("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems")):
        if flags.given(flag):
            body[field] = flags.text(flag)
    if flags.given("restart"):
        try:
            body["RestartPolicy"] = restart_policy(flags.text("restart"))
        except ValueError as e:
            raise Failure(str(e)) from e
    if not body:
        raise Failure("you must provide one or more flags when using this command")
    client = app.client()
    return each(flags.args, lambda name: client.request("POST", f"/containers/{path_part(name)}/update", None, body))
