"""`cove-runtime exec`: another process in a running container."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vmagent.linux.process import CLONE_NEWTIME, CLONE_NEWUSER
from vmagent.runtime import foreground, handover
from vmagent.runtime.exposure import is_exposed
from vmagent.runtime.failure import OTHER, SPEC, LaunchError
from vmagent.runtime.launch import launch_exec
from vmagent.runtime.log import Log
from vmagent.runtime.plan import compile_exec
from vmagent.runtime.state import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmagent.runtime.cgroups import Cgroup

# The sets that --cap extends. Not the inheritable and ambient ones: through those, a process of a user other than root
# would get the capability (CVE-2022-29162).
_CAPABILITY_SETS = ("bounding", "effective", "permitted")


def execute(options: argparse.Namespace, log: Log) -> int:
    container = Container.load(options.root, options.id)
    status = container.status()
    if status in ("stopped", "creating"):
        raise LaunchError(OTHER, f"cannot exec in a {status} container")
    if status == "paused" and not options.ignore_paused:
        raise LaunchError(OTHER, "cannot exec in a paused container (use --ignore-paused to override)")
    spec = container.spec()
    linux = spec.get("linux") or {}
    process = _process(options, spec["process"])
    is_terminal = bool(process.get("terminal"))
    handover.check_console(options, is_terminal=is_terminal, in_front=not options.detach)
    compiled = compile_exec(
        process,
        seccomp=linux.get("seccomp"),
        user=options.user,
        personality=linux.get("personality"),
        namespaces=_namespaces(linux),
        with_listener=True,
        exact_groups=True,
    )
    compiled = handover.keep_descriptors(compiled, options.preserve_fds)
    pidfd = container.open_pidfd()
    try:
        with foreground.one_spawner() as spawner:
            launched = launch_exec(
                compiled,
                container_pidfd=pidfd,
                cgroup=_cgroup(options.cgroup, container),
                stdin_fd=0,
                stdout_fd=1,
                stderr_fd=2,
                spawner=spawner,
                needs_spawner=is_exposed(),
            )
    finally:
        os.close(pidfd)
    for warning in compiled.warnings:
        log.warning(warning)

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        state = container.state_of("running")
        handover.give_listener(linux["seccomp"], launched.pid, launched.pidfd, asked["listener"], state)
        return {}

    master = -1
    try:
        foreground.await_ready(launched, answer)
        if is_terminal:
            master = foreground.take_master(launched)
            if options.console_socket:
                handover.send_terminal(options.console_socket, master)
                os.close(master)
                master = -1
        if options.pid_file:
            handover.write_pid(options.pid_file, launched.pid)
        launched.go()
        while foreground.read_line(launched) is not None:  # raises LaunchError if execve has failed
            continue
        return 0 if options.detach else foreground.wait(launched, master)
    finally:
        foreground.close(launched)
        if master >= 0:
            os.close(master)


def _process(options: argparse.Namespace, base: dict[str, Any]) -> dict[str, Any]:
    """The OCI process object: the file of --process, or the container's changed by the flags. Raises LaunchError."""
    if options.apparmor or options.process_label:
        raise LaunchError(SPEC, "this project has neither AppArmor nor SELinux")
    if options.process:
        return handover.read_json(Path(options.process))
    if not options.args:
        raise LaunchError(SPEC, "process args cannot be empty")
    process = dict(base, args=options.args, terminal=options.tty)
    if options.cwd:
        process["cwd"] = options.cwd
    process["env"] = [*(base.get("env") or ()), *options.env]
    if options.no_new_privs:
        process["noNewPrivileges"] = True
    if options.additional_gids:
        user = dict(process.get("user") or {})
        user["additionalGids"] = [*(user.get("additionalGids") or ()), *options.additional_gids]
        process["user"] = user
    if options.cap:
        sets = process.get("capabilities") or {}
        names = [name.upper() for name in options.cap]
        more = {kind: [*(sets.get(kind) or ()), *names] for kind in _CAPABILITY_SETS}
        process["capabilities"] = {**sets, **more}
    return process


def _namespaces(linux: dict[str, Any]) -> int:
    names = {entry["type"] for entry in linux.get("namespaces") or ()}
    return (CLONE_NEWUSER if "user" in names else 0) | (CLONE_NEWTIME if "time" in names else 0)


def _cgroup(given: list[str], container: Container) -> Cgroup:
    """The cgroup for the new process: the container's, or those below it that --cgroup names. Raises LaunchError."""
    own = container.cgroup_path
    paths = {}
    for controller, below in _sub_cgroups(given).items():
        path = os.path.normpath(f"{own}/{below}")
        if path != own and not path.startswith(own + "/"):
            raise LaunchError(SPEC, f"{below} is not a sub cgroup path")
        paths[controller] = path
    try:
        return container.cgroup.redirected(paths)
    except ValueError as e:
        raise LaunchError(SPEC, f"--cgroup: {e}") from e
    except FileNotFoundError as e:
        raise LaunchError(OTHER, f"--cgroup: {e.strerror}") from e


def _sub_cgroups(given: list[str]) -> dict[str, str]:
    """Parse the values of --cgroup, "path" or "controller,…:path" as in runc. Raises LaunchError.

    Returns paths relative to the container's cgroup, by controller; "" stands for all controllers.
    """
    result = {}
    for argument in given:
        controllers, colon, path = argument.partition(":")
        if ":" in path:
            raise LaunchError(SPEC, f"invalid --cgroup argument: {argument}")
        if not colon:
            if len(given) > 1:
                raise LaunchError(SPEC, f"invalid --cgroup argument: {argument} (missing <controller>: prefix)")
            return {"": argument}
        for controller in controllers.split(","):
            if not controller:
                raise LaunchError(SPEC, f"invalid --cgroup argument: {argument}")
            result[controller] = path
    return result
