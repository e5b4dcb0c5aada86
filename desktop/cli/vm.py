"""`cove vm`: start, stop and inspect the VM. All verbs but `logs` and `ssh` are requests to the host agent."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.app import Failure, VmProgress
from desktop.cli.flags import Flag, Spec, parse
from desktop.client import starting
from desktop.client.host import HostClient
from desktop.client.http import ConnectionFailed, Endpoint, NoReply

if TYPE_CHECKING:
    from desktop.cli.app import App
    from desktop.paths import HostPaths

SPEC = Spec(
    name="vm",
    usage="start | stop | restart | status | ssh | logs | reset",
    summary="Start, stop, look after the VM",
    least=1,
    mixed=False,
    more="Commands:\n  start     Start the VM and wait until its engine answers\n"
    "  stop      Stop the VM; if no container runs, the next start resumes it\n  restart   Stop and start it\n"
    "  status    Show its state; exit code 3 if it does not run\n"
    "  ssh       A shell in it, or one command: cove vm ssh [COMMAND...]\n"
    "  logs      What its console said\n  reset     Delete its disk with all images, containers and volumes",
)
START = Spec(name="vm start", usage="", summary="Start the VM and wait until its engine answers", most=0)
STOP = Spec(
    name="vm stop",
    usage="[OPTIONS]",
    summary="Stop the VM; if no container runs, the next start resumes it",
    most=0,
    flags=(Flag("shutdown", help="Shut Linux down in any case: the next start begins anew"),),
)
RESTART = Spec(name="vm restart", usage="", summary="Stop the VM and start it again", most=0)
STATUS = Spec(
    name="vm status",
    usage="[OPTIONS]",
    summary="Show the VM's state",
    most=0,
    flags=(Flag("format", kind="string", help="json: the state as the host agent tells it"),),
    statuses=(
        ("0", "the VM runs"),
        ("1", "it failed"),
        ("3", "it does not run"),
        ("4", "it does not answer, or nobody knows"),
    ),
)
SSH = Spec(
    name="vm ssh",
    usage="[COMMAND [ARG...]]",
    summary="A shell in the VM, or one command",
    mixed=False,
    statuses=(("0", "done"), ("255", "ssh failed"), ("other", "the command's own")),
)
LOGS = Spec(
    name="vm logs",
    usage="[OPTIONS]",
    summary="What the VM's console said",
    most=0,
    flags=(
        Flag("follow", "f", help="Go on as it grows"),
        Flag("boot", kind="string", help="Of an earlier boot: 1 is the one before the last, up to 4"),
    ),
)
RESET = Spec(
    name="vm reset",
    usage="[OPTIONS]",
    summary="Delete the VM's disk with all images, containers and volumes",
    most=0,
    flags=(Flag("yes", "y", help="Do not ask"),),
)
# As those of `systemctl status`: 3, it does not run; 4, unknown.
_NOT_RUNNING = 3
_STATUS_CODES = {"running": 0, "failed": 1, "not answering": 4, "unknown": 4}
_STATUS_LIMIT_S = 1.6


def main(argv: Sequence[str], app: App) -> int:
    verb, *rest = parse(SPEC, argv).args
    verbs = {
        "start": _start,
        "stop": _stop,
        "restart": _restart,
        "status": _status,
        "ssh": _ssh,
        "logs": _logs,
        "reset": _reset,
    }
    if verb not in verbs:
        raise Failure(f"cove: unknown command: cove vm {verb}", hint="\nRun 'cove vm --help'")
    return verbs[verb](rest, app)


def _start(argv: Sequence[str], app: App) -> int:
    parse(START, argv)
    started = time.monotonic()
    try:
        with VmProgress() as progress:
            state = starting.ensure_vm(app.paths, progress)
    except starting.CannotStart as e:
        raise Failure(str(e), hint=e.hint) from e
    print(f"The VM runs ({state.accelerator}), started in {time.monotonic() - started:.1f} s ({state.way})")
    for reason in state.dropped:
        print(f"cove: {reason}", file=sys.stderr)
    return 0


def _stop(argv: Sequence[str], app: App) -> int:
    flags = parse(STOP, argv)
    with starting.host_client(app.paths) as client:
        if _raw_state(app.paths) is not None:
            client.shutdown() if flags.on("shutdown") else client.stop()
    print("The VM has stopped")
    return 0


def _restart(argv: Sequence[str], app: App) -> int:
    parse(RESTART, argv)
    with starting.host_client(app.paths) as client:
        if _raw_state(app.paths) is not None:
            client.shutdown()
    return _start([], app)


def _status(argv: Sequence[str], app: App) -> int:
    flags = parse(STATUS, argv)
    state = _observed(app.paths)
    if flags.text("format") == "json":
        print(json.dumps(state, indent=2))
    elif flags.text("format"):
        raise Failure(f"unknown format: {flags.text('format')}", hint="There is one: json")
    else:
        for name, value in _facts(state):
            print(f"{name + ':' if name else '':<13} {value}")
    return _STATUS_CODES.get(state["state"], _NOT_RUNNING)


def _observed(paths: HostPaths) -> dict[str, Any]:
    """The VM's state as it is seen now, within two seconds. It may be `not answering`, of the agent or the VM, and also
    `unknown`, where no agent runs and a QEMU does."""
    now = time.time()
    try:
        with HostClient(Endpoint.local(paths.host_socket), timeout_s=_STATUS_LIMIT_S) as client:
            state = client.json_object("GET", "/v1/state", query={"probe": 1})
    except NoReply:
        message, hint = starting.agent_silence(paths)
        return {"state": "not answering", "since": now, "error": {"message": message, "hint": hint}}
    except ConnectionFailed:
        if (pid := starting.left_qemu(paths)) is None:
            return {"state": "stopped"}
        message = f"no host agent runs, but its QEMU (process {pid}) does"
        hint = "Take it over: cove vm start"
        return {"state": "unknown", "since": now, "qemu_pid": pid, "error": {"message": message, "hint": hint}}
    if state.get("silence") and state.get("error"):
        return {**state, "state": "not answering"}  # the cause is known: the disk is full
    if state.get("silence"):
        hint = "It may be busy, or paused from outside. If it stays so: cove vm restart"
        return {**state, "state": "not answering", "error": {"message": state["silence"], "hint": hint}}
    return state


def _facts(state: dict[str, Any]) -> list[tuple[str, str]]:
    if "since" not in state:
        return [("State", "stopped (no host agent runs)")]
    name = {"saved": "saved (resource saver)"}.get(state["state"], state["state"])
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state["since"]))
    is_known = "steps" in state and name != "not answering"  # else the time is that of what it did before
    facts = [("State", f"{name} since {since}" if is_known else name)]
    if error := state.get("error"):
        facts.append(("Error", error["message"]))
        facts += [("", line) for line in error.get("lines", ())]
        facts.append(("", error["hint"])) if error["hint"] else None
    if (last := state.get("last_end")) and state["state"] != "failed":
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(last["at"]))
        facts.append(("Last end", f"{at}, by itself: {last['message']}"))
    if restart_at := state.get("restart_at"):
        facts.append(("Restart", f"by itself in {max(0.0, restart_at - time.time()):.0f} s"))
    if accelerator := state.get("accelerator"):
        facts.append(("Accelerator", f"{accelerator['name']} ({accelerator['why']})"))
    if state["state"] == "running":
        start = state.get("start") or {}
        facts.append(("Start", "; ".join([start.get("way") or "taken over", *start.get("dropped", ())])))
        facts.append(("Size", f"{state['cpus']} CPUs, {state['memory_mb']} MB"))
        facts.append(("QEMU", f"process {state['qemu_pid']}"))
        facts.append(("Engine", state["engine_socket"]))
        around = state.get("surroundings") or {}
        if proxies := {around.get("http_proxy"), around.get("https_proxy")} - {None, ""}:
            facts.append(("Proxies", ", ".join(sorted(map(str, proxies)))))
        facts += [("Note", fault) for fault in around.get("faults", ())]
    # Of those that are not done only the last one goes on: what was before it has failed, and another way was taken.
    steps = [step for step in state.get("steps", ()) if not step["done"]][-1:]
    return facts + [("Step", f"{step['name']}, {step['ms'] / 1000:.1f} s") for step in steps]


def _ssh(argv: Sequence[str], app: App) -> int:
    command = parse(SSH, argv).args
    import shutil
    import subprocess

    program = shutil.which("ssh")
    if program is None:
        raise Failure("there is no `ssh` on this machine", status=255, hint="Install OpenSSH's client")
    with starting.host_client(app.paths) as client:
        state = _raw_state(app.paths, status=255)
        if state is None or state["state"] not in ("running", "saving", "saved"):
            raise Failure("the VM does not run", status=255, hint="Start it: cove vm start")
        # The VM is not saved while this stream is open; a saved one is woken.
        with client.hold() as held:
            states = iter(held)  # kept: its end would close the stream
            words = _ssh_words(program, app, int(next(states)["ssh_port"]), command)
            with subprocess.Popen(words) as process:
                while True:
                    try:
                        return process.wait()
                    except KeyboardInterrupt:  # ssh gets the signal too, and decides
                        continue


def _ssh_words(program: str, app: App, port: int, command: list[str]) -> list[str]:
    options = {
        "UserKnownHostsFile": f'"{app.paths.known_hosts}"',
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": "cove",
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
    }
    words = [program, "-F", "none", "-i", str(app.paths.client_key), "-p", str(port)]
    words += [f"-o{name}={value}" for name, value in options.items()]
    words += ["-tt"] if not command and sys.stdin.isatty() else []
    words.append("root@127.0.0.1")
    # The VM's shell parses the line again. Quote several words; pass a single word as the user's own command line.
    return words + (command if len(command) < 2 else [shlex.join(command)])


def _logs(argv: Sequence[str], app: App) -> int:
    flags = parse(LOGS, argv)
    if flags.on("follow"):
        with starting.host_client(app.paths) as client, client.logs(follow=True) as stream:
            for data in stream:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        return 0
    boot = flags.text("boot") or "0"
    if not boot.isdecimal():
        raise Failure(f"not the number of a boot: {boot}", hint="1 is the one before the last")
    log = app.paths.earlier_console_log(int(boot)) if int(boot) else app.paths.console_log
    try:
        text = log.read_bytes()
    except FileNotFoundError:
        if int(boot):
            raise Failure(f"no log is kept of boot {boot}", hint=f"There are: {log.parent}") from None
        raise Failure("the VM has said nothing: it was never started", hint="Start it: cove vm start") from None
    sys.stdout.buffer.write(text)
    return 0


def _reset(argv: Sequence[str], app: App) -> int:
    flags = parse(RESET, argv)
    if not flags.on("yes"):
        if not sys.stdin.isatty():
            raise Failure(
                "this deletes all images, containers and volumes of the VM", hint="Say so: cove vm reset --yes"
            )
        print("All images, containers and volumes of the VM will be deleted. Go on? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Failure("Nothing was deleted")
    # Only the agent may delete the disk, so it is started for this if it does not run.
    try:
        with starting.ensure_host_agent(app.paths) as client:
            client.reset()
    except starting.CannotStart as e:
        raise Failure(str(e), hint=e.hint) from e
    print("The VM's disk is deleted; the next start makes a new one")
    return 0


def _raw_state(paths: HostPaths, status: int = 1) -> dict[str, Any] | None:
    """The VM's state with all its fields; None if no host agent runs. Raises Failure with `status` if it hangs."""
    try:
        with HostClient(Endpoint.local(paths.host_socket), timeout_s=starting.REPLY_LIMIT_S) as asking:
            return asking.json_object("GET", "/v1/state")
    except NoReply as e:
        message, hint = starting.agent_silence(paths)
        raise Failure(message, status, hint) from e
    except ConnectionFailed:
        return None
