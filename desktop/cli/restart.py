"""`cove restart`: stop containers and start them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.each import each
from desktop.cli.flags import Spec, parse
from desktop.cli.stop import STOP_FLAGS

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="restart",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Restart containers; stopped ones are started",
    least=1,
    flags=STOP_FLAGS,
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client, timeout_s, signal = app.client(), flags.number("timeout"), flags.text("signal")
    return each(flags.args, lambda name: client.restart(name, timeout_s, signal))
