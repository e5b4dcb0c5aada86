"""`cove image VERB`: the verbs for images under docker's longer names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli import groups
from desktop.cli.container import verb_of

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = groups.spec("image", "Images")
VERBS: groups.Verbs = {
    **{name: verb_of(name) for name in ("build", "history", "load", "pull", "push", "save", "tag")},
    "ls": verb_of("images"),
    "list": verb_of("images"),
    "rm": verb_of("rmi"),
    "remove": verb_of("rmi"),
    "import": verb_of("import_"),
    "inspect": verb_of("inspect", "--type", "image"),
    "prune": groups.prune("image", "ImagesDeleted", "all dangling images"),
}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
