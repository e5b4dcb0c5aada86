"""`cove unpause`: thaw the processes of paused containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.each import each
from desktop.cli.flags import Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(name="unpause", usage="CONTAINER [CONTAINER...]", summary="Let frozen containers go on", least=1)


def main(argv: Sequence[str], app: App) -> int:
    return each(parse(SPEC, argv).args, app.client().unpause)
