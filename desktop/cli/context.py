"""`cove context`: where containers run. ls, use, show, and docker's own context: install, uninstall."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from desktop import context, dockercontext, madecontexts
from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse, parse_bool
from desktop.cli.table import Row, show
from desktop.client.http import Endpoint

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="context",
    usage="ls | use NAME | show [--host] | create NAME --docker OPTIONS | rm NAME... | install | uninstall",
    summary="Choose where containers run",
    least=1,
    mixed=False,
    more="Commands:\n  ls          List the contexts\n"
    "  use NAME    Run there from now on: vm, native, or one that was made\n"
    "  show        The context in use; with --host its address, for DOCKER_HOST\n"
    "  create NAME Make one of an engine on another machine: host=ssh://[user@]host[:port][/socket], or\n"
    "              host=tcp://host:port,ca=FILE,cert=FILE,key=FILE\n"
    "  rm NAME...  Remove contexts that were made\n"
    "  install     Make docker's context “cove” for the engine in use: docker context use cove\n"
    "  uninstall   Remove docker's context “cove”",
)
LS = Spec(
    name="context ls",
    usage="[OPTIONS]",
    summary="List the contexts",
    most=0,
    flags=(
        Flag("format", kind="string", help="A template, `table` and a template, or json"),
        Flag("quiet", "q", help="Names only"),
    ),
)
USE = Spec(name="context use", usage="NAME", summary="Run there from now on", least=1, most=1)
SHOW = Spec(
    name="context show",
    usage="[OPTIONS]",
    summary="The context in use",
    most=0,
    flags=(Flag("host", help="Its address, as DOCKER_HOST takes it"),),
)
CREATE = Spec(
    name="context create",
    usage="[OPTIONS] CONTEXT",
    summary="Make a context of an engine on another machine",
    least=1,
    most=1,
    flags=(
        Flag("description", kind="string", help="What it is for"),
        Flag("docker", kind="string", help="host=…, and for TLS ca=, cert=, key= and skip-tls-verify="),
    ),
)
RM = Spec(name="context rm", usage="CONTEXT [CONTEXT...]", summary="Remove contexts that were made", least=1)
INSTALL = Spec(name="context install", usage="", summary="Make docker's context “cove” for the engine in use", most=0)
UNINSTALL = Spec(name="context uninstall", usage="", summary="Remove docker's context “cove”", most=0)
_COLUMNS = {"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "ENDPOINT"}


def main(argv: Sequence[str], app: App) -> int:
    verb, *rest = parse(SPEC, argv).args
    verbs = {
        "ls": _ls, "list": _ls, "use": _use, "show": _show, "create": _create, "rm": _rm, "remove": _rm,
        "install": _install, "uninstall": _uninstall,
    }  # fmt: skip
    if verb not in verbs:
        raise Failure(f"cove: unknown command: cove context {verb}", hint="\nRun 'cove context --help'")
    return verbs[verb](rest, app)


def _ls(argv: Sequence[str], app: App) -> int:
    flags = parse(LS, argv)
    chosen = app.context()
    sockets = {context.VM: app.paths.engine_socket, context.NATIVE: app.paths.native_socket}
    found = [(name, told, str(Endpoint.local(sockets[name]))) for name, told in context.CONTEXTS.items()]
    try:
        found += [(name, made.description, made.host) for name, made in context.created(app.paths).items()]
    except context.ContextError as e:
        raise Failure(str(e)) from e
    rows = [
        Row(
            Name=f"{name} *" if name == chosen.name and not flags.text("format") else name,
            Description=description,
            DockerEndpoint=endpoint,
            Current=name == chosen.name,
        )
        for name, description, endpoint in found
    ]
    if flags.on("quiet"):
        print("\n".join(name for name, _, _ in found))
        return 0
    show(rows, _COLUMNS, flags.text("format"))
    if chosen.kind == context.ADDRESS and not chosen.made:
        print(f"\n{chosen.source} is set, so the engine at {chosen.endpoint} is used.")
    return 0


def _use(argv: Sequence[str], app: App) -> int:
    name = parse(USE, argv).args[0]
    try:
        context.use(app.paths, name)
    except context.ContextError as e:
        raise Failure(str(e)) from e
    print(name)
    for variable in ("COVE_HOST", "COVE_CONTEXT", "DOCKER_HOST"):
        if os.environ.get(variable):
            raise Failure(f"Warning: {variable} is set and goes before the context", status=0)
    return 0


def _create(argv: Sequence[str], app: App) -> int:
    flags = parse(CREATE, argv)
    [name] = flags.args
    try:
        made = made_of(flags.text("docker") or "", flags.text("description") or "")
        context.create(app.paths, name, made)
    except (ValueError, context.ContextError) as e:
        raise Failure(str(e)) from e
    print(name)
    print(f'Successfully created context "{name}"', file=sys.stderr)
    return 0


def made_of(text: str, description: str) -> madecontexts.Made:
    """From docker's `--docker host=…,ca=…,cert=…,key=…,skip-tls-verify=…`. Raises ValueError."""
    found: dict[str, str] = {}
    for option in text.split(","):
        name, equals, value = option.partition("=")
        if not equals or name not in ("host", "ca", "cert", "key", "skip-tls-verify"):
            raise ValueError(f'unrecognized config key: "{name}"')
        found[name] = value
    if not found.get("host"):
        raise ValueError("docker endpoint configuration is required: host=ssh://[user@]host or host=tcp://host:2376")
    files = {name: str(Path(found[name]).absolute()) for name in ("ca", "cert", "key") if found.get(name)}
    for path in files.values():
        if not Path(path).is_file():
            raise ValueError(f"open {path}: no such file or directory")
    try:
        is_open = parse_bool(found.get("skip-tls-verify", "false"))
    except ValueError as e:
        raise ValueError(f"skip-tls-verify: {e}") from e
    made = madecontexts.Made(found["host"], description, skip_tls_verify=is_open, **files)
    made.endpoint()
    return made


def _rm(argv: Sequence[str], app: App) -> int:
    for name in parse(RM, argv).args:
        try:
            context.remove(app.paths, name)
        except context.ContextError as e:
            raise Failure(str(e)) from e
        print(name)
    return 0


def _show(argv: Sequence[str], app: App) -> int:
    flags = parse(SHOW, argv)
    chosen = app.context()
    print(chosen.endpoint if flags.on("host") else chosen.name)
    return 0


def _install(argv: Sequence[str], app: App) -> int:
    parse(INSTALL, argv)
    try:
        host, is_new = dockercontext.install_for(app.context(), app.paths, app.environ, Path.home())
    except (dockercontext.DockerContextError, context.ContextError, OSError) as e:
        raise Failure(str(e)) from e
    print(f"docker's context “{dockercontext.NAME}” {'was made' if is_new else 'was changed'}: {host}")
    print(f"Use it: docker context use {dockercontext.NAME}")
    return 0


def _uninstall(argv: Sequence[str], app: App) -> int:
    parse(UNINSTALL, argv)
    try:
        was_there = dockercontext.uninstall(dockercontext.config_folder(app.environ, Path.home()))
    except (dockercontext.DockerContextError, OSError) as e:
        raise Failure(str(e)) from e
    print(f"docker's context “{dockercontext.NAME}” {'is removed' if was_there else 'does not exist'}")
    return 0
