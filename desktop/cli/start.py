"""`cove start`: start stopped containers, with -a attached to this terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from desktop.cli import streams, terminal
from desktop.cli.app import FAILURES, Failure, message_of
from desktop.cli.flags import Flag, Parsed, Spec, parse
from desktop.cli.run import exit_status
from desktop.client.engine import ApiError

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="start",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Start stopped containers",
    least=1,
    flags=(
        Flag("attach", "a", help="Show its output, pass signals on, end with its status"),
        Flag("detach-keys", kind="string", help="Keys that detach from a container (ctrl-p,ctrl-q)"),
        Flag("interactive", "i", help="Attach our stdin too"),
        Flag("sig-proxy", default=True, help="Pass signals on to the process"),
    ),
    statuses=(("0", "started"), ("1", "it failed"), ("n", "with -a: the status of the container's process")),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    if flags.on("attach") or flags.on("interactive"):
        if len(flags.args) > 1:
            raise Failure("you cannot start and attach multiple containers at once")
        return _attached(app, flags)
    client = app.client()
    failed = []
    for name in flags.args:
        try:
            client.start(name, detach_keys=flags.text("detach-keys"))
        except FAILURES as e:
            failed.append(name)
            print(message_of(e), file=sys.stderr)
        else:
            print(name, flush=True)
    if failed:
        raise Failure(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _attached(app: App, flags: Parsed) -> int:
    client = app.client()
    container = client.inspect(flags.args[0])
    name, config = container["Id"], container["Config"]
    tty = bool(config["Tty"])
    stdin = flags.on("interactive") and bool(config["OpenStdin"])
    try:
        keys = terminal.parse_detach_keys(flags.text("detach-keys") or terminal.DEFAULT_DETACH_KEYS)
    except ValueError as e:
        raise Failure(str(e)) from e
    with contextlib.ExitStack() as undo:
        if flags.on("sig-proxy") and not tty:
            undo.enter_context(streams.proxying_signals(lambda signal: client.kill(name, signal)))
        stream = undo.enter_context(client.attach(name, stdin=stdin, detach_keys=flags.text("detach-keys"), tty=tty))
        removes = bool((container.get("HostConfig") or {}).get("AutoRemove"))
        waiter = undo.enter_context(client.waiter(name, "removed" if removes else "next-exit"))
        try:
            client.start(name, detach_keys=flags.text("detach-keys"))
        except ApiError:
            if removes:
                with contextlib.suppress(*FAILURES):
                    waiter.result()
            raise
        if tty:
            resize = partial(client.resize, name)
            streams.show_size(resize)
            undo.enter_context(streams.following_size(resize))
        if streams.Session(stream, stdin=stdin, tty=tty, detach_keys=keys).run() is streams.Ended.DETACHED:
            return 0
        return exit_status(waiter)
