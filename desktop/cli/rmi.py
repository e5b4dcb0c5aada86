"""`cove rmi`: remove images, or single names of images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import FAILURES, message_of
from desktop.cli.flags import Flag, Spec, parse
from desktop.client.engine import ApiError

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="rmi",
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Remove images",
    least=1,
    flags=(
        Flag("force", "f", help="Also if containers use it; a missing one is no failure"),
        Flag("no-prune", help="Keep untagged parents"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client = app.client()
    failed = False
    for name in flags.args:
        try:
            done = client.image_remove(name, force=flags.on("force"), no_prune=flags.on("no-prune"))
        except FAILURES as e:
            failed = failed or not (flags.on("force") and isinstance(e, ApiError) and e.status == 404)
            sys.stdout.flush()
            print(message_of(e), file=sys.stderr)
            continue
        for entry in done:
            for what, value in entry.items():
                print(f"{what}: {value}")
    return 1 if failed else 0
