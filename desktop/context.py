"""Which engine the user means: one explicitly addressed, the VM's, or this Linux machine's own.

The first of these that says something counts: `-H`, `--context`, COVE_HOST, COVE_CONTEXT, DOCKER_HOST, the configured
context, and without any of them the VM. Shared by the command line and the window.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from desktop.client.http import Endpoint
from desktop.client.tlsfiles import TlsFiles
from desktop.paths import HostPaths

if TYPE_CHECKING:
    from desktop.madecontexts import Made

TURN_LIMIT_S, TURN_LOOK_S = 10.0, 0.01  # for the lock of the configuration file, which a change holds for milliseconds
VM, NATIVE, ADDRESS = "vm", "native", "address"
CONTEXTS: Mapping[str, str] = {
    VM: "a small Linux VM on this computer, started when needed",
    NATIVE: "the engine on this Linux machine itself, without a VM",
}


class ContextError(Exception):
    """No such context, or an address that cannot be one; str() is for the user."""


class Context(NamedTuple):
    """`kind` is VM, NATIVE or ADDRESS; `source` says who chose it, for messages and `cove context show`."""

    kind: str
    endpoint: Endpoint
    source: str
    made: str = ""  # the name of one that a user has made

    @property
    def name(self) -> str:
        return self.kind if self.kind != ADDRESS else self.made or str(self.endpoint)


def resolve(
    paths: HostPaths, environ: Mapping[str, str], *, host: str | None = None, context: str | None = None
) -> Context:
    """What `-H` (host), `--context`, the environment and the configuration ask for. Raises ContextError."""
    choices = (
        (host, ADDRESS, "-H"),
        (context, None, "--context"),
        (environ.get("COVE_HOST"), ADDRESS, "COVE_HOST"),
        (environ.get("COVE_CONTEXT"), None, "COVE_CONTEXT"),
        (environ.get("DOCKER_HOST"), ADDRESS, "DOCKER_HOST"),
        (configured(paths), None, str(paths.config_file)),
        (VM, None, "default"),
    )
    value, kind, source = next(choice for choice in choices if choice[0])
    assert value is not None
    if kind is None:
        return _named(value, paths, source)
    try:
        return Context(ADDRESS, Endpoint.parse(value, _tls(environ) if source != "COVE_HOST" else None), source)
    except ValueError as e:
        raise ContextError(str(e)) from e


def _named(name: str, paths: HostPaths, source: str) -> Context:
    if name == VM:
        return Context(VM, Endpoint.local(paths.engine_socket), source)
    if name == NATIVE:
        return Context(NATIVE, Endpoint.local(paths.native_socket), source)
    made = created(paths)
    if name not in made:
        raise ContextError(f"no context {name!r} (from {source}): there are {', '.join((*CONTEXTS, *made))}")
    try:
        return Context(ADDRESS, made[name].endpoint(), source, name)
    except ValueError as e:
        raise ContextError(str(e)) from e


def _tls(environ: Mapping[str, str]) -> TlsFiles | None:
    """DOCKER_TLS_VERIFY and DOCKER_CERT_PATH as docker reads them."""
    folder = environ.get("DOCKER_CERT_PATH")
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    if not verify and not environ.get("DOCKER_TLS"):
        return None
    return TlsFiles.in_folder(folder or str(Path.home() / ".docker"), verify=verify)


def configured(paths: HostPaths) -> str | None:
    """The context that `cove context use` chose. Raises ContextError if the file cannot be read."""
    name = read_settings(paths).get("context")
    return str(name) if name else None


def use(paths: HostPaths, name: str) -> None:
    """Make `name` the context from now on; other settings in the file stay. Raises ContextError."""
    if name not in CONTEXTS and name not in (made := created(paths)):
        raise ContextError(f"no context {name!r}: there are {', '.join((*CONTEXTS, *made))}")
    change_settings(paths, lambda settings: {**settings, "context": name})


def created(paths: HostPaths) -> dict[str, Made]:
    """The contexts that users have made, by name. Raises ContextError."""
    from desktop import madecontexts  # not at each start of `cove`

    try:
        return madecontexts.kept(read_settings(paths).get(madecontexts.KEY))
    except ValueError as e:
        raise ContextError(f"{paths.config_file}: {e}") from e


def create(paths: HostPaths, name: str, made: Made) -> None:
    """Raises ContextError: there is one of that name, or it cannot be one."""
    from desktop import madecontexts

    try:
        madecontexts.check_name(name)
    except ValueError as e:
        raise ContextError(str(e)) from e
    if name in CONTEXTS or name in created(paths):
        raise ContextError(f'context "{name}" already exists')
    _keep(paths, lambda known: {**known, name: made})


def remove(paths: HostPaths, name: str) -> None:
    """Raises ContextError: there is none that a user has made, or it is in use."""
    if name in CONTEXTS:
        raise ContextError(f'context "{name}" cannot be removed: it comes with Cove')
    if name not in created(paths):
        raise ContextError(f'context "{name}" not found')
    if configured(paths) == name:
        raise ContextError(f'context "{name}" is in use, choose another one first: cove context use vm')
    _keep(paths, lambda known: {key: one for key, one in known.items() if key != name})


def _keep(paths: HostPaths, change: Callable[[dict[str, Made]], dict[str, Made]]) -> None:
    from desktop import madecontexts

    key = madecontexts.KEY
    change_settings(
        paths, lambda found: {**found, key: madecontexts.to_keep(change(madecontexts.kept(found.get(key))))}
    )


def change_settings(paths: HostPaths, change: Callable[[dict[str, object]], Mapping[str, object]]) -> None:
    """Put in the configuration file what `change` makes of its settings. One process after the other does so: the
    window and the command line lose nothing of each other's. Blocks for moments. Raises ContextError."""
    file = paths.config_file
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _turn(paths):
            changed = {"schema": 1, **change(read_settings(paths))}
            temporary.write_text(json.dumps(changed, indent=2) + "\n", encoding="utf-8")
            temporary.replace(file)
    except OSError as e:
        raise ContextError(f"{file}: {e.strerror}") from e


@contextmanager
def _turn(paths: HostPaths) -> Iterator[None]:
    """Hold the lock of the configuration file, and wait for it before. Raises ContextError, OSError."""
    from desktop.platform import platform_for  # not at each start of `cove`
    from desktop.platform.base import AlreadyHeld

    deadline = time.monotonic() + TURN_LIMIT_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(platform_for(sys.platform).lock(paths.config_lock))
                break
            except AlreadyHeld as e:
                if time.monotonic() > deadline:
                    raise ContextError(f"{paths.config_file} is being changed by another program") from e
            time.sleep(TURN_LOOK_S)
        yield


def read_settings(paths: HostPaths) -> dict[str, object]:
    """The settings in the configuration file, which need not exist. Raises ContextError."""
    return settings_in(paths.config_file)


def settings_in(file: Path) -> dict[str, object]:
    """As `read_settings`."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except NotADirectoryError as e:
        advice = "move it away, or set COVE_HOME to another folder"
        raise ContextError(f"{file.parent} is a file, and Cove needs a folder there: {advice}") from e
    except OSError as e:
        raise ContextError(f"{file}: {e.strerror}") from e
    except ValueError as e:
        raise ContextError(f"{file} is not JSON: {e}") from e
    if not isinstance(settings, dict):
        raise ContextError(f"{file} is not a JSON object")
    return settings
