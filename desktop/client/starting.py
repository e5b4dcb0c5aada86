"""Starting the engine of a context: the host agent with its VM, or the native engine if this user may start it.

Both are started detached: they outlive the command or window that started them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from desktop.client.api import ApiError
from desktop.client.engine import EngineClient
from desktop.client.host import HostClient, HostState
from desktop.client.http import ConnectionFailed, Endpoint, NoReply

if TYPE_CHECKING:
    import subprocess

    from desktop.paths import HostPaths

AGENT_LIMIT_S = 20.0
# An agent replies within some milliseconds, on a busy machine within a second. One that hangs is told within 3 s.
REPLY_LIMIT_S = 2.5
NATIVE_LIMIT_S = 20.0
_POLL_S = 0.05


class CannotStart(Exception):
    """The engine of the context does not start; str() is the reason, `hint` what the user can do (or "")."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


OnState = Callable[[HostState], None]


def host_client(paths: HostPaths) -> HostClient:
    """A client of this home's host agent, running or not."""
    return HostClient(Endpoint.local(paths.host_socket))


def ensure_host_agent(paths: HostPaths) -> HostClient:
    """A client of this home's host agent, which is started if none runs. Raises CannotStart."""
    client = host_client(paths)
    try:
        with HostClient(Endpoint.local(paths.host_socket), timeout_s=REPLY_LIMIT_S) as asking:
            asking.state()
        return client
    except NoReply as e:
        raise CannotStart(*agent_silence(paths)) from e
    except ConnectionFailed:
        pass  # none runs
    _check_home(paths.home)
    process = _spawn([sys.executable, "-m", "desktop.cli.main", "host"], paths.agent_log)
    deadline = time.monotonic() + AGENT_LIMIT_S
    while True:
        try:
            client.state()
            _abandon(process)
            return client
        except ConnectionFailed as e:
            # Another client may start an agent at the same time: then one of the two ends, and the other one serves.
            ended = process.poll()
            if ended == 1:
                client.close()
                raise CannotStart(_last_line(paths.agent_log), f"See {paths.agent_log}") from e
            if time.monotonic() > deadline:
                client.close()
                what = "does not answer" if ended is None else f"ended with status {ended}"
                raise CannotStart(f"the host agent {what}: {e}", f"See {paths.agent_log}") from e
        time.sleep(_POLL_S)  # no event tells of a socket that does not exist yet


def _check_home(home: Path) -> None:
    """Raises CannotStart if `home` can't be used."""
    if not home.exists():
        return
    if not home.is_dir():
        raise CannotStart(
            f"{home} is a file, and Cove needs a folder there", "Move it away, or set COVE_HOME to another folder"
        )
    owner = home.stat().st_uid
    if sys.platform != "win32" and owner != os.getuid():
        raise CannotStart(
            f"{home} belongs to another user (number {owner})",
            f"Give it back: sudo chown -R {os.getuid()} {home}; or set COVE_HOME to another folder",
        )


def agent_silence(paths: HostPaths) -> tuple[str, str]:
    """What to say of a host agent that accepts connections and does not reply, and what helps."""
    try:
        pid = int(paths.agent_lock.read_text())
    except (OSError, ValueError):
        return "the host agent does not reply", "End its process, `cove host`: the VM goes on, and is taken over"
    return (
        f"the host agent (process {pid}) does not reply",
        f"If it stays so: kill -9 {pid}. The VM goes on, and the next command takes it over",
    )


def left_qemu(paths: HostPaths) -> int | None:
    """The process of a QEMU that a host agent has left behind, for the case that none runs; None: there is none."""
    import json

    try:
        record = json.loads(paths.vm_record.read_text())
        pid, address = int(record["pid"]), record["qmp"]
        endpoint = Endpoint("tcp", "127.0.0.1", address) if isinstance(address, int) else Endpoint("unix", str(address))
        endpoint.connect(REPLY_LIMIT_S).close()  # refused: it has ended, and the record is old
    except (OSError, ValueError, KeyError, TypeError, ConnectionFailed):
        return None
    return pid


def ensure_vm(paths: HostPaths, on_state: OnState) -> HostState:
    """Start agent and VM if they do not run; returns when the engine in the VM is reachable.

    The agent limits each step of a start, so there is no limit here on the whole of a start that goes on. `on_state` is
    called with every state on the way. Raises CannotStart, ApiError, ConnectionFailed.
    """
    with ensure_host_agent(paths) as client:
        state = client.state()
        if state.state == "running":
            return state
        with client.events() as events:
            if state.state in ("stopped", "failed", "adopting", "saving", "saved"):
                state = client.start()
            on_state(state)
            asked_at = state.since
            for state in events.states():
                if state.since < asked_at:
                    continue  # a state from before our request
                on_state(state)
                if state.state == "running":
                    return state
                if state.state == "stopped" or (state.state == "failed" and state.restart_at is None):
                    break
        if state.error is not None:
            raise CannotStart(state.error.message, state.error.hint)
        raise CannotStart(f"the VM does not start: it is {state.state}", "See: cove vm logs")


def ensure_native(paths: HostPaths) -> None:
    """Start `cove-agent` on this machine if none runs and this user may start it. Raises CannotStart."""
    endpoint = Endpoint.local(paths.native_socket)
    if _answers(endpoint):
        return
    if sys.platform != "linux":
        raise CannotStart("the context `native` needs a Linux machine", "Use the VM: cove context use vm")
    agent = Path(sys.executable).with_name("cove-agent")
    command = [str(agent), "-H", str(endpoint)]
    if os.geteuid() != 0:
        raise CannotStart(
            "no engine runs on this machine, and starting one needs root", f"Run: sudo {' '.join(command)} &"
        )
    if not agent.exists():
        raise CannotStart(f"{agent} is missing", "Install the engine: pip install 'cove[agent]'")
    log = paths.home / "logs" / "agent.log"
    paths.native_socket.parent.mkdir(parents=True, exist_ok=True)
    process = _spawn(command, log)
    deadline = time.monotonic() + NATIVE_LIMIT_S
    while not _answers(endpoint):
        if (ended := process.poll()) is not None and ended != 0:
            raise CannotStart(f"cove-agent ended with status {ended}: {_last_line(log)}", f"See {log}")
        if time.monotonic() > deadline:
            raise CannotStart("cove-agent does not answer", f"See {log}")
        time.sleep(_POLL_S)  # as above
    _abandon(process)


def _answers(endpoint: Endpoint) -> bool:
    try:
        with EngineClient(endpoint, timeout_s=5) as client:
            client.ping()
    except (ConnectionFailed, ApiError):
        return False
    return True


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives us, its output in `log`. Raises CannotStart."""
    import subprocess

    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            if sys.platform == "win32":
                flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
                return subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, creationflags=flags
                )
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
    except OSError as e:
        raise CannotStart(f"{command[0]}: {e.strerror}") from e


def _abandon(process: subprocess.Popen[bytes]) -> None:
    """Mark a process that shall outlive us as waited for: otherwise Popen warns when it is garbage-collected."""
    if process.returncode is None:
        process.returncode = 0


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
