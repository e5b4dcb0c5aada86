"""What the supervisor tells the engine of runs and execs, see `vmagent.supervisor.supervisor` for the wire."""

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


def master(child: Exec) -> tuple[int, ...]:
    """The descriptors that go with the answer to a start: its terminal's master, where it has one."""
    return (child.master_fd,) if child.master_fd >= 0 else ()
