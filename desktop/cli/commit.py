"""`cove commit`: make an image from a container's changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.flags import Flag, Spec, parse
from desktop.client import reference

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="commit",
    usage="[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    summary="Make an image from what a container has changed; prints its ID",
    least=1,
    most=2,
    flags=(
        Flag("author", "a", "string", "Who made it"),
        Flag("change", "c", "list", "Apply a Dockerfile instruction (CMD, ENV, …) to the image", many=True),
        Flag("message", "m", "string", "The commit message"),
        Flag("pause", "p", default=True, help="Freeze the container meanwhile"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    container, *name = flags.args
    query: dict[str, object] = {
        "container": container,
        "author": flags.text("author"),
        "changes": flags.many("change"),
        "comment": flags.text("message"),
        "pause": None if flags.on("pause") else False,
    }
    if name:
        wanted = reference.parse(name[0])
        query |= {"repo": wanted.repository, "tag": wanted.version}
    print(app.client().request("POST", "/commit", query, {}, limited=False)["Id"])
    return 0
