"""`cove compose` start, stop, restart, kill, rm, pause, unpause and wait: the life of containers that exist."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from desktop.cli.app import FAILURES, Failure
from desktop.cli.compose.progress import Progress
from desktop.cli.compose.selection import Chosen, chosen, is_up
from desktop.cli.flags import Flag, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call
    from desktop.compose.state import Container

_TIMEOUT = Flag("timeout", "t", "int", "Seconds until a container that is stopped is killed")
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
PAUSE = Spec(name="compose pause", usage="[SERVICE...]", summary="Freeze all processes of containers")
UNPAUSE = Spec(name="compose unpause", usage="[SERVICE...]", summary="Let the processes of containers go on")
WAIT = Spec(
    name="compose wait",
    usage="[OPTIONS] SERVICE [SERVICE...]",
    summary="Wait until the first of the services' containers ends",
    least=1,
    flags=(Flag("down-project", help="Then stop and remove the whole project"),),
    statuses=(("n", "the status of the container that ended"), ("1", "it failed")),
)


def start(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import order
    from desktop.compose.converge import start_container
    from desktop.compose.waiting import wait_for

    flags = parse(START, argv)
    found = chosen(call, flags.args)
    if not found.containers:
        raise Failure("there is no container to start; `cove compose up` creates them")
    client, services, groups = found.client, found.services, found.groups()

    def work(name: str, progress: Progress) -> None:
        service = services.get(name)
        for other, dependency in service.depends_on.items() if service is not None else ():
            if other in groups:
                wait_for(client, other, groups[other], dependency, progress, progress.warn)
        idle = [one for one in groups[name] if one.state != "running"]
        order.together(idle, lambda one: start_container(client, one, service, progress))

    with call.progress() as progress:
        order.each(found.depends(), lambda name: work(name, progress))
    return 0


def stop(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import stopping

    flags = parse(STOP, argv)
    found = chosen(call, flags.args)
    with call.progress() as progress:
        stopping.stop(found.client, found.containers, found.services, flags.number("timeout"), progress)
    return 0


def restart(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import order

    flags = parse(RESTART, argv)
    found = chosen(call, flags.args)
    if flags.args and not flags.on("no-deps"):
        restarted = {
            name
            for name, item in found.services.items()
            if any(dep.restart and other in flags.args for other, dep in item.depends_on.items())
        }
        if restarted:
            found = chosen(call, [*flags.args, *sorted(restarted - set(flags.args))])
    groups = found.groups()

    def one_restart(progress: Progress, one: Container) -> None:
        progress(f"Container {one.name}", "Restarting")
        found.client.restart(one.id, flags.number("timeout"))
        progress(f"Container {one.name}", "Started")

    with call.progress() as progress:
        order.each(found.depends(), lambda name: order.together(groups[name], partial(one_restart, progress)))
    return 0


def kill(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import stopping

    flags = parse(KILL, argv)
    found = chosen(call, flags.args)
    with call.progress() as progress:
        stopping.kill(found.client, found.containers, flags.text("signal") or "SIGKILL", progress)
    return 0


def rm(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import stopping
    from desktop.compose.state import ENDED

    flags = parse(RM, argv)
    found = chosen(call, flags.args)
    with call.progress() as progress:
        gone = found.containers
        if flags.on("stop"):
            stopping.stop(found.client, gone, found.services, None, progress)
        else:
            gone = [one for one in gone if one.state in ENDED]
        if not gone:
            print("No stopped containers", file=sys.stderr)
            return 0
        if not flags.on("force"):
            names = ", ".join(one.name for one in gone)
            print(f"? Going to remove {names} [yN] ", end="", file=sys.stderr, flush=True)
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                return 0
        stopping.remove(found.client, gone, progress, volumes=flags.on("volumes"))
    return 0


def pause(argv: Sequence[str], call: Call) -> int:
    flags = parse(PAUSE, argv)
    found = chosen(call, flags.args)
    return _each_running(call, found, found.client.pause, "Paused")


def unpause(argv: Sequence[str], call: Call) -> int:
    flags = parse(UNPAUSE, argv)
    found = chosen(call, flags.args)
    return _each_running(call, found, found.client.unpause, "Unpaused")


def _each_running(call: Call, found: Chosen, act: Callable[[str], object], done: str) -> int:
    from desktop.compose import order

    with call.progress() as progress:

        def one_act(one: Container) -> None:
            act(one.id)
            progress(f"Container {one.name}", done)

        order.together([one for one in found.containers if is_up(one)], one_act)
    return 0


def wait(argv: Sequence[str], call: Call) -> int:
    flags = parse(WAIT, argv)
    call.refuse_dry_run("wait")
    found = chosen(call, flags.args)
    running = [one for one in found.containers if is_up(one)]
    if not running:
        raise Failure(f'no containers for project "{found.name}"')
    results: queue.SimpleQueue[tuple[Container, int | Exception]] = queue.SimpleQueue()

    def wait_for_one(one: Container) -> None:
        try:
            results.put((one, found.client.wait(one.id)))
        except FAILURES as e:
            results.put((one, e))

    for one in running:
        threading.Thread(target=wait_for_one, args=(one,), name=f"wait {one.name}", daemon=True).start()
    ended, status = results.get()
    if isinstance(status, Exception):
        raise status
    print(f'container "{ended.id}" exited with status code {status}', flush=True)
    if flags.on("down-project"):
        from desktop.cli.compose.down import down

        down([], call)
    return status
