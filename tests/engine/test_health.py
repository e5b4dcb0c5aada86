"""Health checks: when they run, and what inspect shows of them."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until


def _health(engine: NativeEngine, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(engine.docker("inspect", "-f", "{{json .State.Health}}", name).stdout)
    return shown


def _run(engine: NativeEngine, name: str, check: str, *options: str) -> None:
    engine.docker("run", "-d", "--name", name, "--health-cmd", check, *options, "busybox", "sleep", "600")


def test_a_long_start_interval_does_not_delay_the_first_result_that_counts(engine: NativeEngine) -> None:
    periods = ("--health-start-period", "1s", "--health-start-interval", "600s")
    _run(engine, "late", "false", "--health-interval", "1s", "--health-retries", "1", *periods)
    try:
        wait_until(lambda: _health(engine, "late")["Status"] == "unhealthy")
    finally:
        engine.docker("rm", "-f", "late")


def test_the_output_of_a_probe_that_took_too_long_is_kept(engine: NativeEngine) -> None:
    _run(engine, "slow", "echo before; sleep 600", "--health-interval", "200ms", "--health-timeout", "1500ms")
    try:
        wait_until(lambda: _health(engine, "slow")["Log"])
        result = _health(engine, "slow")["Log"][0]
        assert result["ExitCode"] == -1
        assert result["Output"] == "Health check exceeded timeout (1.5s): before\n"
    finally:
        engine.docker("rm", "-f", "slow")


def test_a_restart_begins_anew_and_still_shows_the_earlier_results(engine: NativeEngine) -> None:
    _run(engine, "again", "echo first", "--health-interval", "300ms")
    try:
        wait_until(lambda: _health(engine, "again")["Status"] == "healthy")
        engine.docker("update", "--restart", "no", "again")
        engine.docker("stop", "-t0", "again")
        before = _health(engine, "again")
        engine.docker("start", "again")
        after = _health(engine, "again")
        assert after["Log"][0]["Output"] == before["Log"][0]["Output"] == "first\n"
    finally:
        engine.docker("rm", "-f", "again")


def test_a_healthy_container_stays_healthy_over_a_crash_of_the_engine(own_engine: NativeEngine) -> None:
    # The check is not run again within the test: the status can only come from before the crash.
    periods = ("--health-start-period", "600s", "--health-start-interval", "200ms", "--health-interval", "600s")
    _run(own_engine, "steady", "true", *periods)
    wait_until(lambda: _health(own_engine, "steady")["Status"] == "healthy")
    wait_until(lambda: '"health":"healthy"' in _state_file(own_engine, "steady"))
    os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
    own_engine.wait_until_answering()
    wait_until(lambda: own_engine.docker("inspect", "steady", check=False).returncode == 0)
    assert _health(own_engine, "steady")["Status"] == "healthy"
    own_engine.docker("rm", "-f", "steady")


def _state_file(engine: NativeEngine, name: str) -> str:
    container = engine.docker("inspect", "-f", "{{.Id}}", name).stdout.strip()
    return (engine.root / "data" / "containers" / container / "state.json").read_text()
