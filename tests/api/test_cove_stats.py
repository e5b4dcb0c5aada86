"""`GET /cove/v1/stats`: one stream tells what all running containers use."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from desktop.client.api import JsonStream
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
        assert after["busy"]["run"] == 1
        assert after["busy"]["read"] > before["busy"]["read"]
        assert after["busy"]["memory_limit_bytes"] == 64 << 20
        assert after["idle"]["memory_limit_bytes"] > 64 << 20
        assert after["idle"]["pids"] == 1
        own_engine.docker("rm", "-f", "busy", "idle", "never")
        next_that(lambda found: not found)


def test_named_containers_are_followed_over_stop_start_and_replacement(own_engine: NativeEngine) -> None:
    docker = own_engine.docker
    docker("run", "-d", "--name", "other", "busybox:latest", "sleep", "1000")
    docker("create", "--name", "one", "busybox:latest", "sh", "-c", "ping -c 1 127.0.0.1; exec sleep 1000")
    two = docker("run", "-d", "--name", "two", "busybox:latest", "sleep", "1000").stdout.strip()
    with own_engine.client() as client, client.usage(100, ["one", two[:12]]) as stream:
        runs = ({entry["name"]: entry["run"] for entry in sample["containers"]} for sample in stream)
        assert next(runs) == {"two": 1}
        docker("start", "one")
        while next(runs) != {"one": 1, "two": 1}:
            pass
        docker("restart", "-t", "0", "one")
        docker("stop", "-t", "0", "two")
        while next(runs) != {"one": 2}:
            pass
        docker("rm", "-f", "one", "two")
        while next(runs) != {}:
            pass
        docker("run", "-d", "--name", "one", "busybox:latest", "sleep", "1000")  # another one with that name
        while next(runs) != {"one": 1}:
            pass
    docker("rm", "-f", "one", "other")


def test_traffic_is_counted_from_the_container_s_side(own_engine: NativeEngine) -> None:
    with own_engine.client() as client:
        own_engine.docker("run", "-d", "--name", "one", "busybox:latest", "sleep", "1000")
        gateway = client.inspect("one")["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
        before = _one(client.usage(100, ["one"]))
        with socket.create_server((gateway, 0)) as server:
            target = f"{gateway} {server.getsockname()[1]}"
            own_engine.docker("exec", "-d", "one", "sh", "-c", f"head -c 1000000 /dev/zero | nc {target}")
            connection, _ = server.accept()
            with connection:
                left = 1_000_000
                while left:
                    left -= len(connection.recv(1 << 16))
        after = _one(client.usage(100, ["one"]))
        assert after["sent_bytes"] - before["sent_bytes"] > 1_000_000
        assert 0 < after["received_bytes"] - before["received_bytes"] < 500_000, "acknowledgements alone"
        own_engine.docker("rm", "-f", "one")
        own_engine.docker("run", "-d", "--name", "one", "--network", "host", "busybox:latest", "sleep", "1000")
        hosts = _one(client.usage(100, ["one"]))
        assert (hosts["sent_bytes"], hosts["received_bytes"], hosts["networks"]) == (0, 0, [])
        own_engine.docker("rm", "-f", "one")


def test_traffic_is_told_by_network(own_engine: NativeEngine) -> None:
    """Also of a network that the container joined or left while it runs."""
    docker = own_engine.docker
    ids = {name: docker("network", "create", name).stdout.strip() for name in ("front", "back")}
    docker("run", "-d", "--name", "one", "--network", "front", "busybox:latest", "sleep", "1000")
    with own_engine.client() as client:

        def told() -> dict[str, tuple[int, int]]:
            """By the network's name: bytes received and sent."""
            sample = _one(client.usage(100, ["one"]))
            found = {entry["network"]: entry for entry in sample["networks"]}
            assert sum(entry["sent_bytes"] for entry in found.values()) == sample["sent_bytes"]
            assert sum(entry["received_bytes"] for entry in found.values()) == sample["received_bytes"]
            return {
                name: (found[network]["received_bytes"], found[network]["sent_bytes"])
                for name, network in ids.items()
                if network in found
            }

        assert told().keys() == {"front"}
        docker("network", "connect", "back", "one")
        gateway = client.json_object("GET", "/networks/back")["IPAM"]["Config"][0]["Gateway"]
        before = told()
        assert before.keys() == {"front", "back"}
        docker("exec", "one", "ping", "-c", "3", "-i", "0.1", "-s", "20000", gateway)
        after = told()
        assert after["back"][0] - before["back"][0] > 60_000
        assert after["back"][1] - before["back"][1] > 60_000
        assert after["front"][0] - before["front"][0] < 60_000
        docker("network", "disconnect", "front", "one")
        assert told().keys() == {"back"}
    docker("rm", "-f", "one")
    docker("network", "rm", *ids)


def _one(stream: JsonStream) -> dict[str, Any]:
    """The only container in the first object of a stream."""
    with stream:
        [entry] = next(iter(stream))["containers"]
    return dict(entry)


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


@pytest.mark.parametrize(("named", "status"), [("", 400), (",,", 400), ("nobody", 404)])
def test_bad_names_are_refused(engine: NativeEngine, named: str, status: int) -> None:
    with engine.client() as client:
        with pytest.raises(ApiError) as refused:
            client.request("GET", "/cove/v1/stats", {"containers": named})
        assert refused.value.status == status
        if status == 404:
            assert str(refused.value) == f"No such container: {named}"
