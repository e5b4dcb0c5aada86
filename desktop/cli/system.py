"""`cove system`: check, df, info, events, prune, and the far end of ssh:// hosts."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli import groups
from desktop.cli.app import Failure
from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.groups import Same
from desktop.cli.streams import write_all
from desktop.cli.table import Row, human_size, show
from desktop.client import bin

if TYPE_CHECKING:
    from desktop.cli.app import App

DF = Spec(
    name="system df",
    usage="[OPTIONS]",
    summary="Show what takes space on the engine's disk",
    most=0,
    flags=(Flag("format", kind="string", help="A template, `table` and a template, or json"),),
)
PRUNE = Spec(
    name="system prune",
    usage="[OPTIONS]",
    summary="Remove stopped containers, unused networks and dangling images",
    most=0,
    flags=(
        Flag("all", "a", help="All unused images, not only dangling ones"),
        Flag("filter", kind="filter", many=True, help="Only those for which this holds (until=24h, label=k)"),
        Flag("force", "f", help="Do not ask"),
        Flag("volumes", help="Anonymous volumes too"),
    ),
)
CHECK = Spec(
    name="system check",
    usage="[OPTIONS]",
    summary="Check that images, containers, volumes and networks are whole, and that nothing is left over; exit status "
    "1 if something is wrong",
    most=0,
    flags=(Flag("repair", help="Mend what can be mended; nothing that a user made is deleted"),),
)
DIAL_STDIO = Spec(
    name="system dial-stdio",
    usage="",
    summary="Carry one connection to the engine over stdin and stdout, for clients that come by ssh",
    most=0,
)
_BLOCK = 64 * 1024
_STATES = {"found": "with --repair: ", "repaired": "repaired: ", "left": "not repaired: "}
_COLUMNS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


def _df(argv: Sequence[str], app: App) -> int:
    flags = parse(DF, argv)
    told = app.client().request("GET", "/system/df", limited=False)
    images, containers = told.get("Images") or [], told.get("Containers") or []
    volumes, cache = told.get("Volumes") or [], told.get("BuildCache") or []
    unused = [image for image in images if image.get("Containers", 0) <= 0]
    stopped = [container for container in containers if container["State"] not in ("running", "paused", "restarting")]
    free = [volume for volume in volumes if _usage(volume, "RefCount") <= 0]
    rows = [
        _row("Images", len(images), len(images) - len(unused), told.get("LayersSize") or 0,
             sum(max(0, image["Size"] - max(0, image.get("SharedSize", 0))) for image in unused)),
        _row("Containers", len(containers), len(containers) - len(stopped),
             sum(container.get("SizeRw") or 0 for container in containers),
             sum(container.get("SizeRw") or 0 for container in stopped)),
        _row("Local Volumes", len(volumes), len(volumes) - len(free),
             sum(_usage(volume, "Size") for volume in volumes), sum(_usage(volume, "Size") for volume in free)),
        _row("Build Cache", len(cache), sum(bool(entry.get("InUse")) for entry in cache),
             sum(entry.get("Size", 0) for entry in cache),
             sum(entry.get("Size", 0) for entry in cache if not entry.get("InUse"))),
    ]  # fmt: skip
    if deleted := bin.entries(app.client()):
        size = sum(entry.size_bytes for entry in deleted)
        rows.append(_row("Bin", len(deleted), 0, size, size))
    show(rows, _COLUMNS, flags.text("format"))
    return 0


def _usage(volume: dict[str, Any], what: str) -> int:
    return max(0, int((volume.get("UsageData") or {}).get(what, 0)))


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> Row:
    share = f" ({100 * reclaimable // size}%)" if size and kind != "Build Cache" else ""
    return Row(
        Type=kind,
        TotalCount=str(total),
        Active=str(active),
        Size=human_size(size),
        Reclaimable=human_size(min(reclaimable, size)) + share,
    )


def _prune(argv: Sequence[str], app: App) -> int:
    flags = parse(PRUNE, argv)
    kinds = ["container", "network", "image", *(["volume"] if flags.on("volumes") else [])]
    if not flags.on("force"):
        print(f"WARNING! This will remove all unused {'s, '.join(kinds)}s.")
        print("Are you sure you want to continue? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Failure("system prune has been cancelled")
    reclaimed = 0
    for kind in kinds:
        filters = as_filters(flags.many("filter"))
        filters |= {"dangling": ["false"]} if kind == "image" and flags.on("all") else {}
        told = app.client().request("POST", f"/{kind}s/prune", {"filters": filters}, limited=False)
        gone = told.get(f"{kind.capitalize()}sDeleted") or []
        if gone:
            print(f"Deleted {kind.capitalize()}s:")
            for item in gone:
                print(groups.entry_text(item))
            print()
        reclaimed += told.get("SpaceReclaimed") or 0
    print(f"Total reclaimed space: {human_size(reclaimed)}")
    return 0


def _check(argv: Sequence[str], app: App) -> int:
    flags = parse(CHECK, argv)
    is_terminal = sys.stderr.isatty()
    result: Mapping[str, Any] = {}
    with app.client().check(repair=flags.on("repair")) as lines:
        for line in lines:
            if (progress := line["progress"]) and is_terminal:
                count = f" {progress['done']} of {progress['total']}" if progress["total"] else ""
                print(f"\r\x1b[KChecking {progress['part']}{count}", end="", file=sys.stderr, flush=True)
            if finding := line["finding"]:
                if is_terminal:
                    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
                print(f"{finding['part']}: {finding['subject']}: {finding['fault']}")
                print(f"    {_STATES[finding['state']]}{finding['remedy']}", flush=True)
            result = line["result"] or result
    if is_terminal:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if not result:
        raise Failure("the engine ended the check without a result")
    found, repaired, left = (int(result[state]) for state in ("found", "repaired", "left"))
    if not found + repaired + left:
        print(f"All is well: {', '.join(result['parts'])}.")
        return 0
    print(f"{found + repaired + left} found, {repaired} repaired, {left} that a repair can't mend.")
    if found:
        print("'cove system check --repair' mends what can be mended.")
    return 1 if found or left else 0


def _dial_stdio(argv: Sequence[str], app: App) -> int:
    """One connection to the engine, for a client on another machine: docker's and ours start this by ssh."""
    parse(DIAL_STDIO, argv)
    app.client()  # starts the engine where it does not run
    with contextlib.closing(app.context().endpoint.connect(None)) as engine:

        def upwards() -> None:
            with contextlib.suppress(OSError):  # one of the two has gone, which the other direction notices
                while block := os.read(0, _BLOCK):
                    engine.sendall(block)
            with contextlib.suppress(OSError):
                engine.shutdown(socket.SHUT_WR)

        threading.Thread(target=upwards, name="upwards", daemon=True).start()
        with contextlib.suppress(BrokenPipeError):  # the client has gone
            while block := engine.recv(_BLOCK):
                write_all(1, block)
    return 0


SPEC = groups.spec("system", "The engine as a whole")
VERBS: groups.Verbs = {
    "check": _check,
    "df": _df,
    "events": Same("events"),
    "info": Same("info"),
    "prune": _prune,
    "dial-stdio": _dial_stdio,
}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
