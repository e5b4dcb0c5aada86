"""What is known of registries: the logins of this user, and what the engine has for each. No passwords."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from desktop.client.engine import ApiError, EngineClient, ProtocolError
from desktop.client.logins import HUB_SERVER, Login, LoginError, Logins, host_of, log_in, server_of


@dataclass(frozen=True, slots=True)
class Account:
    """A login: at which server, as whom (empty: by a token), and which helper keeps it (empty: docker's file)."""

    server: str
    user: str
    helper: str

    @property
    def name(self) -> str:
        return "Docker Hub" if self.server == HUB_SERVER else host_of(self.server)


@dataclass(frozen=True, slots=True)
class Certified:
    """A registry with certificates of its own, and their files where the engine runs."""

    host: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registries:
    """`file` is docker's configuration; `faults`: why logins could not be read. `is_told`: the engine tells of the
    three last ones."""

    file: str
    accounts: tuple[Account, ...]
    faults: tuple[str, ...]
    is_told: bool
    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    certificates: tuple[Certified, ...] = ()


def read(client: EngineClient, environ: Mapping[str, str]) -> Registries:
    """Blocks. Raises ConnectionFailed, ProtocolError, and ApiError but for an engine that is not Cove's."""
    faults: list[str] = []
    accounts: list[Account] = []
    file = ""
    try:
        logins = Logins(environ)
        file = logins.path
        found, faults = logins.all()
        accounts = [Account(one.server, one.username, logins.helper_of(one.server)) for one in found]
    except LoginError as e:
        faults = [str(e)]
    accounts.sort(key=lambda account: (account.server != HUB_SERVER, account.name))
    try:
        told = client.json_object("GET", "/cove/v1/registries")
    except ApiError as e:
        if e.status != 404:
            raise
        return Registries(file, tuple(accounts), tuple(faults), is_told=False)
    try:
        return Registries(
            file,
            tuple(accounts),
            tuple(faults),
            is_told=True,
            insecure=tuple(map(str, told["insecure"])),
            mirrors=tuple(map(str, told["mirrors"])),
            certificates=tuple(
                Certified(str(one["host"]), tuple(map(str, one["files"]))) for one in told["certificates"]
            ),
        )
    except (KeyError, TypeError) as e:
        raise ProtocolError(f"not what the engine's registries are: {e!r}") from e


def add(client: EngineClient, environ: Mapping[str, str], address: str, user: str, password: str) -> str:
    """Log in, as `cove login` does; the helper that keeps it. Raises ApiError, ConnectionFailed, OSError."""
    try:
        return log_in(client, Logins(environ), Login(server_of(address), user, password)).helper
    except LoginError as e:
        raise OSError(str(e)) from e


def remove(environ: Mapping[str, str], server: str) -> None:
    """Log out, as `cove logout` does. Raises OSError."""
    try:
        Logins(environ).forget(server)
    except LoginError as e:
        raise OSError(str(e)) from e


def test(client: EngineClient, environ: Mapping[str, str], address: str) -> bool:
    """Ask a registry whether it lets in the login that is kept for it, or nobody; whether there is a login. Raises
    ApiError with the registry's reason, ConnectionFailed, OSError."""
    server = server_of(address)
    try:
        login = Logins(environ).find(server)
    except LoginError as e:
        raise OSError(str(e)) from e
    config = {"serveraddress": server} if login is None else login.auth_config()
    client.request("POST", "/auth", None, config, limited=False)
    return login is not None
