"""`cove export`: a container's file system as a tar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.save import write_to
from desktop.client.api import ByteStream, path_part

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="export",
    usage="[OPTIONS] CONTAINER",
    summary="Write a container's file system as a tar, to a file or to stdout",
    least=1,
    most=1,
    flags=(Flag("output", "o", "string", "Write this file instead of stdout"),),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    path = flags.text("output")
    if path is None and sys.stdout.isatty():
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    with ByteStream(app.client().call("GET", f"/containers/{path_part(flags.args[0])}/export")) as pieces:
        write_to(path, pieces)
    return 0
