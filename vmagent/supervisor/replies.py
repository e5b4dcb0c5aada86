"""Replies to the engine and events about runs and execs; `vmagent.supervisor.supervisor` describes the protocol."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmagent.supervisor.containers import Run
    from vmagent.supervisor.execs import Exec


def spawned(run: Run) -> dict[str, Any]:
    return {"pid": run.pid, "started_at_ns": run.started_at_ns, "timings": run.timings}


def exited(run: Run) -> dict[str, Any]:
    return {
        "e": "exited",
        "id": run.id,
        "run": run.run,
        "exit_code": run.exit_code,
        "oom_killed": run.oom_killed,
        "at_ns": run.at_ns,
    }


def exec_exited(child: Exec) -> dict[str, Any]:
    return {"e": "exec_exited", "exec_id": child.exec_id, "exit_code": child.exit_code}


def exec_started(child: Exec) -> dict[str, Any]:
    """The reply for a started exec; the descriptors `Exec.stream_fds` are sent with it."""
    return {"pid": child.pid, "has_output": child.window is not None}


def exec_failed(child: Exec) -> dict[str, Any]:
    """The event for an exec whose command could not be executed: an exit with the status that docker reports then."""
    kind = child.failure[0] if child.failure is not None else ""
    exit_code = 127 if kind == "not-found" else 126
    return {"e": "exec_exited", "exec_id": child.exec_id, "exit_code": exit_code}
