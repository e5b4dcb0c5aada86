"""The commands create, start, run, kill and delete with their hooks: OCI runtime spec, runtime.md, "Lifecycle"."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from vmagent.linux.process import pidfd_send_signal
from vmagent.runtime import foreground, handover
from vmagent.runtime.cgroups import tree
from vmagent.runtime.cgroups.base import check_path
from vmagent.runtime.ending import end_all, signal_all, thaw_for_kill
from vmagent.runtime.exposure import is_exposed
from vmagent.runtime.failure import OTHER, SPEC, LaunchError
from vmagent.runtime.hooks import Hook, compile_hooks, run_hook, run_hooks
from vmagent.runtime.launch import Launched, launch
from vmagent.runtime.log import Log
from vmagent.runtime.plan import compile_plan
from vmagent.runtime.plantypes import Plan, ProcessExtra
from vmagent.runtime.state import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def create(options: argparse.Namespace, log: Log) -> int:
    _, launched, _ = _create(options, log, is_run=False)
    foreground.close(launched)
    return 0


def run(options: argparse.Namespace, log: Log) -> int:
    container, launched, master = _create(options, log, is_run=True)
    is_over = not options.detach and not options.keep
    try:
        try:
            _start(container, log)
        except BaseException:
            is_over = True
            raise
        return 0 if options.detach else foreground.wait(launched, master)
    finally:
        foreground.close(launched)
        if master >= 0:
            os.close(master)
        if is_over and container.folder.exists():
            destroy(container, log)


def _create(options: argparse.Namespace, log: Log, *, is_run: bool) -> tuple[Container, Launched, int]:
    """Create the container and its first process, which waits for `start`.

    Returns (container, its first process, the terminal's master or -1). Raises LaunchError, OSError.
    """
    if options.no_pivot:
        raise LaunchError(SPEC, "--no-pivot: there is no safe root without pivot_root")
    bundle = Path(options.bundle).absolute()
    spec = handover.read_json(bundle / "config.json")
    process = spec.get("process")
    if not isinstance(process, dict):
        raise LaunchError(SPEC, "the specification has no process")
    container = Container(options.root, options.id)
    in_front = is_run and not options.detach
    handover.check_console(options, is_terminal=bool(process.get("terminal")), in_front=in_front)
    cgroup_path = cgroup_path_of(spec, container.id)
    others = tree().at(cgroup_path).pids()
    container.claim()
    try:
        notify_socket = handover.offer_notify_socket(spec, container)
        plan = compile_plan(
            spec,
            container_id=container.id,
            cgroup_path=cgroup_path,
            bundle=str(bundle),
            with_hooks=True,
            with_listener=True,
            exact_groups=True,
        )
        first = handover.keep_descriptors(plan.process, options.preserve_fds)
        if options.no_new_keyring:
            first = first._replace(extra=(first.extra or ProcessExtra())._replace(keeps_keyring=True))
        launched = _launch(container, plan._replace(process=first))
        if others:
            warning = f"container's cgroup is not empty: {len(others)} process(es) found"
            log.warning(warning)
        for warning in plan.process.warnings:
            log.warning(warning)
    except BaseException:
        container.forget()
        raise
    kept: dict[str, Any] = {"pid": launched.pid, "bundle": bundle, "cgroup_path": cgroup_path, "spec": spec}
    kept |= {"notify_socket": notify_socket, "shares_cgroup": bool(others)}
    try:
        container.save(is_creating=True, **kept)
        master = _set_up(container, launched, spec, options)
        container.save(**kept)
        launched.go()
    except BaseException:
        end_all(container)
        os.waitpid(launched.pid, 0)
        foreground.close(launched)
        destroy(container, log)
        raise
    return container, launched, master


def _set_up(container: Container, launched: Launched, spec: dict[str, Any], options: argparse.Namespace) -> int:
    """Handle the requests of the first process until it is ready for its command; the terminal's master or -1.

    Raises LaunchError, OSError.
    """

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        """Do what the process cannot do inside its namespaces: run hooks, or pass on a seccomp listener."""
        state = container.state_of("creating")
        if "hooks" in asked:
            for kind in ("prestart", "createRuntime"):
                _run_hooks(spec, kind, state)
            return state
        seccomp = spec["linux"]["seccomp"]
        handover.give_listener(seccomp, launched.pid, launched.pidfd, asked["listener"], state)
        return {}

    foreground.await_ready(launched, answer)
    master = -1
    if spec["process"].get("terminal"):
        master = foreground.take_master(launched)
        if options.console_socket:
            handover.send_terminal(options.console_socket, master)
            os.close(master)
            master = -1
    if options.pid_file:
        handover.write_pid(options.pid_file, launched.pid)
    return master


def _launch(container: Container, plan: Plan) -> Launched:
    fds = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in (container.fifo, container.started_fifo)]
    try:
        with foreground.one_spawner() as spawner:
            return launch(
                plan,
                stdin_fd=0,
                stdout_fd=1,
                stderr_fd=2,
                start_fd=fds[0],
                started_fd=fds[1],
                spawner=spawner,
                needs_spawner=is_exposed(),
            )
    finally:
        for fd in fds:
            os.close(fd)


def _run_hooks(spec: dict[str, Any], kind: str, state: dict[str, Any]) -> None:
    """Run the hooks of one kind. Raises LaunchError from the first that fails."""
    run_hooks(kind, compiled_hooks(spec).get(kind) or (), state)


def compiled_hooks(spec: dict[str, Any]) -> dict[str, list[Hook]]:
    return compile_hooks(spec.get("hooks") or {})


def start(options: argparse.Namespace, log: Log) -> int:
    container = Container.load(options.root, options.id)
    status = container.status()
    if status == "stopped":
        raise LaunchError(OTHER, "cannot start a container that has stopped")
    if status != "created":
        raise LaunchError(OTHER, "cannot start an already running container")
    _start(container, log)
    return 0


def _start(container: Container, log: Log) -> None:
    """Let the created container execute its command, and wait until it has done so.

    If a hook or the command fails, a container with hooks is stopped and deleted (runtime.md, "Lifecycle"). Raises
    LaunchError.
    """
    spec = container.spec()
    pidfd = container.open_pidfd()
    try:
        with handover.Readiness(container) as readiness:
            try:
                _release(container)
                _run_hooks(spec, "poststart", container.state_of("running"))
            except LaunchError:
                if spec.get("hooks"):
                    destroy(container, log)
                raise
            readiness.pass_on(pidfd)
    finally:
        os.close(pidfd)


def _release(container: Container) -> None:
    """Write to the FIFO on which the process waits. Raises LaunchError if it has ended, or if its execve failed."""
    try:
        fd = os.open(container.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:  # ENXIO: no process has the FIFO open
        raise LaunchError(OTHER, "cannot start a container that has stopped") from e
    started_fd = os.open(container.started_fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.set_blocking(started_fd, True)
        os.write(fd, b"s")
        os.close(fd)
        container.fifo.unlink()
        while foreground.read_report(started_fd) is not None:
            continue
    finally:
        os.close(started_fd)


def kill(options: argparse.Namespace, log: Log) -> int:
    container = Container.load(options.root, options.id)
    number = signal_number(options.signal)
    if options.all:
        signal_all(container, number)
    else:
        if container.status() == "stopped":
            raise LaunchError(OTHER, "container not running")
        pidfd = container.open_pidfd()
        try:
            pidfd_send_signal(pidfd, number)
        except ProcessLookupError as e:
            raise LaunchError(OTHER, "container not running") from e
        finally:
            os.close(pidfd)
    if number == signal.SIGKILL:
        thaw_for_kill(container)
    return 0


def delete(options: argparse.Namespace, log: Log) -> int:
    try:
        container = Container.load(options.root, options.id)
    except LaunchError:
        if options.force:
            return 0
        raise
    status = container.status()
    # A created container is deleted too, as with runc: engines abandon a container this way if `start` never came.
    if status not in ("stopped", "created") and not options.force:
        raise LaunchError(OTHER, f"cannot delete container {container.id} that is not stopped: {status}")
    destroy(container, log)
    return 0


def destroy(container: Container, log: Log) -> None:
    """Undo `create`, then run the poststop hooks; their failures are warnings (runtime.md, "Lifecycle", 12 and 13)."""
    spec, state = container.spec(), container.state_of("stopped")
    end_all(container)
    if not container.cgroup.remove_unless_in_use():
        warning = f"the cgroup {container.cgroup_path} is not removed: it has processes of another container"
        log.warning(warning)
    container.forget()
    for number, hook in enumerate(compiled_hooks(spec).get("poststop") or ()):
        try:
            run_hook("poststop", number, hook, state)
        except LaunchError as e:
            log.warning(str(e))


def cgroup_path_of(spec: dict[str, Any], container_id: str) -> str:
    """The path of the container's cgroup. Raises LaunchError for systemd's form (slice:prefix:name) or a bad path."""
    path = (spec.get("linux") or {}).get("cgroupsPath") or ""
    if ":" in path:
        raise LaunchError(SPEC, f"cgroupsPath {path!r}: systemd's own cgroups are not supported")
    if not path:
        return f"/cove-runtime-{container_id}"  # no common parent: no command would know when to remove it
    try:
        return check_path(os.path.normpath(path if path.startswith("/") else f"/cove-runtime/{path}"))
    except ValueError as e:
        raise LaunchError(SPEC, f"cgroupsPath: {e}") from e


def signal_number(word: str) -> int:
    """The number of a signal given as "15", "TERM", "SIGTERM" or "SIGRTMIN+n". Raises LaunchError."""
    if word.isdigit():
        return int(word)
    name = word.upper()
    if name.startswith(("SIGRTMIN+", "RTMIN+")):
        return int(signal.SIGRTMIN) + int(name.partition("+")[2])
    try:
        return int(signal.Signals[name if name.startswith("SIG") else "SIG" + name])
    except KeyError as e:
        raise LaunchError(SPEC, f"unknown signal {word!r}") from e
