"""`cove run`: resolve, pull, create, mount and start; then this terminal is attached until the container ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from desktop.cli import streams, terminal
from desktop.cli.app import FAILURES, Failure, message_of
from desktop.cli.containerconfig import build
from desktop.cli.containerflags import CONTAINER_FLAGS, STEPS_FLAG
from desktop.cli.flags import Flag, Parsed, Spec, UsageError, parse
from desktop.cli.progress import StepView
from desktop.client import reference
from desktop.client.engine import ApiError, ConnectionFailed, ProtocolError, StreamFailed, Waiter
from desktop.client.run import Created, Pipeline, Pull, RunOptions

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="run",
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Create a container from an image and start it",
    least=1,
    mixed=False,
    flags=(
        *CONTAINER_FLAGS,
        STEPS_FLAG,
        Flag("detach", "d", help="Leave it running in the background and print its ID"),
        Flag("sig-proxy", default=True, help="Pass signals on to the process"),
    ),
    statuses=(
        ("n", "the status of the container's process"),
        ("125", "Cove or the engine failed, or a flag is wrong"),
        ("126", "the command cannot be executed"),
        ("127", "the command was not found"),
    ),
)


class RunFailed(Failure):
    """A failure of `run` or `create`: docker's two lines, and an exit status for the kind of failure."""

    def __init__(self, command: str, message: str, status: int = 125) -> None:
        super().__init__(f"cove: {message}", status, hint=f"\nRun 'cove {command} --help' for more information")


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    detach = flags.on("detach")
    if detach and flags.many("attach"):
        raise Failure("conflicting options: cannot specify both --attach and --detach", 1)
    try:
        config = build(flags, app.environ, detach=detach)
        keys = terminal.parse_detach_keys(flags.text("detach-keys") or terminal.DEFAULT_DETACH_KEYS)
    except ValueError as e:
        raise refusal(SPEC, e) from e
    if not detach and (complaint := streams.check_terminal(stdin=config["AttachStdin"], tty=config["Tty"])):
        raise Failure(complaint, 1)
    try:
        return _run(app, flags, config, keys)
    except FAILURES as e:
        raise RunFailed("run", message_of(e), status_of(e)) from e


def _run(app: App, flags: Parsed, config: dict[str, Any], keys: bytes) -> int:
    client = app.client()
    with creating(app, flags, config, "run") as (pipeline, created):
        attaches = [config["AttachStdin"], config["AttachStdout"], config["AttachStderr"]]
        if not any(attaches):
            pipeline.start(created)
            print(created.id)
            return 0
        with contextlib.ExitStack() as undo:
            if flags.on("sig-proxy"):
                undo.enter_context(streams.proxying_signals(lambda name: client.kill(created.id, name)))
            stream = undo.enter_context(
                client.attach(
                    created.id,
                    stdin=attaches[0],
                    stdout=attaches[1],
                    stderr=attaches[2],
                    detach_keys=flags.text("detach-keys"),
                    tty=config["Tty"],
                )
            )
            waiter = undo.enter_context(client.waiter(created.id, "removed" if flags.on("rm") else "next-exit"))
            try:
                pipeline.start(created, detach_keys=flags.text("detach-keys"))
            except ApiError:
                stream.close()
                if flags.on("rm"):  # the engine removes it; return only when that is done
                    with contextlib.suppress(*FAILURES):
                        waiter.result()
                raise
            if config["Tty"]:
                resize = partial(client.resize, created.id)
                streams.show_size(resize)
                undo.enter_context(streams.following_size(resize))
            session = streams.Session(stream, stdin=attaches[0], tty=config["Tty"], detach_keys=keys)
            if session.run() is streams.Ended.DETACHED:
                return 0
            if not attaches[1] and not attaches[2]:
                print(created.id)
            return exit_status(waiter)


@contextlib.contextmanager
def creating(app: App, flags: Parsed, config: dict[str, Any], command: str) -> Iterator[tuple[Pipeline, Created]]:
    """The container that the flags describe, with its ID written to the cidfile; yields pipeline and Created."""
    image = str(config["Image"])
    try:
        policy = Pull(flags.text("pull") or "missing")
    except ValueError:
        raise RunFailed(
            command, f'invalid pull option: \'{flags.text("pull")}\': must be one of "always", "missing" or "never"'
        ) from None
    check_image(image, command)
    options = RunOptions(
        image=image, config=config, name=flags.text("name"), platform=flags.text("platform"), pull=policy
    )
    view = StepView(image, always=flags.on("steps"), quiet=flags.on("quiet"))
    with contextlib.closing(view), _cidfile(flags.text("cidfile"), command) as write_id:
        pipeline = Pipeline(app.client(), options, view.step, view.layer)
        created = pipeline.create()
        for warning in created.warnings:
            print(f"WARNING: {warning}", file=sys.stderr)
        write_id(created.id)
        yield pipeline, created


def refusal(spec: Spec, error: ValueError) -> Exception:
    """A flag has an invalid value. As docker does, add the usage if the value does not even parse."""
    if not str(error).startswith("invalid argument "):
        return RunFailed(spec.name, str(error))
    wrong = UsageError(str(error))
    wrong.spec = spec
    return wrong


def check_image(image: str, command: str) -> None:
    """Refuse an invalid image reference before any request is sent. An image's ID is accepted too."""
    try:
        reference.parse(image)
    except reference.InvalidReference as e:
        if "hexadecimal" not in str(e) and not image.startswith("sha256:"):
            raise RunFailed(command, str(e)) from e


@contextlib.contextmanager
def _cidfile(path: str | None, command: str) -> Iterator[Callable[[str], None]]:
    """A function that writes the ID to `path`, which must not exist; it is removed if no ID comes."""
    if not path:
        yield lambda _: None
        return
    try:
        file = open(path, "x", encoding="ascii")  # noqa: SIM115  # closed below; kept or removed by outcome
    except FileExistsError:
        raise RunFailed(
            command,
            f"container ID file found, make sure the other container isn't running or delete {path}",
        ) from None
    except OSError as e:
        raise RunFailed(command, f"failed to create the container ID file: open {path}: {e.strerror}") from e
    written = False

    def write(container: str) -> None:
        nonlocal written
        file.write(container)
        file.close()
        written = True

    try:
        yield write
    finally:
        file.close()
        if not written:
            os.unlink(path)


def exit_status(waiter: Waiter) -> int:
    """The container's exit status; 125 if the engine could not wait for it or remove it."""
    try:
        return waiter.result()
    except StreamFailed as e:
        print(f"Error waiting for container: {e}", file=sys.stderr)
        return 125
    except (ConnectionFailed, ProtocolError) as e:
        print(f"error waiting for container: {message_of(e)}", file=sys.stderr)
        return 125


def status_of(error: Exception) -> int:
    """The exit status for an error at the start, from the text of the message as in docker: 127 not found,
    126 not executable, 125 anything else."""
    text = str(error)
    if not isinstance(error, ApiError):
        return 125
    if "executable file not found" in text or "no such file or directory" in text or "system cannot find" in text:
        return 127
    if "permission denied" in text or "is a directory" in text:
        return 126
    return 125
