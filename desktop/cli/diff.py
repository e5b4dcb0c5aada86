"""`cove diff`: list the changes in a container's file system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli import streams
from desktop.cli.flags import Spec, parse
from desktop.client.api import path_part

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="diff",
    usage="CONTAINER",
    summary="Show what a container has changed in its file system: C changed, A added, D deleted",
    least=1,
    most=1,
)


def main(argv: Sequence[str], app: App) -> int:
    name = parse(SPEC, argv).args[0]
    changes = app.client().request("GET", f"/containers/{path_part(name)}/changes", limited=False) or ()
    lines = "".join(f"{'CAD'[change['Kind']]} {change['Path']}\n" for change in changes)
    streams.write_all(1, lines.encode("utf-8", "surrogateescape"))  # a name may have bytes that are no UTF-8
    return 0
