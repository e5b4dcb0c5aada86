"""`cove container VERB`: the verbs for containers under docker's longer names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli import groups
from desktop.cli.groups import Same

if TYPE_CHECKING:
    from desktop.cli.app import App

_SAME = (
    "attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port", "rename", "restart",
    "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait",
)  # fmt: skip
SPEC = groups.spec("container", "Containers")


VERBS: groups.Verbs = {
    **{name: Same(name) for name in _SAME},
    "ls": Same("ps"),
    "list": Same("ps"),
    "remove": Same("rm"),
    "inspect": Same("inspect", "--type", "container"),
    "prune": groups.prune("container", "ContainersDeleted", "all stopped containers"),
}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
