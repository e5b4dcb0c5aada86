"""`cove create`: make a container without starting it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.containerconfig import build
from desktop.cli.containerflags import CONTAINER_FLAGS, STEPS_FLAG
from desktop.cli.flags import Spec, parse
from desktop.cli.run import creating, refusal

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="create",
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Create a container without starting it; prints its ID",
    least=1,
    mixed=False,
    flags=(*CONTAINER_FLAGS, STEPS_FLAG),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    try:
        config = build(flags, app.environ, detach=False)
    except ValueError as e:
        raise refusal(SPEC, e) from e
    with creating(app, flags, config, "create") as (_, created):
        print(created.id)
        return 0
