"""`cove top`: the processes of a container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.flags import Spec, parse
from desktop.cli.table import print_table

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(name="top", usage="CONTAINER [PS OPTIONS]", summary="Show a container's processes", least=1, mixed=False)


def main(argv: Sequence[str], app: App) -> int:
    name, *ps_args = parse(SPEC, argv).args
    told = app.client().top(name, " ".join(ps_args) or None)
    print_table(told["Titles"], told["Processes"], least_width=20)
    return 0
