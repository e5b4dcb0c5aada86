"""`cove wait`: wait until containers end and print their exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import FAILURES, message_of
from desktop.cli.flags import Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="wait",
    usage="CONTAINER [CONTAINER...]",
    summary="Wait until containers end, then print their exit statuses",
    least=1,
)


def main(argv: Sequence[str], app: App) -> int:
    names = parse(SPEC, argv).args  # before the client is made, which may start the VM
    failed = False
    client = app.client()
    for name in names:
        try:
            print(client.wait(name), flush=True)
        except FAILURES as e:
            failed = True
            print(message_of(e), file=sys.stderr)
    return 1 if failed else 0
