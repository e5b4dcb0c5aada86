"""`cove pause`: freeze all processes of containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.each import each
from desktop.cli.flags import Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(name="pause", usage="CONTAINER [CONTAINER...]", summary="Freeze all processes of containers", least=1)


def main(argv: Sequence[str], app: App) -> int:
    return each(parse(SPEC, argv).args, app.client().pause)
