"""`cove-runtime`: the runtime as a command, in the shape that OCI engines drive (runc's).

Exit status: that of the process for `run` and `exec` in the foreground; 1 for a failure, 255 for one of `exec`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from vmagent.linux.interpreter import exec_protected, is_protected
from vmagent.linux.process import pidfd_send_signal
from vmagent.runtime import foreground
from vmagent.runtime.cgroups import tree
from vmagent.runtime.example import example_spec
from vmagent.runtime.failure import OTHER, SPEC, LaunchError
from vmagent.runtime.launch import launch, launch_exec
from vmagent.runtime.plan import compile_exec, compile_plan
from vmagent.runtime.state import Container

_PROTECTED_MARK = "COVE_RUNTIME_PROTECTED"


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    try:
        status: int = options.command(options)
        return status
    except LaunchError as e:
        text = str(e)
    except OSError as e:
        text = f"{e.strerror or e}" + (f": {e.filename}" if e.filename else "")
    _report(options, text)
    return 255 if options.name == "exec" else 1


def _report(options: argparse.Namespace, text: str) -> None:
    """To stderr, and to --log in the form that engines read back."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if options.log:
        record = json.dumps({"level": "error", "msg": text, "time": now})
        if options.log_format != "json":
            record = f"time={json.dumps(now)} level=error msg={json.dumps(text)}"
        with open(options.log, "a", encoding="utf-8") as log:
            log.write(record + "\n")
    print(f"cove-runtime: {text}", file=sys.stderr)


def _create(options: argparse.Namespace) -> int:
    _start_container(options, is_run=False)
    return 0


def _run(options: argparse.Namespace) -> int:
    container, launched, master = _start_container(options, is_run=True)
    _release(container)
    if options.detach:
        foreground.close(launched)
        return 0
    try:
        while foreground.read_line(launched) is not None:  # execve's own failure comes here
            continue
        return foreground.wait(launched, master)
    finally:
        foreground.close(launched)
        if master >= 0:
            os.close(master)
        if not options.keep:
            _destroy(container)


def _start_container(options: argparse.Namespace, *, is_run: bool) -> tuple[Container, Any, int]:
    """Everything up to the process that waits for `start`; (container, Launched, the terminal's master or -1)."""
    bundle = Path(options.bundle).absolute()
    spec = _read_json(bundle / "config.json")
    container = Container(options.root, options.id)
    is_terminal = bool((spec.get("process") or {}).get("terminal"))
    in_front = is_run and not options.detach
    if is_terminal and not in_front and not options.console_socket:
        raise LaunchError(SPEC, "cannot allocate tty if runc will detach without setting console socket")
    if options.console_socket and not is_terminal:
        raise LaunchError(SPEC, "cannot use console socket if runc will not detach or allocate tty")
    cgroup_path = _cgroup_path(spec, container.id)
    plan = compile_plan(spec, container_id=container.id, cgroup_path=cgroup_path, bundle=str(bundle))
    container.claim()
    try:
        start_fd = os.open(container.fifo, os.O_RDWR | os.O_CLOEXEC)
        try:
            launched = launch(plan, stdin_fd=0, stdout_fd=1, stderr_fd=2, start_fd=start_fd)
        finally:
            os.close(start_fd)
        master = -1
        try:
            launched.go()
            foreground.await_ready(launched)
            if is_terminal:
                master = foreground.take_master(launched)
                if options.console_socket:
                    foreground.send_master(options.console_socket, master)
                    os.close(master)
                    master = -1
            container.save(pid=launched.pid, bundle=bundle, cgroup_path=cgroup_path, spec=spec)
            if options.pid_file:
                _write_pid(options.pid_file, launched.pid)
        except BaseException:
            tree().at(cgroup_path).kill_all()
            os.waitpid(launched.pid, 0)
            foreground.close(launched)
            tree().at(cgroup_path).remove()
            raise
    except BaseException:
        container.forget()
        raise
    return container, launched, master


def _start(options: argparse.Namespace) -> int:
    container = Container.load(options.root, options.id)
    status = container.status()
    if status == "created":
        _release(container)
        return 0
    if status == "stopped":
        raise LaunchError(OTHER, "cannot start a container that has stopped")
    raise LaunchError(OTHER, "cannot start an already running container")


def _release(container: Container) -> None:
    """Let the created container execute its command. Raises LaunchError if its process is gone."""
    try:
        fd = os.open(container.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:  # ENXIO: nobody holds the other end
        raise LaunchError(OTHER, "cannot start a container that has stopped") from e
    os.write(fd, b"s")
    os.close(fd)
    container.fifo.unlink()


def _state(options: argparse.Namespace) -> int:
    print(json.dumps(Container.load(options.root, options.id).state(), indent=2))
    return 0


def _list(options: argparse.Namespace) -> int:
    states = []
    for folder in sorted(options.root.iterdir()) if options.root.is_dir() else ():
        try:
            states.append(Container.load(options.root, folder.name).state())
        except LaunchError:
            continue  # being made, or being removed
    if options.quiet:
        print("".join(f"{state['id']}\n" for state in states), end="")
    elif options.format == "json":
        print(json.dumps(states))
    else:
        row = "{:<24} {:<8} {:<9} {:<32} {}"
        print(row.format("ID", "PID", "STATUS", "BUNDLE", "CREATED"))
        for state in states:
            print(row.format(*(state[key] for key in ("id", "pid", "status", "bundle", "created"))))
    return 0


def _kill(options: argparse.Namespace) -> int:
    container = Container.load(options.root, options.id)
    number = _signal_number(options.signal)
    if options.all:
        container.cgroup.signal_all(number)
        return 0
    if container.status() == "stopped":
        raise LaunchError(OTHER, "container not running")
    pidfd = container.open_pidfd()
    try:
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError as e:
        raise LaunchError(OTHER, "container not running") from e
    finally:
        os.close(pidfd)
    if number == signal.SIGKILL and container.cgroup.is_frozen():
        container.cgroup.thaw()  # on v1, SIGKILL waits for the thaw
    return 0


def _delete(options: argparse.Namespace) -> int:
    try:
        container = Container.load(options.root, options.id)
    except LaunchError:
        if options.force:
            return 0
        raise
    status = container.status()
    if status not in ("stopped", "created") and not options.force:
        raise LaunchError(OTHER, f"cannot delete container {container.id} that is not stopped: {status}")
    _destroy(container)
    return 0


def _destroy(container: Container) -> None:
    container.cgroup.kill_all()
    container.cgroup.remove()
    container.forget()


def _exec(options: argparse.Namespace) -> int:
    container = Container.load(options.root, options.id)
    if container.status() != "running":
        raise LaunchError(OTHER, f"cannot exec in a {container.status()} container")
    spec = container.spec()
    process = _exec_process(options, spec["process"])
    is_terminal = bool(process.get("terminal"))
    if is_terminal and options.detach and not options.console_socket:
        raise LaunchError(SPEC, "cannot allocate tty if runc will detach without setting console socket")
    compiled = compile_exec(process, seccomp=(spec.get("linux") or {}).get("seccomp"), user=options.user)
    pidfd = container.open_pidfd()
    try:
        launched = launch_exec(
            compiled,
            container_pidfd=pidfd,
            cgroup_path=container.cgroup_path,
            stdin_fd=0,
            stdout_fd=1,
            stderr_fd=2,
        )
    finally:
        os.close(pidfd)
    master = -1
    try:
        launched.go()
        foreground.await_ready(launched)
        if is_terminal:
            master = foreground.take_master(launched)
            if options.console_socket:
                foreground.send_master(options.console_socket, master)
                os.close(master)
                master = -1
        if options.pid_file:
            _write_pid(options.pid_file, launched.pid)
        while foreground.read_line(launched) is not None:
            continue
        return 0 if options.detach else foreground.wait(launched, master)
    finally:
        foreground.close(launched)
        if master >= 0:
            os.close(master)


def _exec_process(options: argparse.Namespace, base: dict[str, Any]) -> dict[str, Any]:
    """The process of --process, or the container's own one changed by the flags."""
    if options.process:
        return _read_json(Path(options.process))
    if not options.args:
        raise LaunchError(SPEC, "process args cannot be empty")
    process = dict(base, args=options.args, terminal=options.tty)
    if options.cwd:
        process["cwd"] = options.cwd
    process["env"] = [*(base.get("env") or ()), *options.env]
    if options.no_new_privs:
        process["noNewPrivileges"] = True
    return process


def _pause(options: argparse.Namespace) -> int:
    container = Container.load(options.root, options.id)
    if container.status() not in ("running", "created"):
        raise LaunchError(OTHER, f"container not running: {container.status()}")
    container.cgroup.freeze()
    return 0


def _resume(options: argparse.Namespace) -> int:
    container = Container.load(options.root, options.id)
    if container.status() != "paused":
        raise LaunchError(OTHER, "container not paused")
    container.cgroup.thaw()
    return 0


def _ps(options: argparse.Namespace) -> int:
    print(json.dumps(Container.load(options.root, options.id).cgroup.pids()))
    return 0


def _spec(options: argparse.Namespace) -> int:
    path = Path(options.bundle) / "config.json"
    with path.open("x", encoding="utf-8") as file:
        json.dump(example_spec(), file, indent=2)
        file.write("\n")
    return 0


def _cgroup_path(spec: dict[str, Any], container_id: str) -> str:
    path = (spec.get("linux") or {}).get("cgroupsPath") or ""
    if ":" in path:
        raise LaunchError(SPEC, f"cgroupsPath {path!r}: systemd's own cgroups are not supported")
    if not path:
        return f"/cove-runtime/{container_id}"
    return os.path.normpath(path if path.startswith("/") else f"/cove-runtime/{path}")


def _signal_number(word: str) -> int:
    if word.isdigit():
        return int(word)
    name = word.upper()
    try:
        return int(signal.Signals[name if name.startswith("SIG") else "SIG" + name])
    except KeyError as e:
        raise LaunchError(SPEC, f"unknown signal {word!r}") from e


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError as e:
        raise LaunchError(SPEC, f"JSON specification file {path} not found") from e
    except ValueError as e:
        raise LaunchError(SPEC, f"{path}: {e}") from e
    return value


def _write_pid(path: str, pid: int) -> None:
    """Whole or not at all: engines wait for the file to appear."""
    temporary = Path(path).with_name(f".{Path(path).name}.tmp")
    temporary.write_text(str(pid), encoding="ascii")
    temporary.rename(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cove-runtime", description=__doc__, allow_abbrev=False)
    parser.add_argument("--root", type=Path, default=Path("/run/cove-runtime"), help="where states are kept")
    parser.add_argument("--log", default="", help="append errors to this file")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    commands = parser.add_subparsers(dest="name", required=True)

    def command(name: str, function: Any, help_text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_text, allow_abbrev=False)
        sub.set_defaults(command=function)
        return sub

    for name, function, text in (
        ("create", _create, "make a container that waits for `start`"),
        ("run", _run, "make a container, start it, wait for it"),
    ):
        sub = command(name, function, text)
        sub.add_argument("--bundle", "-b", default=".")
        sub.add_argument("--console-socket", default="")
        sub.add_argument("--pid-file", default="")
        if name == "run":
            sub.add_argument("--detach", "-d", action="store_true")
            sub.add_argument("--keep", action="store_true", help="do not delete the container after it ended")
        sub.add_argument("id")
    command("start", _start, "run the command of a created container").add_argument("id")
    command("state", _state, "print the OCI state").add_argument("id")
    command("pause", _pause, "freeze all processes").add_argument("id")
    command("resume", _resume, "let them go on").add_argument("id")
    command("ps", _ps, "print the pids as JSON").add_argument("id")
    sub = command("list", _list, "the containers below --root")
    sub.add_argument("--quiet", "-q", action="store_true")
    sub.add_argument("--format", "-f", choices=("table", "json"), default="table")
    sub = command("kill", _kill, "send a signal (default TERM)")
    sub.add_argument("--all", "-a", action="store_true")
    sub.add_argument("id")
    sub.add_argument("signal", nargs="?", default="TERM")
    sub = command("delete", _delete, "remove what is left of a stopped container")
    sub.add_argument("--force", "-f", action="store_true")
    sub.add_argument("id")
    sub = command("exec", _exec, "run another process in a container")
    sub.add_argument("--process", "-p", default="", help="an OCI process object, as a file")
    sub.add_argument("--tty", "-t", action="store_true")
    sub.add_argument("--user", "-u", default=None)
    sub.add_argument("--cwd", default="")
    sub.add_argument("--env", "-e", action="append", default=[])
    sub.add_argument("--no-new-privs", action="store_true")
    sub.add_argument("--detach", "-d", action="store_true")
    sub.add_argument("--console-socket", default="")
    sub.add_argument("--pid-file", default="")
    sub.add_argument("id")
    sub.add_argument("args", nargs=argparse.REMAINDER)
    command("spec", _spec, "write an example config.json").add_argument("--bundle", "-b", default=".")
    return parser


def entry() -> None:
    """The console script. Starts over from a protected interpreter first: see vmagent.linux.interpreter."""
    if not is_protected() and os.environ.get(_PROTECTED_MARK) != str(os.getpid()):
        env = {**os.environ, _PROTECTED_MARK: str(os.getpid())}
        exec_protected([sys.executable, "-P", "-m", "vmagent.runtime.command", *sys.argv[1:]], env)
    os.environ.pop(_PROTECTED_MARK, None)
    gc.disable()
    gc.freeze()
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
