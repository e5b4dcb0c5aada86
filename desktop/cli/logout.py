"""`cove logout`: forget the login at a registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Spec, parse
from desktop.client.logins import LoginError, Logins, server_of

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(name="logout", usage="[SERVER]", summary="Log out from a registry, Docker Hub if none is named", most=1)


def main(argv: Sequence[str], app: App) -> int:
    args = parse(SPEC, argv).args
    server = server_of(args[0] if args else "")
    print(f"Removing login credentials for {server}")
    try:
        Logins(app.environ).forget(server)
    except LoginError as e:
        raise Failure(f"WARNING: could not erase credentials:\n{server}: {e}") from e
    return 0
