"""`cove compose` exec, run and attach: this terminal in a service's container."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from desktop.cli import terminal
from desktop.cli.compose.selection import INDEX, one_container
from desktop.cli.flags import Flag, Spec, parse
from desktop.compose.images import EngineImages

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call

EXEC = Spec(
    name="compose exec",
    usage="[OPTIONS] SERVICE COMMAND [ARG...]",
    summary="Run a command in a service's running container",
    least=2,
    mixed=False,
    flags=(
        Flag("detach", "d", help="Do not wait for it"),
        Flag("env", "e", "list", "Set a variable (key=value)", many=True),
        INDEX,
        Flag("no-TTY", "T", help="Without a terminal"),
        Flag("privileged", help="All capabilities"),
        Flag("user", "u", "string", "User name or number (user[:group])"),
        Flag("workdir", "w", "string", "Working directory inside"),
    ),
)
RUN = Spec(
    name="compose run",
    usage="[OPTIONS] SERVICE [COMMAND] [ARG...]",
    summary="Run one command in a new container of a service",
    least=1,
    mixed=False,
    flags=(
        Flag("detach", "d", help="Run in the background, print its name"),
        Flag("entrypoint", kind="string", help="Instead of the service's"),
        Flag("env", "e", "list", "Set a variable (key=value)", many=True),
        Flag("name", kind="string", help="The container's name"),
        Flag("no-TTY", "T", help="Without a terminal"),
        Flag("no-deps", help="Do not start what the service depends on"),
        Flag("rm", help="Remove it when it ends"),
        Flag("service-ports", "P", help="Publish the service's ports", also=("servicePorts",)),
        Flag("user", "u", "string", "User name or number (user[:group])"),
        Flag("volume", "v", "list", "A bind mount or volume", many=True),
        Flag("workdir", "w", "string", "Working directory inside"),
    ),
    statuses=(("n", "the status of the command"), ("1", "it failed")),
)
ATTACH = Spec(
    name="compose attach",
    usage="[OPTIONS] SERVICE",
    summary="Attach this terminal to a service's running container",
    least=1,
    most=1,
    flags=(
        Flag("detach-keys", kind="string", help="Keys that detach from a container (ctrl-p,ctrl-q)"),
        INDEX,
        Flag("no-stdin", help="Do not attach stdin"),
        Flag("sig-proxy", default=True, help="Pass signals on to the process"),
    ),
    statuses=(("n", "the status of the container's process"), ("1", "detached, or it failed")),
)


def exec(argv: Sequence[str], call: Call) -> int:
    from desktop.cli import exec as exec_command

    flags = parse(EXEC, argv)
    call.refuse_dry_run("interactive exec")
    service, *command = flags.args
    one = one_container(call, service, flags.number("index"))
    words: list[str] = []
    if not flags.on("no-TTY") and terminal.is_terminal(0) and terminal.is_terminal(1) and not flags.on("detach"):
        words.append("--tty")
    words += ["--detach"] if flags.on("detach") else ["--interactive"]
    words += ["--privileged"] if flags.on("privileged") else []
    for name in ("user", "workdir"):
        if value := flags.text(name):
            words.append(f"--{name}={value}")
    words += [f"--env={text}" for text in flags.many("env")]
    return exec_command.main([*words, one.id, *command], call.app)


def run(argv: Sequence[str], call: Call) -> int:
    from desktop.cli import start as start_command
    from desktop.compose.body import Place
    from desktop.compose.converge import Up, UpOptions, create_container, oneoff_labels, version_of
    from desktop.compose.model.service import Service

    flags = parse(RUN, argv)
    call.refuse_dry_run("interactive run")
    name, *command = flags.args
    project = call.project([name], dependencies=not flags.on("no-deps"))
    service: Service = project.services[name]
    client = call.client()
    detach = flags.on("detach")
    tty = not detach and not flags.on("no-TTY") and terminal.is_terminal(0) and terminal.is_terminal(1)
    with call.progress() as progress:
        images = EngineImages(client, project, progress, progress.say)
        up = Up(client, project, UpOptions(), images, progress, progress.warn)
        up.prepare(name)
        service = _changed(service, flags, command, tty=tty)
        slug = secrets.token_hex(6)
        made = flags.text("name") or project.own_name(name, "run", slug)
        place = Place(
            name=made,
            labels=oneoff_labels(project, service, slug),
            api_version=version_of(client),
            references=up.references(service),
            is_oneoff=True,
        )

        def change(body: dict[str, Any]) -> None:
            body["OpenStdin"] = body["AttachStdin"] = body["StdinOnce"] = not detach
            body["HostConfig"]["AutoRemove"] = flags.on("rm")
            body["HostConfig"]["RestartPolicy"] = {"Name": "no"}
            body["HostConfig"]["Binds"] += flags.many("volume")

        id = create_container(client, project, service, place, made, progress.warn, change)
    if detach:
        client.start(id)
        print(made)
        return 0
    return start_command.main(["--attach", "--interactive", id], call.app)


def _changed(service: Any, flags: Any, command: Sequence[str], *, tty: bool) -> Any:
    import shlex

    changes: dict[str, Any] = {"tty": tty, "container_name": "", "post_start": ()}
    if command:
        changes["command"] = tuple(command)
    if (entrypoint := flags.text("entrypoint")) is not None:
        changes["entrypoint"] = tuple(shlex.split(entrypoint))
        changes["command"] = tuple(command)
    if flags.many("env"):
        given = {
            key: value if sign else None for key, sign, value in (text.partition("=") for text in flags.many("env"))
        }
        changes["environment"] = {**service.environment, **given}
    for name, key in (("user", "user"), ("workdir", "working_dir")):
        if value := flags.text(name):
            changes[key] = value
    if not flags.on("service-ports"):
        changes["ports"] = ()
    return replace(service, **changes)


def attach(argv: Sequence[str], call: Call) -> int:
    from desktop.cli import attach as attach_command

    flags = parse(ATTACH, argv)
    call.refuse_dry_run("interactive attach")
    one = one_container(call, flags.args[0], flags.number("index"))
    words = [f"--detach-keys={keys}"] if (keys := flags.text("detach-keys")) else []
    words += ["--no-stdin"] if flags.on("no-stdin") else []
    words += [] if flags.on("sig-proxy") else ["--sig-proxy=false"]
    return attach_command.main([*words, one.id], call.app)
