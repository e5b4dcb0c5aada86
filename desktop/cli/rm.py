"""`cove rm`: remove containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.each import each
from desktop.cli.flags import Flag, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="rm",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Remove containers",
    least=1,
    flags=(
        Flag("force", "f", help="Kill it first if it runs; a missing one is no failure"),
        Flag("restorable", help="Into the bin: 'cove bin restore' brings it back for 24 hours"),
        Flag("link", "l", help="Remove a link (NAME/ALIAS), not the container"),
        Flag("volumes", "v", help="Remove its anonymous volumes too"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client, force, volumes, link = app.client(), flags.on("force"), flags.on("volumes"), flags.on("link")
    restorable = flags.on("restorable")
    if restorable:
        if link:
            raise Failure("--restorable is for containers, not for links")
        from desktop.cli import bin as bin_command
        from desktop.client import bin

        bin_command.entries(client)  # without a bin, it would be gone for good

    def remove(name: str) -> None:
        # A name may be written with docker's leading slash; the path must not have two.
        if restorable:
            bin.remove_container(client, name.strip("/"), force=force, volumes=volumes)
            return
        client.remove(name.strip("/"), force=force, volumes=volumes, link=link)

    return each(flags.args, remove, missing_is_fine=force)
