"""`cove diff`: list the changes in a container's file system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
    for change in app.client().request("GET", f"/containers/{path_part(name)}/changes", limited=False) or ():
        print("CAD"[change["Kind"]], change["Path"])
    return 0
