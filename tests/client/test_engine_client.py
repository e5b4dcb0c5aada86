"""The client against the native engine: streams, half-close, closing from another thread, reused connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.client.engine import ApiError, ConnectionFailed, Endpoint, EngineClient
from desktop.client.http import HijackedStream
from desktop.client.reference import InvalidReference
from desktop.client.run import Pipeline, Pull, RunOptions, Step, StepState
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

IMAGE = "busybox:latest"


@pytest.fixture
def client(engine: NativeEngine) -> Iterator[EngineClient]:
    with engine.client() as made:
        yield made
        for container in made.containers(all=True, filters={"label": ["cvt-client"]}):
            made.remove(container["Id"], force=True)


def _config(*command: str, **more: object) -> dict[str, object]:
    return {"Image": IMAGE, "Cmd": list(command), "Labels": {"cvt-client": ""}, **more}


def _read_all(stream: HijackedStream) -> tuple[bytes, bytes]:
    out = {1: b"", 2: b""}
    while (frame := stream.read()) is not None:
        out[frame.stream] += frame.data
    return out[1], out[2]


def test_attach_keeps_streams_apart_and_half_closes(client: EngineClient) -> None:
    made = client.create(_config("sh", "-c", "cat; echo err >&2; exit 3", OpenStdin=True, StdinOnce=True))
    with client.attach(made["Id"], stdin=True) as stream, client.waiter(made["Id"], "next-exit") as waiter:
        client.start(made["Id"])
        stream.write(b"abc")
        stream.close_write()
        assert _read_all(stream) == (b"abc", b"err\n")
        assert waiter.result() == 3
    assert b"".join(frame.data for frame in client.logs(made["Id"]) if frame.stream == 1) == b"abc"


def test_exec_gives_output_and_status(client: EngineClient) -> None:
    made = client.create(_config("sleep", "60"))
    client.start(made["Id"])
    exec_id = client.exec_create(
        made["Id"], {"Cmd": ["sh", "-c", "cat; exit 9"], "AttachStdin": True, "AttachStdout": True}
    )
    with client.exec_start(exec_id) as stream:
        stream.write(b"zz")
        stream.close_write()
        assert _read_all(stream) == (b"zz", b"")
    assert client.exec_inspect(exec_id)["ExitCode"] == 9


def test_a_stream_is_ended_from_another_thread(client: EngineClient) -> None:
    made = client.create(_config("sh", "-c", "echo here; sleep 60"))
    client.start(made["Id"])
    with client.logs(made["Id"], follow=True) as logs, client.events() as events:
        seen = threading.Event()
        got: list[bytes] = []

        def follow() -> None:
            for frame in logs:
                got.append(frame.data)
                seen.set()

        def watch() -> None:
            for _ in events:
                pass

        threads = [threading.Thread(target=follow), threading.Thread(target=watch)]
        for thread in threads:
            thread.start()
        assert seen.wait(HANG_S)
        logs.close()
        events.close()
        for thread in threads:
            thread.join(HANG_S)
            assert not thread.is_alive()
    assert got == [b"here\n"]


def test_plain_requests_share_a_connection(client: EngineClient) -> None:
    client.info()
    first = [connection.fileno() for connection in client._idle]
    for _ in range(5):
        client.info()
    assert [connection.fileno() for connection in client._idle] == first
    assert len(first) == 1


def test_several_gets_are_under_way_at_once_and_their_replies_in_order(client: EngineClient) -> None:
    made = [client.create(_config("true"))["Id"] for _ in range(10)]  # more than are sent at once
    asked = [(f"/containers/{one}/json", None) for one in made]
    missing = ("/containers/no-such/json", None)
    found = client.get_all([*asked[:3], missing, *asked[3:], ("/networks", {"filters": {"name": ["bridge"]}})])
    refused = found.pop(3)
    assert isinstance(refused, ApiError)
    assert (refused.status, str(refused)) == (404, "No such container: no-such")
    assert [one["Name"] for one in found.pop()] == ["bridge"]
    assert [one["Id"] for one in found] == made
    assert len(client._idle) == client.kept_connections
    assert client.get_all([]) == []


def test_several_gets_fail_as_one_does_and_leave_no_connection(tmp_path: Path) -> None:
    """The endpoint ends each connection without a reply."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def end_all() -> None:
            with contextlib.suppress(OSError):  # at the shutdown
                while True:
                    listener.accept()[0].close()

        ending = threading.Thread(target=end_all)
        ending.start()
        client = EngineClient(Endpoint("unix", str(path)), timeout_s=HANG_S)
        client._version = "1.50"
        with client, pytest.raises(ConnectionFailed):
            client.get_all([("/info", None)] * 3)  # it may fail before it has made three connections
        listener.shutdown(socket.SHUT_RDWR)
        ending.join()
        assert all(connection.is_closed for connection in client._all)


def test_refusals_have_docker_s_status_and_words(client: EngineClient) -> None:
    with pytest.raises(ApiError, match=r"No such container: nope") as refusal:
        client.inspect("nope")
    assert refusal.value.status == 404
    with pytest.raises(ApiError, match="No such image: nope:latest") as refusal:
        client.create(_config() | {"Image": "nope"})
    assert refusal.value.status == 404
    with pytest.raises(ApiError, match="No such container"):
        client.attach("nope")
    with pytest.raises(InvalidReference, match="must be lowercase"):
        client.pull("BAD")


def test_nobody_answering_is_said_so(tmp_path: Path) -> None:
    endpoint = Endpoint.parse(f"unix://{tmp_path}/none.sock")
    with EngineClient(endpoint) as lonely, pytest.raises(ConnectionFailed, match="No such file"):
        lonely.version()


def test_a_run_tells_its_five_steps(client: EngineClient) -> None:
    told: list[Step] = []
    options = RunOptions(image=IMAGE, config=_config("sleep", "60"))
    pipeline = Pipeline(client, options, told.append)
    started = pipeline.start(pipeline.create())
    assert [(step.number, step.name, step.state) for step in started.steps] == [
        (1, "look", StepState.DONE),
        (2, "pull", StepState.SKIPPED),
        (3, "create", StepState.DONE),
        (4, "mount", StepState.DONE),
        (5, "start", StepState.DONE),
    ]
    assert all(step.ms > 0 for step in started.steps if step.state is StepState.DONE)
    assert [step.name for step in told if step.state is StepState.RUNNING] == ["look", "create", "mount"]
    assert client.inspect(started.id)["State"]["Running"] is True
    assert str(client.inspect(started.id)["State"]["Pid"]) in started.steps[4].detail


def test_a_step_that_fails_says_which_and_why(client: EngineClient) -> None:
    told: list[Step] = []
    with pytest.raises(ApiError, match="No such image"):
        Pipeline(client, RunOptions(image="nope:1", pull=Pull.NEVER), told.append).create()
    assert (told[-1].name, told[-1].state) == ("create", StepState.FAILED)
    with pytest.raises(ApiError, match="refused"):
        Pipeline(client, RunOptions(image="127.0.0.1:1/nope"), told.append).create()
    assert (told[-1].name, told[-1].state) == ("pull", StepState.FAILED)
    pipeline = Pipeline(client, RunOptions(image=IMAGE, config=_config("nosuch")), told.append)
    created = pipeline.create()
    with pytest.raises(ApiError, match="executable file not found"):
        pipeline.start(created)
    assert (told[-1].name, told[-1].state) == ("start", StepState.FAILED)


def test_a_missing_image_is_pulled_with_progress(client: EngineClient, engine: NativeEngine, registry: str) -> None:
    reference = f"{registry}/cvt/client:1"
    engine.docker("tag", IMAGE, reference)
    engine.docker("push", reference)
    engine.docker("rmi", "-f", reference)
    layers: list[str] = []
    told: list[Step] = []
    options = RunOptions(image=reference, config=_config("true"))
    pipeline = Pipeline(client, options, told.append, lambda line: layers.append(line.status))
    pipeline.start(pipeline.create())
    pull = next(step for step in told if step.name == "pull" and step.state is StepState.DONE)
    assert "Downloaded newer image" in pull.detail
    assert any("Pulling from" in status for status in layers)
    engine.docker("rmi", "-f", reference)
