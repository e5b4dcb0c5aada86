"""`cove compose` ps, logs, start, stop, restart, kill, rm, pull, build, exec and run."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from desktop.cli import streams, terminal
from desktop.cli.app import Failure
from desktop.cli.composeimages import EngineImages
from desktop.cli.composeprogress import Progress
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import Row, ago, shortened, show
from desktop.cli.timestamps import api_time

if TYPE_CHECKING:
    from desktop.cli.compose import Call
    from desktop.client.engine import EngineClient
    from desktop.compose.project import Project
    from desktop.compose.state import Container

_TIMEOUT = Flag("timeout", "t", "int", "Seconds until a container that is stopped is killed")
PS = Spec(
    name="compose ps",
    usage="[OPTIONS] [SERVICE...]",
    summary="List a project's containers",
    flags=(
        Flag("all", "a", help="Stopped ones too, and those of run"),
        Flag("format", kind="string", help="table, a template, or json", default="table"),
        Flag("no-trunc", help="Nothing is shortened"),
        Flag("quiet", "q", help="IDs only"),
        Flag("services", help="The services' names only"),
        Flag("status", kind="list", many=True, help="Only those in this state"),
    ),
)
LOGS = Spec(
    name="compose logs",
    usage="[OPTIONS] [SERVICE...]",
    summary="Show what a project's containers have written",
    flags=(
        Flag("follow", "f", help="Go on with what they write"),
        Flag("index", kind="int", help="Only the container of this number"),
        Flag("no-color", help="Without colours"),
        Flag("no-log-prefix", help="Without the containers' names"),
        Flag("since", kind="string", help="From this time on, or back from now (42m)"),
        Flag("tail", "n", "string", "How many lines from the end of each", default="all"),
        Flag("timestamps", "t", help="With the time of each line"),
        Flag("until", kind="string", help="Up to this time, or back from now"),
    ),
)
START = Spec(name="compose start", usage="[SERVICE...]", summary="Start containers that exist")
STOP = Spec(name="compose stop", usage="[OPTIONS] [SERVICE...]", summary="Stop containers", flags=(_TIMEOUT,))
RESTART = Spec(
    name="compose restart",
    usage="[OPTIONS] [SERVICE...]",
    summary="Restart containers",
    flags=(Flag("no-deps", help="Not those that depend on them"), _TIMEOUT),
)
KILL = Spec(
    name="compose kill",
    usage="[OPTIONS] [SERVICE...]",
    summary="Send containers a signal",
    flags=(Flag("signal", "s", "string", "The signal", default="SIGKILL"),),
)
RM = Spec(
    name="compose rm",
    usage="[OPTIONS] [SERVICE...]",
    summary="Remove stopped containers",
    flags=(
        Flag("force", "f", help="Do not ask"),
        Flag("stop", "s", help="Stop them first"),
        Flag("volumes", "v", help="Also their anonymous volumes"),
    ),
)
PULL = Spec(
    name="compose pull",
    usage="[OPTIONS] [SERVICE...]",
    summary="Fetch the services' images",
    flags=(
        Flag("ignore-buildable", help="Not those that can be built"),
        Flag("ignore-pull-failures", help="Go on with the others"),
        Flag("include-deps", help="Also those of dependencies"),
        Flag("quiet", "q", help="Without progress"),
    ),
)
BUILD = Spec(
    name="compose build",
    usage="[OPTIONS] [SERVICE...]",
    summary="Build the services' images",
    flags=(
        Flag("build-arg", kind="list", many=True, help="A build argument (key=value)"),
        Flag("no-cache", help="Run all steps"),
        Flag("pull", help="Ask the registry for newer base images"),
        Flag("quiet", "q", help="Without output"),
        Flag("with-dependencies", help="Also those of dependencies"),
    ),
)
EXEC = Spec(
    name="compose exec",
    usage="[OPTIONS] SERVICE COMMAND [ARG...]",
    summary="Run a command in a service's running container",
    least=2,
    mixed=False,
    flags=(
        Flag("detach", "d", help="Do not wait for it"),
        Flag("env", "e", "list", "Set a variable (key=value)", many=True),
        Flag("index", kind="int", help="The container's number"),
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


def _chosen(call: Call, names: Sequence[str]) -> tuple[EngineClient, Project | None, list[Container]]:
    """The project's containers, or those of some services; without those of `run`."""
    from desktop.compose.state import check_services, observe

    name, project = call.name_and_project()
    client = call.app.client()
    containers = [one for one in observe(client, name) if not one.is_oneoff]
    if project is not None:
        check_services(names, {**project.services, **project.disabled})
        containers = [one for one in containers if one.service in project.services or one.service in names]
    if names:
        containers = [one for one in containers if one.service in names]
    return client, project, containers


# --- lists and logs

_COLUMNS = {
    "Name": "NAME", "Image": "IMAGE", "Command": "COMMAND", "Service": "SERVICE", "RunningFor": "CREATED",
    "Status": "STATUS", "Ports": "PORTS",
}  # fmt: skip


def ps(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.state import check_services, observe

    flags = parse(PS, argv)
    name, project = call.name_and_project()
    if project is not None:
        check_services(flags.args, {**project.services, **project.disabled})
    every = flags.on("all") or bool(flags.many("status"))
    containers = [one for one in observe(call.app.client(), name, all=every) if every or not one.is_oneoff]
    if flags.args:
        containers = [one for one in containers if one.service in flags.args]
    if flags.many("status"):
        containers = [one for one in containers if one.state in flags.many("status")]
    containers.sort(key=lambda one: one.name)
    if flags.on("quiet") or flags.on("services"):
        lines = [one.service if flags.on("services") else one.id for one in containers]
        for line in dict.fromkeys(lines):
            print(line)
        return 0
    rows = [_row(one, whole=flags.on("no-trunc")) for one in containers]
    if flags.text("format") == "json":
        for row in rows:
            print(json.dumps(row, separators=(",", ":")))
        return 0
    show(rows, _COLUMNS, flags.text("format"))
    return 0


def _row(one: Container, *, whole: bool) -> Row:
    from desktop.cli.ps import ports_text

    listed = one.listed
    command = str(listed.get("Command") or "")
    networks = ((listed.get("NetworkSettings") or {}).get("Networks") or {}).keys()
    return Row(
        ID=one.id if whole else one.id[:12],
        Name=one.name,
        Names=one.name,
        Image=listed.get("Image") or "",
        Command=f'"{command if whole else shortened(command, 20)}"',
        Project=one.labels.get("com.docker.compose.project", ""),
        Service=one.service,
        RunningFor=ago(listed["Created"]),
        CreatedAt=listed["Created"],
        Status=listed.get("Status") or "",
        State=one.state,
        Ports=ports_text(listed.get("Ports") or ()),
        Networks=",".join(networks),
        Labels=",".join(f"{key}={value}" for key, value in one.labels.items()),
    )


def logs(argv: Sequence[str], call: Call) -> int:
    from desktop.cli.composeup import printer_of
    from desktop.compose import attached

    flags = parse(LOGS, argv)
    try:
        since, until = api_time(flags.text("since"), "since"), api_time(flags.text("until"), "until")
    except ValueError as e:
        raise Failure(str(e)) from e
    client, project, containers = _chosen(call, flags.args)
    if (number := flags.number("index")) is not None:
        containers = [one for one in containers if one.number == number]
    name = project.name if project is not None else call.name_and_project()[0]
    printer = printer_of(name, colours=not flags.on("no-color"), prefixes=not flags.on("no-log-prefix"))
    options = attached.LogOptions(
        follow=flags.on("follow"), tail=flags.text("tail"), timestamps=flags.on("timestamps"), since=since, until=until
    )
    with contextlib.suppress(KeyboardInterrupt):
        attached.logs(client, containers, printer, options)
    return 0


# --- life


def start(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import order
    from desktop.compose.converge import start_container
    from desktop.compose.model import Service
    from desktop.compose.waiting import wait_for

    flags = parse(START, argv)
    client, project, containers = _chosen(call, flags.args)
    if not containers:
        raise Failure("there is no container to start; `cove compose up` creates them")
    services: dict[str, Service] = dict(project.services) if project is not None else {}
    groups: dict[str, list[Container]] = {}
    for one in containers:
        groups.setdefault(one.service, []).append(one)

    def work(name: str, progress: Progress) -> None:
        service = services.get(name)
        for other, dependency in service.depends_on.items() if service is not None else ():
            if other in groups:
                wait_for(client, other, groups[other], dependency, progress, progress.warn)
        idle = [one for one in groups[name] if one.state != "running"]
        order.together(idle, lambda one: start_container(client, one, service, progress))

    with Progress(sys.stderr) as progress:
        depends = {name: {other for one in group for other in one.depends_on} for name, group in groups.items()}
        order.each(depends, lambda name: work(name, progress))
    return 0


def stop(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import stopping

    flags = parse(STOP, argv)
    client, project, containers = _chosen(call, flags.args)
    with Progress(sys.stderr) as progress:
        services = project.services if project is not None else {}
        stopping.stop(client, containers, services, flags.number("timeout"), progress)
    return 0


def restart(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import order

    flags = parse(RESTART, argv)
    client, project, containers = _chosen(call, flags.args)
    if flags.args and project is not None and not flags.on("no-deps"):
        restarted = {
            name
            for name, item in project.services.items()
            if any(dep.restart and other in flags.args for other, dep in item.depends_on.items())
        }
        containers += [one for one in _chosen(call, ())[2] if one.service in restarted and one not in containers]
    groups: dict[str, list[Container]] = {}
    for one in containers:
        groups.setdefault(one.service, []).append(one)

    def one_restart(progress: Progress, one: Container) -> None:
        progress(f"Container {one.name}", "Restarting")
        client.restart(one.id, flags.number("timeout"))
        progress(f"Container {one.name}", "Started")

    with Progress(sys.stderr) as progress:
        depends = {name: {other for one in group for other in one.depends_on} for name, group in groups.items()}
        order.each(depends, lambda name: order.together(groups[name], partial(one_restart, progress)))
    return 0


def kill(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import stopping

    flags = parse(KILL, argv)
    client, _, containers = _chosen(call, flags.args)
    with Progress(sys.stderr) as progress:
        stopping.kill(client, containers, flags.text("signal") or "SIGKILL", progress)
    return 0


def rm(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import stopping

    flags = parse(RM, argv)
    client, project, containers = _chosen(call, flags.args)
    with Progress(sys.stderr) as progress:
        if flags.on("stop"):
            stopping.stop(client, containers, project.services if project is not None else {}, None, progress)
            client, project, containers = _chosen(call, flags.args)
        gone = [one for one in containers if one.state in ("created", "exited", "dead")]
        if not gone:
            print("No stopped containers", file=sys.stderr)
            return 0
        if not flags.on("force"):
            names = ", ".join(one.name for one in gone)
            print(f"? Going to remove {names} [yN] ", end="", file=sys.stderr, flush=True)
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                return 0
        stopping.remove(client, gone, progress, volumes=flags.on("volumes"))
    return 0


# --- images


def _images_work(progress: Progress, work: Callable[[Any, str], None], names: dict[str, Any], *, ignore: bool) -> None:
    from desktop.client.engine import ApiError
    from desktop.compose import order
    from desktop.compose.errors import ComposeError

    def one(image: str) -> None:
        try:
            work(names[image], image)
        except (ApiError, ComposeError) as e:
            if not ignore:
                raise
            progress.warn(f"{image}: {e}")

    order.each({image: () for image in names}, one)


def pull(argv: Sequence[str], call: Call) -> int:
    flags = parse(PULL, argv)
    project = call.project(flags.args, dependencies=flags.on("include-deps"))
    wanted = {
        item.image: item
        for item in project.services.values()
        if item.image and not (item.build is not None and flags.on("ignore-buildable"))
    }
    with Progress(sys.stderr, quiet=flags.on("quiet")) as progress:
        images = EngineImages(call.app.client(), progress, print)
        _images_work(progress, images.pull, wanted, ignore=flags.on("ignore-pull-failures"))
    return 0


def build(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.body import image_of

    flags = parse(BUILD, argv)
    project = call.project(flags.args, dependencies=flags.on("with-dependencies"))
    arguments: dict[str, str | None] = {}
    for text in flags.many("build-arg"):
        key, sign, value = text.partition("=")
        arguments[key] = value if sign else project.environment.get(key)
    wanted = {image_of(project, item): item for item in project.services.values() if item.build is not None}
    if not wanted:
        print("No services to build", file=sys.stderr)
        return 0
    quiet = flags.on("quiet")
    with Progress(sys.stderr, quiet=quiet) as progress:
        images = EngineImages(
            call.app.client(), progress, lambda line: None if quiet else print(line, flush=True),
            arguments=arguments, no_cache=flags.on("no-cache"), pull=flags.on("pull"),
        )  # fmt: skip
        _images_work(progress, images.build, wanted, ignore=False)
    return 0


# --- exec and run


def exec(argv: Sequence[str], call: Call) -> int:
    from desktop.cli import exec as exec_command

    flags = parse(EXEC, argv)
    service, *command = flags.args
    _, _, containers = _chosen(call, [service])
    number = flags.number("index")
    found = [one for one in containers if one.state == "running" and number in (None, one.number)]
    if not found:
        raise Failure(f'service "{service}" is not running')
    words: list[str] = []
    if not flags.on("no-TTY") and terminal.is_terminal(0) and terminal.is_terminal(1) and not flags.on("detach"):
        words.append("--tty")
    words += ["--detach"] if flags.on("detach") else ["--interactive"]
    words += ["--privileged"] if flags.on("privileged") else []
    for name in ("user", "workdir"):
        if value := flags.text(name):
            words.append(f"--{name}={value}")
    words += [f"--env={text}" for text in flags.many("env")]
    return exec_command.main([*words, found[0].id, *command], call.app)


def run(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.body import Place
    from desktop.compose.converge import Up, UpOptions, create_container, oneoff_labels, version_of
    from desktop.compose.model import Service

    flags = parse(RUN, argv)
    name, *command = flags.args
    project = call.project([name], dependencies=not flags.on("no-deps"))
    service: Service = project.services[name]
    client = call.app.client()
    detach = flags.on("detach")
    tty = not detach and not flags.on("no-TTY") and terminal.is_terminal(0) and terminal.is_terminal(1)
    with Progress(sys.stderr) as progress:
        images = EngineImages(client, progress, lambda line: print(line, file=sys.stderr))
        up = Up(client, project, UpOptions(), images, progress, progress.warn)
        up.prepare(name)
        service = _changed(service, flags, command, tty=tty)
        slug = secrets.token_hex(6)
        made = flags.text("name") or f"{project.name}-{name}-run-{slug}"
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
    return _session(client, id, tty=tty)


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


def _session(client: EngineClient, id: str, *, tty: bool) -> int:
    """Start the container with this terminal attached; its exit status."""
    from desktop.cli.run import exit_status

    keys = terminal.parse_detach_keys(terminal.DEFAULT_DETACH_KEYS)
    with contextlib.ExitStack() as undo:
        if not tty:
            undo.enter_context(streams.proxying_signals(lambda name: client.kill(id, name)))
        waiter = undo.enter_context(client.waiter(id, "next-exit"))
        stream = undo.enter_context(client.attach(id, stdin=True, tty=tty))
        client.start(id)
        if tty:
            resize = partial(client.resize, id)
            streams.show_size(resize)
            undo.enter_context(streams.following_size(resize))
        if streams.Session(stream, stdin=True, tty=tty, detach_keys=keys).run() is streams.Ended.DETACHED:
            return 0
        return exit_status(waiter)
