"""`cove exec`: a command inside a running container."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from desktop.cli import streams, terminal
from desktop.cli.app import Failure
from desktop.cli.containerconfig import environment
from desktop.cli.flags import Flag, Parsed, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="exec",
    usage="[OPTIONS] CONTAINER COMMAND [ARG...]",
    summary="Run a command in a running container",
    least=2,
    mixed=False,
    flags=(
        Flag("detach", "d", help="Do not wait for it"),
        Flag("detach-keys", kind="string", help="Keys that detach from the command (ctrl-p,ctrl-q)"),
        Flag("env", "e", "list", "Set an environment variable", many=True),
        Flag("env-file", kind="list", many=True, help="Read environment variables from a file"),
        Flag("interactive", "i", help="Keep stdin open"),
        Flag("privileged", help="All capabilities"),
        Flag("tty", "t", help="Give it a terminal"),
        Flag("user", "u", "string", "User name or number (user[:group])"),
        Flag("workdir", "w", "string", "Working directory inside"),
    ),
    statuses=(
        ("n", "the status of the command"),
        ("1", "the container is not running, or the engine failed"),
        ("126", "the command cannot be executed"),
        ("127", "the command was not found"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    container, *command = flags.args
    config = _config(flags, command, app)
    try:
        keys = terminal.parse_detach_keys(flags.text("detach-keys") or terminal.DEFAULT_DETACH_KEYS)
    except ValueError as e:
        raise Failure(str(e)) from e
    client = app.client()
    client.inspect(container)  # fails here, before an exec is created that would never be started
    detach, tty, stdin = flags.on("detach"), flags.on("tty"), flags.on("interactive")
    if not detach and (complaint := streams.check_terminal(stdin=stdin, tty=tty)):
        raise Failure(complaint)
    size = (terminal.size_of(1) or terminal.size_of(0)) if tty else None
    if size is not None:
        config["ConsoleSize"] = list(size)
    exec_id = client.exec_create(container, config)
    if detach:
        client.exec_start_detached(exec_id, tty=tty)
        return 0
    with contextlib.ExitStack() as undo:
        stream = undo.enter_context(client.exec_start(exec_id, tty=tty, console_size=size))
        if tty:
            resize = partial(client.resize_exec, exec_id)
            streams.show_size(resize)
            undo.enter_context(streams.following_size(resize))
        if streams.Session(stream, stdin=stdin, tty=tty, detach_keys=keys).run() is streams.Ended.DETACHED:
            raise Failure("read escape sequence")  # status 1, as docker's
        return int(client.exec_inspect(exec_id)["ExitCode"] or 0)


def _config(flags: Parsed, command: list[str], app: App) -> dict[str, Any]:
    try:
        env = environment(flags, app.environ)
    except ValueError as e:
        raise Failure(str(e)) from e
    detach = flags.on("detach")
    config: dict[str, Any] = {
        "AttachStdin": flags.on("interactive") and not detach,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "Tty": flags.on("tty"),
        "Cmd": command,
        "Env": env or None,
        "User": flags.text("user") or "",
        "WorkingDir": flags.text("workdir") or "",
        "Privileged": flags.on("privileged"),
    }
    if keys := flags.text("detach-keys"):
        config["DetachKeys"] = keys
    return config
