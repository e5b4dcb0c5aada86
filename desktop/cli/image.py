"""`cove image VERB`: the verbs for images under docker's longer names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli import groups
from desktop.cli.groups import Same

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = groups.spec("image", "Images")
VERBS: groups.Verbs = {
    **{name: Same(name) for name in ("build", "history", "load", "pull", "push", "save", "tag")},
    "ls": Same("images"),
    "list": Same("images"),
    "rm": Same("rmi"),
    "remove": Same("rmi"),
    "import": Same("import_"),
    "inspect": Same("inspect", "--type", "image"),
    "prune": groups.prune("image", "ImagesDeleted", "all dangling images"),
}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
