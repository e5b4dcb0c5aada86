"""`cove bin`: ls, restore, rm, empty. What `--restorable` and the window have deleted is there for 24 hours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from desktop.cli import groups
from desktop.cli.app import Failure
from desktop.cli.each import each
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import Row, ago, human_size, show
from desktop.client import bin
from desktop.client.engine import EngineClient

if TYPE_CHECKING:
    from desktop.cli.app import App

LS = Spec(
    name="bin ls",
    usage="[OPTIONS]",
    summary="List deleted containers, volumes and images that can be brought back",
    most=0,
    flags=(
        Flag("format", kind="string", help="A template, `table` and a template, or json"),
        Flag("quiet", "q", help="IDs only"),
    ),
)
RESTORE = Spec(
    name="bin restore",
    usage="[OPTIONS] [DELETED...]",
    summary="Bring back deleted containers, volumes and images, by ID or by the name that they had; without one, the "
    "last deletion",
    flags=(Flag("name", kind="string", help="The name that it gets; for one only"),),
)
RM = Spec(name="bin rm", usage="DELETED [DELETED...]", summary="Delete for good what is in the bin", least=1)
EMPTY = Spec(
    name="bin empty",
    usage="[OPTIONS]",
    summary="Delete all in the bin for good",
    most=0,
    flags=(Flag("force", "f", help="Do not ask"),),
)
_COLUMNS = {"ID": "ID", "Type": "TYPE", "Name": "NAME", "Image": "IMAGE", "Size": "SIZE", "Deleted": "DELETED"}


def entries(client: EngineClient) -> list[bin.Deleted]:
    """Raises Failure if the engine has no bin."""
    found = bin.entries(client)
    if found is None:
        raise Failure("this engine has no bin: what is deleted there is gone for good")
    return found


def _ls(argv: Sequence[str], app: App) -> int:
    flags = parse(LS, argv)
    found = entries(app.client())
    if flags.on("quiet"):
        for entry in found:
            print(entry.id)
        return 0
    rows = [
        Row(
            ID=entry.id,
            Type=entry.kind,
            Name=entry.name,
            Image=entry.image,
            Size=human_size(entry.size_bytes),
            Deleted=ago(datetime.fromisoformat(entry.deleted).timestamp()),
            Expires=entry.expires,
            Subject=entry.subject,
        )
        for entry in found
    ]
    show(rows, _COLUMNS, flags.text("format"))
    return 0


def _restore(argv: Sequence[str], app: App) -> int:
    flags = parse(RESTORE, argv)
    client, name = app.client(), flags.text("name")
    if name and len(flags.args) > 1:
        raise Failure("--name is for one thing to bring back")
    found = entries(client)
    if not flags.args and not found:
        raise Failure("there is nothing to bring back")

    def restore(ref: str) -> None:
        bin.restore(client, ref, name)

    return each(flags.args or [found[0].name], restore)


def _rm(argv: Sequence[str], app: App) -> int:
    flags, client = parse(RM, argv), app.client()
    entries(client)
    return each(flags.args, lambda ref: bin.delete(client, ref))


def _empty(argv: Sequence[str], app: App) -> int:
    flags, client = parse(EMPTY, argv), app.client()
    found = entries(client)
    if found and not flags.on("force"):
        print(f"WARNING! This will delete for good the {len(found)} containers, volumes and images in the bin.")
        print("Are you sure you want to continue? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Failure("bin empty has been cancelled")
    count, size = bin.empty(client)
    print(f"Deleted: {count}, total reclaimed space: {human_size(size)}")
    return 0


SPEC = groups.spec("bin", "What was deleted and can be brought back for 24 hours")
VERBS: groups.Verbs = {"ls": _ls, "list": _ls, "restore": _restore, "rm": _rm, "empty": _empty}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
