"""`cove rmi`: remove images, or single names of images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import FAILURES, Failure, message_of
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.platforms import sent
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
        Flag("restorable", help="Into the bin: 'cove bin restore' brings it back for 24 hours"),
        Flag("no-prune", help="Keep untagged parents"),
        Flag("platform", kind="string", help="Only this platform's image (linux/arm64)", many=True),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client = app.client()
    platforms = [text for one in flags.many("platform") if (text := sent(client, one, (1, 50)))]
    restorable = flags.on("restorable")
    if restorable:
        if platforms:
            raise Failure("--restorable is for all platforms of an image")
        from desktop.cli import bin as bin_command
        from desktop.client import bin

        bin_command.entries(client)  # without a bin, it would be gone for good
    failed = False
    for name in flags.args:
        try:
            if restorable:
                done = bin.remove_image(client, name, force=flags.on("force"))
            else:
                done = client.image_remove(
                    name, force=flags.on("force"), no_prune=flags.on("no-prune"), platforms=platforms
                )
        except FAILURES as e:
            failed = failed or not (flags.on("force") and isinstance(e, ApiError) and e.status == 404)
            sys.stdout.flush()
            print(message_of(e), file=sys.stderr)
            continue
        for entry in done:
            for what, value in entry.items():
                print(f"{what}: {value}")
    return 1 if failed else 0
