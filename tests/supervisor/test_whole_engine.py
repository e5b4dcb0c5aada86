"""Engine and supervisor are killed while a container runs, with the real engine and the real docker client."""

from __future__ import annotations

import os
import signal

from tests.supervisor.conftest import children_of, comm
from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until

TICKER = "trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i; usleep 10000; done"


def kill(engine: NativeEngine, *names: str) -> None:
    """Send SIGKILL to all of `names` at once; returns when all are running again and the engine answers."""
    assert engine.process is not None
    keeper = engine.process.pid
    before = {engine.pid_of(name) for name in names}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(names) <= {comm(pid) for pid in children_of(keeper) if pid not in before})
    engine.wait_until_answering()


def test_a_container_outlives_engine_supervisor_and_both(own_engine: NativeEngine) -> None:
    own_engine.docker("run", "-d", "--name", "ticker", "busybox", "sh", "-c", TICKER)
    both = ("cove-engine", "cove-supervisor")
    for names in (both[:1], both[1:]) * 10 + (both,) * 3:
        kill(own_engine, *names)
    assert own_engine.docker("ps", "--format", "{{.Names}}").stdout.split() == ["ticker"]
    own_engine.docker("exec", "ticker", "kill", "-TERM", "1")
    assert own_engine.docker("wait", "ticker").stdout == "7\n"
    lines = own_engine.docker("logs", "ticker").stdout.splitlines()
    assert lines == [str(number) for number in range(1, len(lines) + 1)]
    assert len(lines) > 23, "it went on through every kill"
    own_engine.docker("rm", "ticker")
