"""`cove login`: have a registry check a user and password, and keep them where docker keeps them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.client.engine import ApiError
from desktop.client.logins import HUB_SERVER, Login, LoginError, Logins, host_of, log_in, server_of

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="login",
    usage="[OPTIONS] [SERVER]",
    summary="Log in to a registry, Docker Hub if none is named. docker and cove share their logins.",
    most=1,
    flags=(
        Flag("password", "p", "string", "Password or personal access token (PAT)"),
        Flag("password-stdin", help="Take the password or token from stdin"),
        Flag("username", "u", "string", "Username"),
    ),
)
_UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{path}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    username, password = flags.text("username"), flags.text("password")
    if flags.on("password-stdin"):
        if flags.given("password"):
            raise Failure("conflicting options: cannot specify both --password and --password-stdin")
        if not username:
            raise Failure("the --password-stdin option requires --username to be set")
        password = sys.stdin.read().rstrip("\r\n")
    elif flags.given("password"):
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
    server = server_of(flags.args[0] if flags.args else "")
    try:
        logins = Logins(app.environ)
        if not username and not password and (known := logins.find(server)) is not None:
            print("Authenticating with existing credentials...", end="", flush=True)
            print(f" [Username: {known.username}]\n" if known.username else "\n", flush=True)
            try:
                return _log_in(app, logins, known)
            except ApiError as e:
                print(f"Login did not succeed, error: {e}", file=sys.stderr)
        username, password = _asked(server, username, password)
        return _log_in(app, logins, Login(server, username, password))
    except LoginError as e:
        raise Failure(str(e)) from e


def _asked(server: str, username: str | None, password: str | None) -> tuple[str, str]:
    """User and password, from the terminal where they are not given. Raises Failure."""
    if (not username or not password) and not sys.stdin.isatty():
        raise Failure("Error: Cannot perform an interactive login from a non TTY device")
    if not username:
        print(f"Username for {'Docker Hub' if server == HUB_SERVER else host_of(server)}: ", end="", flush=True)
        username = sys.stdin.readline().strip()
        if not username:
            raise Failure("username is required")
    if not password:
        from getpass import getpass

        password = getpass("Password: ")
        if not password:
            raise Failure("password is required")
    return username, password


def _log_in(app: App, logins: Logins, login: Login) -> int:
    """Raises ApiError: the registry refuses; LoginError."""
    kept = log_in(app.client(), logins, login)
    if not kept.helper:
        print(_UNENCRYPTED.format(path=logins.path), file=sys.stderr)
    print(kept.status)
    return 0
