"""`cove kill`: send running containers a signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.each import each
from desktop.cli.flags import Flag, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="kill",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Send running containers a signal, SIGKILL if none is named",
    least=1,
    flags=(Flag("signal", "s", "string", "The signal's name or number"),),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client, signal = app.client(), flags.text("signal")
    return each(flags.args, lambda name: client.kill(name, signal))
