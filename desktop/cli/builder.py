"""`cove builder`: the build cache."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli import build, groups
from desktop.cli.app import Failure
from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import human_size

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = groups.spec("builder", "Builds: build, prune")
PRUNE = Spec(
    name="builder prune",
    usage="[OPTIONS]",
    summary="Remove the build cache",
    most=0,
    flags=(
        Flag("all", "a", help="Accepted for docker's sake: the whole cache is removed in any case"),
        Flag("filter", kind="filter", many=True, help="Only what this holds for (until=24h, type=exec.cachemount)"),
        Flag("force", "f", help="Do not ask"),
        Flag("keep-storage", kind="bytes", help="Leave this much, what was used last"),
    ),
)


def _prune(argv: Sequence[str], app: App) -> int:
    flags = parse(PRUNE, argv)
    if not flags.on("force"):
        print(
            "WARNING! This will remove the build cache.\nAre you sure you want to continue? [y/N] ", end="", flush=True
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Failure("builder prune has been cancelled")
    query = {
        "filters": as_filters(flags.many("filter")),
        "keep-storage": flags.number("keep-storage"),
        "all": flags.on("all"),
    }
    told = app.client().request("POST", "/build/prune", query, limited=False)
    gone = told.get("CachesDeleted") or []
    if gone:
        print("Deleted build cache objects:")
        for item in gone:
            print(item)
        print()
    print(f"Total reclaimed space: {human_size(told['SpaceReclaimed'] or 0)}")
    return 0


VERBS: groups.Verbs = {"build": build.main, "prune": _prune}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
