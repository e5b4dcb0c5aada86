"""`GET /cove/v1/stats`: one stream tells what all running containers use."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from desktop.client.engine import ApiError
from tests.support.description import conforms
from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until


def test_the_stream_shows_each_running_container_and_no_other(own_engine: NativeEngine) -> None:
    """Also that it works without any container, and that each object has the described shape."""
    with own_engine.client() as client, client.usage(interval_ms=100) as stream:
        samples = iter(stream)

        def next_that(holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
            """The next sample for which `holds` is true, as container name -> usage."""
            while True:
                sample = next(samples)
                conforms(sample, "GET", "/cove/v1/stats", 200)
                by_name = {entry["name"]: entry for entry in sample["containers"]}
                if holds(by_name):
                    return by_name

        assert next(samples) == {"containers": []}
        own_engine.docker("create", "--name", "never", "busybox:latest", "true")
        spin = "while :; do :; done"
        own_engine.docker("run", "-d", "--name", "busy", "-m", "64m", "busybox:latest", "sh", "-c", spin)
        own_engine.docker("run", "-d", "--name", "idle", "busybox:latest", "sleep", "1000")
        before = next_that(lambda found: found.keys() == {"busy", "idle"})
        after = next_that(lambda found: found["busy"]["cpu_ns"] > before["busy"]["cpu_ns"])
        assert after["busy"]["read"] > before["busy"]["read"]
        assert after["busy"]["memory_limit_bytes"] == 64 << 20
        assert after["idle"]["memory_limit_bytes"] > 64 << 20
        assert after["idle"]["pids"] == 1
        own_engine.docker("rm", "-f", "busy", "idle", "never")
        next_that(lambda found: not found)


def test_the_stream_ends_with_its_client(own_engine: NativeEngine) -> None:
    folder = f"/proc/{own_engine.pid_of('cove-engine')}/fd"
    with own_engine.client() as client:
        streams = [client.usage(interval_ms=100) for _ in range(5)]
        samples = [iter(stream) for stream in streams]  # kept: the end of an iterator closes its stream
        for sample in samples:
            next(sample)
        while_open = len(os.listdir(folder))
        for stream in streams:
            stream.close()
        wait_until(lambda: len(os.listdir(folder)) <= while_open - 5)


@pytest.mark.parametrize("interval", ["", "0", "99", "60001", "-100", "soon", "1e3"])
def test_a_bad_interval_is_refused(engine: NativeEngine, interval: str) -> None:
    with engine.client() as client:
        with pytest.raises(ApiError) as refused:
            client.request("GET", "/cove/v1/stats", {"interval_ms": interval})
        assert refused.value.status == 400
