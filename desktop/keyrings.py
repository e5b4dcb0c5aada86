"""The platform's keyring (macOS Keychain, Windows Credential Locker, Secret Service) as a credential helper.

The program `docker-credential-cove` speaks the protocol of https://github.com/docker/docker-credential-helpers, so
docker uses the same logins as `cove`. An index lists the servers, since a keyring itself cannot.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys

HELPER = "cove"
PROGRAM = f"docker-credential-{HELPER}"
_SERVICE = "Cove registry logins"
_INDEX = "servers"
_LEAST_PRIORITY = 1  # of keyring's backends, those that keep secrets safe


def usable_helper() -> str:
    """The name of the helper if there is a keyring, and docker would find the program; else ""."""
    if shutil.which(PROGRAM) is None:
        return ""
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return ""
    with contextlib.suppress(keyring.errors.KeyringError, RuntimeError):
        if float(keyring.get_keyring().priority) >= _LEAST_PRIORITY:
            return HELPER
    return ""


def _servers() -> dict[str, str]:
    import keyring

    kept = json.loads(keyring.get_password(_SERVICE, _INDEX) or "{}")
    return {str(server): str(user) for server, user in kept.items()}


def _store(text: str) -> None:
    import keyring

    given = json.loads(text)
    server, user = str(given["ServerURL"]), str(given["Username"])
    keyring.set_password(_SERVICE, server, json.dumps({"Username": user, "Secret": str(given["Secret"])}))
    keyring.set_password(_SERVICE, _INDEX, json.dumps(_servers() | {server: user}))


def _get(server: str) -> str:
    """Raises LookupError."""
    import keyring

    kept = keyring.get_password(_SERVICE, server)
    if kept is None or server == _INDEX:
        raise LookupError
    return json.dumps({"ServerURL": server, **json.loads(kept)})


def _erase(server: str) -> None:
    import keyring
    import keyring.errors

    with contextlib.suppress(keyring.errors.PasswordDeleteError):  # there is none
        keyring.delete_password(_SERVICE, server)
    if server in (servers := _servers()):
        del servers[server]
        keyring.set_password(_SERVICE, _INDEX, json.dumps(servers))


def entry() -> int:
    """The program. Exit status 1 with a message on stdout for what fails, as docker expects."""
    reply, status = _reply(sys.argv[1] if len(sys.argv) == 2 else "")
    sys.stdout.write(reply + "\n" if reply else "")
    return status


def _reply(verb: str) -> tuple[str, int]:
    """What to print, and the exit status."""
    try:
        import keyring.errors
    except ImportError:
        return "the Python package keyring is missing", 1
    try:
        match verb:
            case "list":
                return json.dumps(_servers()), 0
            case "store":
                _store(sys.stdin.read())
            case "get":
                return _get(sys.stdin.read().strip()), 0
            case "erase":
                _erase(sys.stdin.read().strip())
            case _:
                return f"Usage: {PROGRAM} <store|get|erase|list>", 1
    except (ValueError, KeyError) as e:
        return f"not a login: {e}", 1
    except LookupError:
        return "credentials not found in native keychain", 1
    except keyring.errors.KeyringError as e:
        return f"the keyring fails: {e}", 1
    return "", 0
