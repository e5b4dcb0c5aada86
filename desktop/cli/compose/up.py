"""`cove compose` up, create and scale."""

from __future__ import annotations

import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.compose.progress import Progress
from desktop.cli.compose.selection import is_up
from desktop.cli.flags import Flag, Parsed, Spec, parse
from desktop.compose.images import EngineImages

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call
    from desktop.client.engine import EngineClient
    from desktop.compose.attached import Attached, Printer
    from desktop.compose.converge import Up, UpOptions
    from desktop.compose.model.service import Service
    from desktop.compose.project import Project
    from desktop.compose.state import Container

_PULLS = ("always", "missing", "never", "build", "policy")
_CREATE_FLAGS = (
    Flag("build", help="Build images first"),
    Flag("force-recreate", help="Make all containers anew"),
    Flag("no-build", help="Build nothing"),
    Flag("no-recreate", help="Leave containers that exist as they are"),
    Flag("pull", kind="string", help="When to pull images: always, missing, never, build, policy", default="policy"),
    Flag("quiet-pull", help="No progress of pulls"),
    Flag("remove-orphans", help="Remove containers of services that are no longer in the files"),
    Flag("scale", kind="list", many=True, help="So many containers of a service (web=3)"),
)
UP = Spec(
    name="compose up",
    usage="[OPTIONS] [SERVICE...]",
    summary="Create and start a project's containers; those that fit already are left alone",
    flags=(
        Flag("abort-on-container-exit", help="Stop all as soon as one has ended"),
        Flag("always-recreate-deps", help="Make the containers of dependencies anew"),
        *_CREATE_FLAGS,
        Flag("detach", "d", help="Run in the background"),
        Flag("exit-code-from", kind="string", help="End with the status of this service's container; stops the others"),
        Flag("no-color", help="Output without colours"),
        Flag("no-deps", help="Do not start what the services depend on"),
        Flag("no-log-prefix", help="Output without the containers' names"),
        Flag("no-start", help="Create only"),
        Flag("renew-anon-volumes", "V", help="New containers get new anonymous volumes"),
        Flag("timeout", "t", "int", "Seconds until a container that is stopped is killed"),
        Flag("timestamps", help="With the time of each line"),
        Flag("wait", help="Return when all run, or are healthy; implies -d"),
        Flag("watch", help="Bring changed files into the containers, as develop.watch says"),
    ),
    statuses=(("0", "done"), ("1", "it failed"), ("n", "with --exit-code-from: that container's status")),
)
CREATE = Spec(
    name="compose create",
    usage="[OPTIONS] [SERVICE...]",
    summary="Create a project's containers without starting them",
    flags=_CREATE_FLAGS,
)
SCALE = Spec(
    name="compose scale",
    usage="[OPTIONS] SERVICE=REPLICAS...",
    summary="Run so many containers of services",
    least=1,
    flags=(Flag("no-deps", help="Do not start what the services depend on"),),
)


def up(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.converge import Up

    flags = parse(UP, argv)
    _check(flags)
    project = call.project(flags.args, dependencies=not flags.on("no-deps"))
    options = _with_orphans(_up_options(flags), flags, project)
    project = replace(project, services=_scaled(project, flags.many("scale")))
    client = call.client()
    detach = flags.on("detach") or flags.on("wait") or flags.on("no-start")
    with call.progress() as progress:
        images = _images(client, project, progress, flags)
        run = Up(client, project, options, images, progress, progress.warn, progress.tell_all)
        if call.is_dry and not detach:
            run.run()
            print("end of 'compose up' output, interactive run is not supported in dry-run mode")
            return 0
        if not detach:
            return _attached(flags, call, project, run, progress)
        run.run()
        if flags.on("wait"):
            _wait(client, run, progress)
    return 0


def create(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.converge import Up

    flags = parse(CREATE, argv)
    _check(flags)
    project = call.project(flags.args)
    project = replace(project, services=_scaled(project, flags.many("scale")))
    with call.progress() as progress:
        options = replace(_create_options(flags), start=False)
        images = _images(call.client(), project, progress, flags)
        Up(call.client(), project, options, images, progress, progress.warn, progress.tell_all).run()
    return 0


def scale(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.converge import Up, UpOptions

    flags = parse(SCALE, argv)
    for text in flags.args:
        _, sign, count = text.partition("=")
        if not sign:
            raise Failure(f"invalid scale specifier: {text}")
        if not count.isdecimal():
            raise Failure(f"invalid scale specifier: can't parse replica value as int: {text}")
    names = [text.partition("=")[0] for text in flags.args]
    project = call.project(names, dependencies=not flags.on("no-deps"))
    project = replace(project, services=_scaled(project, flags.args))
    with call.progress() as progress:
        images = _images(call.client(), project, progress)
        Up(
            call.client(), project, UpOptions(services=tuple(names)), images, progress, progress.warn, progress.tell_all
        ).run()
    return 0


def _images(client: EngineClient, project: Project, progress: Progress, flags: Parsed | None = None) -> EngineImages:
    return EngineImages(
        client, project, progress, progress.say, quiet_pull=flags is not None and flags.on("quiet-pull")
    )


def _check(flags: Parsed) -> None:
    pairs = (
        ("force-recreate", "no-recreate"), ("build", "no-build"), ("detach", "abort-on-container-exit"),
        ("detach", "exit-code-from"), ("detach", "watch"), ("wait", "watch"),
        ("no-start", "watch"), ("always-recreate-deps", "no-recreate"),
    )  # fmt: skip
    for one, other in pairs:
        if all(flags.knows(name) and flags.given(name) for name in (one, other)):
            raise Failure(f"--{one} and --{other} are incompatible")
    if flags.text("pull") not in _PULLS:
        raise Failure(f'unsupported pull policy "{flags.text("pull")}": one of {", ".join(_PULLS)}')


def _create_options(flags: Parsed) -> UpOptions:
    from desktop.compose.converge import UpOptions
    from desktop.compose.state import Recreate

    recreate = Recreate.CHANGED
    if flags.on("force-recreate") or flags.on("no-recreate"):
        recreate = Recreate.ALWAYS if flags.on("force-recreate") else Recreate.NEVER
    return UpOptions(
        services=tuple(flags.args),
        recreate=recreate,
        remove_orphans=flags.on("remove-orphans"),
        pull="" if flags.text("pull") == "policy" else flags.text("pull") or "",
        build=flags.on("build"),
        no_build=flags.on("no-build"),
    )


def _with_orphans(options: UpOptions, flags: Parsed, project: Project) -> UpOptions:
    """With what becomes of the containers of services that are no longer there. Raises Failure, ComposeError."""
    from desktop.compose.project import is_on

    ignored = is_on(project.environment, "COMPOSE_IGNORE_ORPHANS")
    removed = flags.on("remove-orphans") or (
        not flags.given("remove-orphans") and is_on(project.environment, "COMPOSE_REMOVE_ORPHANS")
    )
    if ignored and removed:
        raise Failure("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans")
    return replace(options, ignore_orphans=ignored, remove_orphans=removed)


def _up_options(flags: Parsed) -> UpOptions:
    from desktop.compose.state import Recreate

    return replace(
        _create_options(flags),
        recreate_dependencies=Recreate.ALWAYS if flags.on("always-recreate-deps") else Recreate.CHANGED,
        renew_volumes=flags.on("renew-anon-volumes"),
        start=not flags.on("no-start"),
        timeout_s=flags.number("timeout"),
    )


def _scaled(project: Project, texts: Sequence[str]) -> dict[str, Service]:
    from desktop.compose.state import check_services

    services = dict(project.services)
    for text in texts:
        name, _, count = text.partition("=")
        check_services([name], services)
        if not count.isdecimal():
            raise Failure(f"invalid --scale option {text!r}: SERVICE=NUMBER is expected")
        service = services[name]
        if int(count) > 1 and service.container_name:
            raise Failure(f"service {name!r} has a container_name, so it cannot have {count} containers")
        services[name] = replace(service, scale=int(count))
    return services


def _wait(client: EngineClient, run: Up, progress: Progress) -> None:
    from desktop.compose import order
    from desktop.compose.waiting import wait_healthy

    def wait(one: Container) -> None:
        progress(f"Container {one.name}", "Waiting")
        wait_healthy(client, one, or_running=True)
        progress(f"Container {one.name}", "Healthy")

    order.together(run.containers(), wait)


# --- attached


def _attached(flags: Parsed, call: Call, project: Project, run: Up, progress: Progress) -> int:
    from desktop.compose.attached import Attached, LogOptions

    client = call.client()
    wanted = flags.text("exit-code-from")
    if wanted and wanted not in project.services:
        raise Failure(f"no such service: {wanted}")
    printer = printer_of(call, project.name, flags)
    shown = {name for name, item in project.services.items() if item.attach is not False}
    ended = threading.Event()
    watcher = None
    if flags.on("watch"):
        from desktop.cli.compose.watch import watcher_of

        watcher = watcher_of(call, project, flags.args or list(project.services), printer.note, printer.note)
    attached = Attached(client, project.name, lambda one: one.service in shown, printer)
    try:
        before = {one.id: one for one in run.containers()}
        run.run()
        progress.close()
        containers = run.containers()
        printer.add(one for one in containers if one.service in shown)
        print(f"Attaching to {', '.join(printer.short(one) for one in containers)}", flush=True)
        for one in containers:
            old = before.get(one.id)
            since = str(client.inspect(one.id)["State"].get("StartedAt") or "") if old else ""
            tail = "0" if old is not None and old.state == "running" else None
            options = LogOptions(follow=True, tail=tail, since=since or None, timestamps=flags.on("timestamps"))
            attached.follow(one, options)
        stops_all = flags.on("abort-on-container-exit") or bool(wanted)
        watch = _Watch(
            call, project, attached, containers, printer, flags.number("timeout"), stops_all=stops_all,
            endless=watcher is not None,
        )  # fmt: skip
        if watcher is not None:
            threading.Thread(target=watcher.run, args=(ended,), name="watch files", daemon=True).start()
        interrupted = watch.run()
    finally:
        ended.set()
        attached.close()
    if interrupted:
        return 130
    return watch.statuses.get(wanted or "", 0) if stops_all else 0


class _Watch:
    """Waits in the main thread for what comes first: the end of the containers, or Ctrl-C."""

    def __init__(
        self,
        call: Call,
        project: Project,
        attached: Attached,
        containers: Sequence[Container],
        printer: Printer,
        timeout_s: int | None,
        *,
        stops_all: bool,
        endless: bool,
    ) -> None:
        self._call = call
        self._client = call.client()
        self._project = project
        self._attached = attached
        self._containers = containers
        self._printer = printer
        self._timeout_s = timeout_s
        self._stops_all = stops_all
        self._endless = endless
        self._happened: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()
        self._is_stopping = False
        self.statuses: dict[str, int] = {}  # of each service, and of the first that ended under ""

    def run(self) -> bool:
        """Ctrl-C ended it. The first one stops the containers in order, a second one kills them."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda *_: self._happened.put("signal")) for number in numbers}
        interrupts = 0
        try:
            threading.Thread(target=self._in_thread, args=(self._watch, "ended"), name="watch", daemon=True).start()
            while (event := self._happened.get()) != "ended":
                if isinstance(event, Exception):
                    raise event
                if event == "signal":
                    interrupts += 1
                if interrupts > 1:
                    self._kill()
                elif event in ("signal", "abort") and not self._is_stopping:
                    self._stop(
                        "Gracefully stopping... (press Ctrl+C again to force)"
                        if interrupts
                        else "Aborting on container exit..."
                    )
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return bool(interrupts)

    def _in_thread(self, work: Callable[[], None], then: str) -> None:
        try:
            work()
        except Exception as e:  # noqa: BLE001  # raised in the main thread, which waits for it
            self._happened.put(e)
        else:
            self._happened.put(then)

    def _watch(self) -> None:
        def until(one: Container, status: int) -> bool:
            self.statuses.setdefault(one.service, status)
            self.statuses.setdefault("", status)
            if self._stops_all:
                self._happened.put("abort")
            return False

        self._attached.watch(self._containers, until, lambda: self._endless and not self._is_stopping)

    def _stop(self, sentence: str) -> None:
        from desktop.compose import stopping
        from desktop.compose.state import observe, of_services

        self._is_stopping = True
        self._printer.note(sentence)
        containers = of_services(observe(self._client, self._project.name), self._project.services)
        if self._endless and not any(is_up(one) for one in containers):
            self._happened.put("ended")  # nothing's end is to come that would end the watch
        progress = self._call.progress()

        def stop() -> None:
            stopping.stop(self._client, containers, self._project.services, self._timeout_s, progress)

        threading.Thread(target=self._in_thread, args=(stop, "stopped"), name="stop", daemon=True).start()

    def _kill(self) -> None:
        from desktop.compose import stopping
        from desktop.compose.state import observe, of_services

        containers = of_services(observe(self._client, self._project.name), self._project.services)
        stopping.kill(self._client, containers, "SIGKILL", self._call.progress())


def printer_of(call: Call, project: str, flags: Parsed) -> Printer:
    """A printer to stdout and stderr, as the flags no-color and no-log-prefix and those before the verb say."""
    from desktop.compose.attached import Printer

    def write(stream: int, data: bytes) -> None:
        out = sys.stdout if stream == 1 else sys.stderr
        out.buffer.write(data)
        out.buffer.flush()

    colours = sys.stdout.isatty() if call.look.colours is None else call.look.colours
    return Printer(write, project, colours=colours and not flags.on("no-color"), prefixes=not flags.on("no-log-prefix"))
