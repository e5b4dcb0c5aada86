"""`cove container VERB`: the verbs for containers under docker's longer names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from desktop.cli import groups

if TYPE_CHECKING:
    from desktop.cli.app import App

_SAME = (
    "attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port", "rename", "restart",
    "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait",
)  # fmt: skip
SPEC = groups.spec("container", "Containers")


def verb_of(module: str, *before: str) -> groups.Verb:
    """The verb that is the command in `module`, with flags put before the user's."""

    def run(argv: Sequence[str], app: App) -> int:
        status: int = import_module(f"desktop.cli.{module}").main([*before, *argv], app)
        return status

    return run


VERBS: groups.Verbs = {
    **{name: verb_of(name) for name in _SAME},
    "ls": verb_of("ps"),
    "list": verb_of("ps"),
    "remove": verb_of("rm"),
    "inspect": verb_of("inspect", "--type", "container"),
    "prune": groups.prune("container", "ContainersDeleted", "all stopped containers"),
}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
