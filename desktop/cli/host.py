"""`cove host`: the host agent in the foreground. Commands that need the VM start it in the background themselves."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.flags import Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="host",
    usage="",
    summary="Run the host agent, which looks after the VM, until SIGTERM; it then stops the VM",
    most=0,
    statuses=(("0", "it was told to quit"), ("1", "it can't run"), ("3", "one runs already")),
)


def main(argv: Sequence[str], app: App) -> int:
    parse(SPEC, argv)
    # Import it by name at run time: the command line must start without the agent's large libraries.
    runpy.run_module("desktop.hostagent", run_name="__main__", alter_sys=True)
    return 0
