"""After an engine is killed, the next one finds all containers in their state and applies restart policies."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import docker

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from vmagent.engine.lifecycle import STOP_TIMEOUT_S

IMAGE = "busybox:latest"
LOOP = "while :; do sleep 0.05; done"


def inspect(engine: NativeEngine, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(engine.docker("inspect", name).stdout)[0]
    return told


def kill(engine: NativeEngine, *names: str) -> None:
    """SIGKILL to processes of the agent, and wait until the next engine answers."""
    for name in names:
        os.kill(engine.pid_of(name), signal.SIGKILL)
    engine.wait_until_answering()


def test_the_next_engine_takes_over_what_runs(own_engine: NativeEngine) -> None:
    engine = own_engine
    run = ["run", "-d", "--name"]
    engine.docker(*run, "web", "-p", "127.0.0.1::80", IMAGE, "sh", "-c", "while :; do echo hi | nc -l -p 80; done")
    engine.docker(*run, "paused", "--network", "none", IMAGE, "sh", "-c", LOOP)
    engine.docker("pause", "paused")
    engine.docker(
        *run, "ends", "--network", "none", IMAGE, "sh", "-c", "until test -e /end; do sleep 0.02; done; exit 7"
    )
    engine.docker(*run, "gone", "--rm", "--network", "none", IMAGE, "sh", "-c", LOOP)
    before = {name: inspect(engine, name) for name in ("web", "paused")}
    gone_pid = inspect(engine, "gone")["State"]["Pid"]

    engine.docker("exec", "-d", "ends", "sh", "-c", "sleep 0.3; touch /end")
    kill(engine, "cove-engine", "cove-supervisor")
    os.kill(gone_pid, signal.SIGKILL)
    kill(engine, "cove-engine")

    assert engine.docker("wait", "ends").stdout == "7\n"
    for name, old in before.items():
        new = inspect(engine, name)
        for key in ("Pid", "StartedAt", "Status"):
            assert new["State"][key] == old["State"][key], (name, key)
        assert new["NetworkSettings"] == old["NetworkSettings"]
    assert engine.docker("exec", "web", "echo", "in").stdout == "in\n"
    engine.docker("unpause", "paused")
    engine.docker("kill", "paused")
    assert inspect(engine, "paused")["State"]["ExitCode"] == 137
    engine.docker("wait", "gone", check=False)  # until its removal, if that is still under way
    assert "gone" not in engine.docker("ps", "-a", "--format", "{{.Names}}").stdout
    engine.docker("rm", "-f", "web", "paused", "ends")


def test_policies_outlive_a_stop_of_the_whole_agent(own_engine: NativeEngine) -> None:
    engine = own_engine
    script = f"trap 'exit 0' TERM; touch /ready; {LOOP}"
    for name, policy in (("always", "always"), ("byhand", "unless-stopped"), ("never", "no")):
        args = ["--name", name, "--restart", policy, "--network", "none", IMAGE, "sh", "-c", script]
        engine.docker("run", "-d", *args)
        engine.docker("exec", name, "sh", "-c", "until test -e /ready; do sleep 0.01; done")
    engine.docker("stop", "byhand")
    deaf = f"trap '' TERM; touch /ready; {LOOP}"
    engine.docker("run", "-d", "--name", "deaf", "--stop-timeout", "0", "--network", "none", IMAGE, "sh", "-c", deaf)
    engine.docker("exec", "deaf", "sh", "-c", "until test -e /ready; do sleep 0.01; done")
    assert engine.process is not None
    engine.process.send_signal(signal.SIGTERM)
    assert engine.process.wait(STOP_TIMEOUT_S - 1) == 0  # no container has the ten seconds of those that ask nothing
    engine.start()
    client = docker.APIClient(base_url=engine.host, version="1.44", timeout=HANG_S)
    events = client.events(since=1, decode=True, filters={"container": "always", "event": "start"})
    assert next(iter(events))["Actor"]["Attributes"]["name"] == "always"  # the new engine's ring begins with it
    events.close()
    client.close()
    assert inspect(engine, "always")["State"]["Running"] is True
    states = {name: inspect(engine, name)["State"]["Status"] for name in ("byhand", "never", "deaf")}
    assert states == {"byhand": "exited", "never": "exited", "deaf": "exited"}
    engine.docker("rm", "-f", "always", "byhand", "never", "deaf")
