"""`cove stop`: send containers their stop signal, and kill those that have not ended in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.each import each
from desktop.cli.flags import Flag, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

STOP_FLAGS = (
    Flag("signal", "s", "string", "Signal to send first"),
    Flag("timeout", "t", "int", "Seconds until it is killed; -1: never", also=("time",)),
)
SPEC = Spec(
    name="stop",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Stop running containers",
    least=1,
    flags=STOP_FLAGS,
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client, timeout_s, signal = app.client(), flags.number("timeout"), flags.text("signal")
    return each(flags.args, lambda name: client.stop(name, timeout_s, signal))
