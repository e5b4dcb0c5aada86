"""Real clients against the API."""

from __future__ import annotations

import json
import time

import docker as docker_py
import pytest
from docker.models.containers import Container

from tests.api.conftest import Running


def test_run_prints_both_streams_and_passes_the_status_on(api: Running) -> None:
    ran = api.docker("run", "--rm", "x", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"out\n", b"err\n", 3)
    assert api.docker("ps", "-aq").stdout == b""


def test_run_feeds_stdin_to_its_end(api: Running) -> None:
    ran = api.docker("run", "--rm", "-i", "x", "wc", "-c", stdin=b"z" * 5_000_000)
    assert ran.stdout.strip() == b"5000000", ran.stderr


def test_run_of_a_missing_command_is_127(api: Running) -> None:
    ran = api.docker("run", "--rm", "x", "no-such-command")
    assert ran.returncode == 127, ran.stderr
    assert b"executable file not found" in ran.stderr


def test_run_pulls_a_missing_image_and_says_why_it_cannot(api: Running) -> None:
    ran = api.docker("create", "--pull", "never", "missing")
    assert b"No such image: missing:latest" in ran.stderr


def test_logs_follow_to_the_end(api: Running) -> None:
    created = api.docker("run", "-d", "--name", "lines", "x", "sh", "-c", "echo a; sleep 0.3; echo b").stdout
    assert len(created.strip()) == 64
    assert api.docker("logs", "-f", "lines").stdout == b"a\nb\n"
    stamped = api.docker("logs", "-t", "--tail", "1", "lines").stdout
    stamp, _, rest = stamped.partition(b" ")
    assert rest == b"b\n"
    assert len(stamp) == len(b"2024-01-01T00:00:00.123456789Z")


def test_exec_streams_and_its_status(api: Running) -> None:
    api.docker("run", "-d", "--name", "host", "x", "sleep", "60")
    ran = api.docker("exec", "-i", "host", "sh", "-c", "cat; echo e >&2; exit 9", stdin=b"typed")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"typed", b"e\n", 9)
    assert api.docker("exec", "host", "no-such-command").returncode in (126, 127)
    assert b"is not running" in api.docker("exec", api.docker("create", "x").stdout.decode().strip(), "true").stderr


def test_pull_prints_progress_and_failures(api: Running) -> None:
    assert b"Downloaded newer image" in api.docker("pull", "good").stdout
    early = api.docker("pull", "nowhere")
    assert early.returncode == 1
    assert b"manifest unknown" in early.stderr
    late = api.docker("pull", "broken")
    assert late.returncode == 1
    assert b"the <registry> & its blobs" in late.stderr


def test_docker_py_runs_logs_execs_and_hears_events(api: Running) -> None:
    client = docker_py.DockerClient(base_url=f"unix://{api.path}")
    try:
        assert client.containers.run("x", ["sh", "-c", "echo hello"], remove=True) == b"hello\n"
        container = client.containers.run("x", ["sleep", "60"], detach=True, labels={"k": "v"})
        assert isinstance(container, Container)
        code, output = container.exec_run(["sh", "-c", "echo $((6*7))"])
        assert (code, output) == (0, b"42\n")
        for _ in range(20):  # docker-py loses output that shares a segment with the head
            assert container.exec_run(["echo", "x"]).output == b"x\n"
        stream = client.events(since=0, decode=True, filters={"label": "k=v"})
        assert [next(stream)["status"] for _ in range(2)] == ["create", "start"]
        container.kill()
        assert [next(stream)["Action"] for _ in range(2)] == ["kill", "die"]
        stream.close()
        with pytest.raises(docker_py.errors.NotFound, match="No such container: nope"):
            client.containers.get("nope")
    finally:
        client.close()


def test_events_of_the_past_end_by_themselves(api: Running) -> None:
    api.docker("run", "--name", "done", "x", "sh", "-c", "exit 3")
    until = f"{time.time():.9f}"  # the CLI cuts a relative time down to the second
    shown = api.docker(
        "events", "--since", "10m", "--until", until, "--filter", "container=done", "--format", "{{json .}}"
    )
    events = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [event["Action"] for event in events] == ["create", "start", "die"]
    assert events[2]["Actor"]["Attributes"]["exitCode"] == "3"
