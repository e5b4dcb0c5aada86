"""Logins at registries, where docker keeps them, so that `docker login` and `cove login` are one.

`config.json` in docker's folder (https://docs.docker.com/reference/cli/docker/login/#credential-stores): `auths` holds
base64 of user:password, or `credsStore` and `credHelpers` name a program `docker-credential-NAME` that keeps them. Its
protocol is that of https://github.com/docker/docker-credential-helpers. Loaded only by what asks a registry.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from desktop.client import reference

if TYPE_CHECKING:
    from desktop.client.api import ApiClient

HUB_SERVER = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset(("docker.io", "index.docker.io", "registry-1.docker.io"))
_TOKEN_USER = "<token>"  # a helper's user name for an identity token
_NOT_FOUND = "credentials not found in native keychain"
_HELPER_LIMIT_S = 60.0  # a keyring may ask its user for a password


class LoginError(Exception):
    """A login cannot be read or kept; str() is one line."""


class Login(NamedTuple):
    """What to show to one registry: user and password, or an identity token."""

    server: str
    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Login({self.server!r}, {self.username!r})"

    def auth_config(self) -> dict[str, str]:
        """The Engine API's AuthConfig."""
        shown = {"username": self.username, "password": self.password, "serveraddress": self.server}
        if self.identity_token:
            shown = {"identitytoken": self.identity_token, "serveraddress": self.server}
        return {key: value for key, value in shown.items() if value}

    def header(self) -> str:
        """X-Registry-Auth of a request."""
        return encoded(self.auth_config())


def encoded(value: Mapping[str, Any]) -> str:
    """JSON in URL-safe base64, as headers of the Engine API carry it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def server_of(address: str) -> str:
    """The name under which docker keeps the login of a registry that a user names: HOST[:PORT], or the Hub's URL."""
    host = host_of(address)
    return HUB_SERVER if not host or host in _HUB_HOSTS else host


def host_of(address: str) -> str:
    """HOST[:PORT] of a server's name or URL."""
    return address.partition("://")[2].partition("/")[0] if "://" in address else address.partition("/")[0]


def server_of_image(repository: str) -> str:
    """The server of a repository as a user types it."""
    return server_of(reference.split(repository)[0])


class Logins:
    """The logins in docker's folder. Read once, when made; each change is written at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises LoginError: config.json can't be read."""
        folder = environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
        self.path = os.path.join(folder, "config.json")
        self._environ = environ
        self._config = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, encoding="utf-8") as file:
                config = json.load(file)
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise LoginError(f"Error loading config file: {self.path}: {e.strerror}") from e
        except ValueError as e:
            raise LoginError(f"Error parsing config file ({self.path}): {e}") from e
        return config if isinstance(config, dict) else {}

    # --- reading

    def helper_of(self, server: str) -> str:
        """The helper that keeps the login of `server`, "" for the file."""
        helpers = self._config.get("credHelpers") or {}
        return str(helpers.get(host_of(server)) or helpers.get(server) or self._config.get("credsStore") or "")

    def find(self, server: str) -> Login | None:
        """The login at `server`, a name of `server_of`. Raises LoginError: the helper fails."""
        if helper := self.helper_of(server):
            kept = self._ask(helper, "get", server)
            if kept is None:
                return None
            user, secret = str(kept.get("Username") or ""), str(kept.get("Secret") or "")
            if user == _TOKEN_USER:
                return Login(server, identity_token=secret)
            return Login(server, user, secret)
        entry = self._entry(server)
        return None if entry is None else _from_file(server, entry)

    def all(self) -> tuple[list[Login], list[str]]:
        """Every login that is known, for a build, which may pull from anywhere; and what is wrong with helpers that
        fail: the logins of others count."""
        found: list[Login] = []
        faults: dict[str, None] = {}
        servers = dict.fromkeys((*(self._config.get("auths") or {}), *(self._config.get("credHelpers") or {})))
        try:
            if store := self._config.get("credsStore"):
                servers |= dict.fromkeys(self._ask(str(store), "list", "") or {})
        except LoginError as e:
            faults[str(e)] = None
        for server in servers:
            try:
                if (login := self.find(server)) is not None:
                    found.append(login)
            except LoginError as e:
                faults[str(e)] = None
        return found, list(faults)

    def _entry(self, server: str) -> Mapping[str, Any] | None:
        kept: Mapping[str, Any] = self._config.get("auths") or {}
        for name, entry in kept.items():
            if isinstance(entry, dict) and (name == server or host_of(name) == host_of(server)):
                return entry
        return None

    # --- changes

    def keep(self, login: Login, helper: str = "") -> str:
        """Keep a login, with `helper` from now on if one is named and none is set. Returns the helper that has it, ""
        for the file. Raises LoginError."""
        if not self.helper_of(login.server) and helper:
            self._config.setdefault("credHelpers", {})[host_of(login.server)] = helper
        known = self.helper_of(login.server)
        auths = self._config.setdefault("auths", {})
        if known:
            user, secret = login.username, login.password
            if login.identity_token:
                user, secret = _TOKEN_USER, login.identity_token
            self._ask(known, "store", json.dumps({"ServerURL": login.server, "Username": user, "Secret": secret}))
            auths[login.server] = {}
        else:
            basic = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
            auths[login.server] = {"auth": basic}
            if login.identity_token:
                auths[login.server]["identitytoken"] = login.identity_token
                auths[login.server]["auth"] = base64.b64encode(f"{login.username}:".encode()).decode()
        self._write()
        return known

    def forget(self, server: str) -> None:
        """Remove the login of `server`. Raises LoginError."""
        auths = self._config.get("auths") or {}
        names = [name for name in auths if name == server or host_of(name) == host_of(server)]
        if helper := self.helper_of(server):
            for name in dict.fromkeys([server, *names]):
                self._ask(helper, "erase", name)
        for name in names:
            del auths[name]
        self._write()

    def _write(self) -> None:
        path = os.path.realpath(self.path)  # the user may keep the file elsewhere, also on another file system
        temporary = f"{path}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(self._config, file, indent="\t")
            os.replace(temporary, path)
        except OSError as e:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise LoginError(f"{self.path}: {e.strerror}") from e

    def _ask(self, helper: str, verb: str, text: str) -> dict[str, Any] | None:
        """One call of a helper; None: it knows no such login. Raises LoginError."""
        import subprocess

        program = f"docker-credential-{helper}"
        try:
            done = subprocess.run(
                [program, verb],
                input=text.encode(),
                capture_output=True,
                timeout=_HELPER_LIMIT_S,
                env=dict(self._environ),
                check=False,
            )
        except FileNotFoundError:
            raise LoginError(
                f'error getting credentials - err: exec: "{program}": executable file not found in $PATH'
            ) from None
        except subprocess.TimeoutExpired:
            raise LoginError(f"error getting credentials - {program} did not answer") from None
        said = done.stdout.decode(errors="replace").strip()
        if done.returncode:
            if _NOT_FOUND in said:
                return None
            raise LoginError(f"error {verb}ing credentials - err: exit status {done.returncode}, out: `{said}`")
        try:
            answer = json.loads(said) if verb in ("get", "list") else {}
        except ValueError as e:
            raise LoginError(f"error getting credentials - {program}: {e}") from e
        return answer if isinstance(answer, dict) else {}


def _from_file(server: str, kept: Mapping[str, Any]) -> Login | None:
    username, password = str(kept.get("username") or ""), str(kept.get("password") or "")
    if kept.get("auth"):
        with contextlib.suppress(ValueError):
            username, _, password = base64.b64decode(str(kept["auth"])).decode().partition(":")
    login = Login(server, username, password.rstrip("\0"), str(kept.get("identitytoken") or ""))
    return login if login.auth_config().keys() - {"serveraddress"} else None


class Kept(NamedTuple):
    """What the registry said, and which helper keeps the login; "": docker's file, unencrypted."""

    status: str
    helper: str


def log_in(client: ApiClient, logins: Logins, login: Login) -> Kept:
    """Have the registry check `login`, then keep it: in the platform's keyring where there is one. Raises ApiError: the
    registry refuses; ConnectionFailed; LoginError."""
    from desktop import keyrings

    reply = client.request("POST", "/auth", None, login.auth_config(), limited=False) or {}
    token = str(reply.get("IdentityToken") or "")
    kept = login._replace(password="", identity_token=token) if token else login
    helper = "" if logins.helper_of(login.server) else keyrings.usable_helper()
    return Kept(str(reply.get("Status") or "Login Succeeded"), logins.keep(kept, helper))


def header_for(repository: str) -> str | None:
    """X-Registry-Auth for a request about `repository`; None: no login there. A login that can't be read is named on
    stderr, and the request goes without: as with docker, it may need none."""
    try:
        login = Logins(os.environ).find(server_of_image(repository))
    except LoginError as e:
        sys.stderr.write(f"WARNING: {e}\n")
        return None
    return None if login is None else login.header()


def headers_of_build() -> dict[str, str]:
    """X-Registry-Config for a build: all logins, by server. As `header_for`."""
    logins: list[Login] = []
    try:
        logins, faults = Logins(os.environ).all()
    except LoginError as e:
        faults = [str(e)]
    for fault in faults:
        sys.stderr.write(f"WARNING: {fault}\n")
    known = {login.server: login.auth_config() for login in logins}
    return {"X-Registry-Config": encoded(known)} if known else {}
