"""`cove rm`: remove containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
        Flag("link", "l", help="Remove a link (NAME/ALIAS), not the container"),
        Flag("volumes", "v", help="Remove its anonymous volumes too"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client, force, volumes, link = app.client(), flags.on("force"), flags.on("volumes"), flags.on("link")

    def remove(name: str) -> None:
        # A name may be written with docker's leading slash; the path must not have two.
        client.remove(name.strip("/"), force=force, volumes=volumes, link=link)

    return each(flags.args, remove, missing_is_fine=force)
