"""Engine and supervisor killed under a container, with the real engine and the real docker client."""

from __future__ import annotations

import os
import signal
import statistics
import time

from tests.supervisor.conftest import children_of, comm
from tests.support.engine import NativeEngine

TICKER = "trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i; usleep 10000; done"


def kill(engine: NativeEngine, *names: str) -> tuple[float, float]:
    """SIGKILL to all of them at once; the seconds until all are back, and until the engine answers."""
    assert engine.process is not None
    before = {engine.pid_of(name) for name in names}
    began = time.monotonic()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    while not set(names) <= {comm(pid) for pid in children_of(engine.process.pid) if pid not in before}:
        assert time.monotonic() < began + 20, f"{names} did not come back"
        time.sleep(0.002)
    back_s = time.monotonic() - began
    engine.wait_until_answering()
    return back_s, time.monotonic() - began


def test_a_container_outlives_engine_supervisor_and_both(own_engine: NativeEngine) -> None:
    own_engine.docker("run", "-d", "--name", "ticker", "busybox", "sh", "-c", TICKER)
    both = ("cove-engine", "cove-supervisor")
    times = [kill(own_engine, *names) for _ in range(10) for names in (both[:1], both[1:])]
    times += [kill(own_engine, *both) for _ in range(3)]
    back_s, answering_s = zip(*times, strict=True)
    print(f"back: max {max(back_s):.3f} s; answering: median {statistics.median(answering_s):.3f} s")
    assert own_engine.docker("ps", "--format", "{{.Names}}").stdout.split() == ["ticker"]
    own_engine.docker("exec", "ticker", "kill", "-TERM", "1")
    assert own_engine.docker("wait", "ticker").stdout == "7\n"
    lines = own_engine.docker("logs", "ticker").stdout.splitlines()
    assert lines == [str(number) for number in range(1, len(lines) + 1)]
    assert len(lines) > 100
    assert statistics.median(back_s) < 1
    assert max(back_s) < 4  # other tests may keep the processors busy
    own_engine.docker("rm", "ticker")
