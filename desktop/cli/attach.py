"""`cove attach`: connect this terminal to a running container."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from desktop.cli import streams, terminal
from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.run import exit_status

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="attach",
    usage="[OPTIONS] CONTAINER",
    summary="Attach this terminal's stdin, stdout and stderr to a running container",
    least=1,
    most=1,
    flags=(
        Flag("detach-keys", kind="string", help="Keys that detach from a container (ctrl-p,ctrl-q)"),
        Flag("no-stdin", help="Do not attach stdin"),
        Flag("sig-proxy", default=True, help="Pass signals on to the process"),
    ),
    statuses=(("n", "the status of the container's process"), ("1", "detached, or it failed")),
)
_REFUSED = {
    "Paused": "You cannot attach to a paused container, unpause it first",
    "Restarting": "You cannot attach to a restarting container, wait until it is running",
}


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    try:
        keys = terminal.parse_detach_keys(flags.text("detach-keys") or terminal.DEFAULT_DETACH_KEYS)
    except ValueError as e:
        raise Failure(str(e)) from e
    client = app.client()
    container = client.inspect(flags.args[0])
    state, config, name = container["State"], container["Config"], container["Id"]
    if not state["Running"]:
        raise Failure("You cannot attach to a stopped container, start it first")
    for key, refusal in _REFUSED.items():
        if state.get(key):
            raise Failure(refusal)
    tty = bool(config["Tty"])
    stdin = not flags.on("no-stdin") and bool(config["OpenStdin"])
    if complaint := streams.check_terminal(stdin=stdin, tty=tty):
        raise Failure(complaint)
    with contextlib.ExitStack() as undo:
        if flags.on("sig-proxy") and not tty:
            undo.enter_context(streams.proxying_signals(lambda signal: client.kill(name, signal)))
        waiter = undo.enter_context(client.waiter(name))
        stream = undo.enter_context(client.attach(name, stdin=stdin, detach_keys=flags.text("detach-keys"), tty=tty))
        if tty:
            resize = partial(client.resize, name)
            streams.show_size(resize, redraw=True)
            undo.enter_context(streams.following_size(resize))
        if streams.Session(stream, stdin=stdin, tty=tty, detach_keys=keys).run() is streams.Ended.DETACHED:
            raise Failure("read escape sequence")  # status 1, as docker's
        return exit_status(waiter)
