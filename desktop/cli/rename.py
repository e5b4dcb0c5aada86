"""`cove rename`: another name for a container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.flags import Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(name="rename", usage="CONTAINER NEW_NAME", summary="Rename a container", least=2, most=2)


def main(argv: Sequence[str], app: App) -> int:
    container, name = parse(SPEC, argv).args
    app.client().rename(container, name)
    return 0
