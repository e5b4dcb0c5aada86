"""The engine is killed under an attached exec: the command continues, and its client attaches to the rest again."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from desktop.client.engine import ApiError, EngineClient
from desktop.client.http import ConnectionFailed, HijackedStream
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until

IMAGE = "busybox:latest"
LINES = 400
# Lines in two parts with a pause in which the engine is killed, then what comes on standard input.
SCRIPT = f"""
count() {{ i=$1; while [ $i -lt $2 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; }}
count 0 {LINES // 2}; echo pause; sleep 1; count {LINES // 2} {LINES}; read x; echo got $x; read y; echo got $y; exit 7
"""
ATTACHED = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
KILLED = [["cove-engine"], ["cove-supervisor", "cove-engine"], ["cove-supervisor"]]


@pytest.fixture
def container(own_engine: NativeEngine) -> Iterator[str]:
    with closing(own_engine.client()) as client:
        made = str(
            client.create({"Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}})["Id"]
        )
        client.start(made)
        yield made
    with closing(own_engine.client()) as client:
        client.remove(made, force=True)


def kill(engine: NativeEngine, names: list[str]) -> None:
    for name in names:
        os.kill(engine.pid_of(name), signal.SIGKILL)


def read_until(stream: HijackedStream, end: bytes) -> bytes:
    """The output of both streams up to `end` or the stream's end."""
    data = b""
    with suppress(ConnectionFailed):
        while end not in data and (frame := stream.read()) is not None:
            data += frame.data
    return data


def lines_of(data: bytes, name: bytes) -> list[bytes]:
    return [line for line in data.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(name + b" ")]


@pytest.mark.parametrize("names", KILLED, ids=["engine", "both", "supervisor"])
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
def test_an_attached_exec_outlives_its_engine(
    own_engine: NativeEngine, container: str, names: list[str], tty: bool
) -> None:
    end = b"pause\r\n" if tty else b"pause\n"
    with closing(own_engine.client()) as client:
        exec_id = client.exec_create(container, {**ATTACHED, "Tty": tty, "Cmd": ["sh", "-c", SCRIPT]})
        stream = client.exec_start(exec_id, tty=tty)
        data = read_until(stream, end)
        client.ping()  # the engine has come back to its loop: it has noted what it delivered
        kill(own_engine, names)
        if "cove-engine" in names:
            data += read_until(stream, b"never")
            stream.close()
            own_engine.wait_until_answering()
            assert client.exec_inspect(exec_id)["Running"] is True
            assert exec_id in client.inspect(container)["ExecIDs"]
            stream = client.exec_start(exec_id, tty=tty)
            with pytest.raises(ApiError, match="is already running") as raised:
                client.exec_start(exec_id, tty=tty)
            assert raised.value.status == 409
        stream.write(b"one\n")
        data += read_until(stream, b"got one\r\n" if tty else b"got one\n")
        if tty:
            stream.write(b"\n")
        else:
            stream.close_write()  # its end of input reaches the command, whoever made the pipe
        data += read_until(stream, b"never")
        stream.close()
        told = client.exec_inspect(exec_id)
    assert (told["Running"], told["ExitCode"]) == (False, 7)
    assert told["ProcessConfig"]["arguments"] == ["-c", SCRIPT]
    assert told["OpenStdin"] is told["OpenStdout"] is True
    for name in (b"out", b"err"):
        assert lines_of(data, name) == [b"%s %d" % (name, number) for number in range(LINES)]
    assert data.count(b"got") == 2


def test_an_exec_that_ended_without_an_engine_is_known_to_the_next(own_engine: NativeEngine, container: str) -> None:
    with closing(own_engine.client()) as client:
        script = "echo first; sleep 0.5; echo last; exit 3"
        exec_id = client.exec_create(container, {**ATTACHED, "Cmd": ["sh", "-c", script]})
        detached = client.exec_create(container, {"Cmd": ["sh", "-c", "exit 4"]})
        client.exec_start_detached(detached)
        stream = client.exec_start(exec_id)
        assert read_until(stream, b"first\n") == b"first\n"
        client.ping()
        pid = client.exec_inspect(exec_id)["Pid"]
        pidfd = os.pidfd_open(pid)
        os.kill(own_engine.pid_of("cove-engine"), signal.SIGSTOP)
        wait_for_end(pidfd)
        kill(own_engine, ["cove-engine"])
        assert read_until(stream, b"never") == b""
        stream.close()
        own_engine.wait_until_answering()
        told = client.exec_inspect(exec_id)
        assert (told["Running"], told["ExitCode"]) == (False, 3)
        stream = client.exec_start(exec_id)
        assert read_until(stream, b"never") == b"last\n"
        stream.close()
        assert client.exec_inspect(detached)["ExitCode"] == 4
        for ended in (exec_id, detached):
            with pytest.raises(ApiError, match="has already run"):
                client.exec_start(ended)


def test_an_exec_whose_container_was_removed_is_no_news_to_the_next_engine(own_engine: NativeEngine) -> None:
    """The supervisor still has the exec, and the run if its exit is not acknowledged. Neither is worth a warning."""
    own_engine.docker("run", "-d", "--name", "short", "--network", "none", IMAGE, "sleep", "1000")
    own_engine.docker("exec", "short", "true")
    own_engine.docker("rm", "-f", "short")
    kill(own_engine, ["cove-engine"])
    own_engine.wait_until_answering()


def test_a_client_that_comes_back_detached_does_not_hold_the_command(own_engine: NativeEngine, container: str) -> None:
    """More output than a window holds, and nobody who reads it."""
    with closing(own_engine.client()) as client:
        script = "echo first; head -c 4000000 /dev/zero; exit 5"
        exec_id = client.exec_create(container, {**ATTACHED, "Cmd": ["sh", "-c", script]})
        stream = client.exec_start(exec_id)
        assert read_until(stream, b"first\n").startswith(b"first\n")
        pidfd = os.pidfd_open(client.exec_inspect(exec_id)["Pid"])
        kill(own_engine, ["cove-engine"])
        stream.close()
        own_engine.wait_until_answering()
        client.exec_start_detached(exec_id)
        wait_for_end(pidfd)
        wait_until(lambda: not client.exec_inspect(exec_id)["Running"])
        assert client.exec_inspect(exec_id)["ExitCode"] == 5


def wait_for_end(pidfd: int) -> None:
    assert select.select([pidfd], [], [], HANG_S)[0]
    os.close(pidfd)


def test_output_waits_for_a_slow_client_and_is_bounded(own_engine: NativeEngine, container: str) -> None:
    """A client that does not read loses no output; the stored output is bounded, because the command has to wait."""
    size = 40 << 20
    with closing(own_engine.client()) as client:
        script = f"head -c {size} /dev/zero; echo end >&2"
        exec_id = client.exec_create(container, {**ATTACHED, "Cmd": ["sh", "-c", script]})
        with client.exec_start(exec_id) as stream:
            first = stream.read()
            assert first is not None
            assert supervisor_shmem(own_engine) < 8 << 20
            total, errors = len(first.data), b""
            while (frame := stream.read()) is not None:
                if frame.stream == 1:
                    total += len(frame.data)
                else:
                    errors += frame.data
        assert (total, errors) == (size, b"end\n")


def supervisor_shmem(engine: NativeEngine) -> int:
    """Bytes in the anonymous files that the supervisor has open."""
    total = 0
    folder = f"/proc/{engine.pid_of('cove-supervisor')}/fd"
    for name in os.listdir(folder):
        with suppress(OSError):
            if "memfd:" in os.readlink(f"{folder}/{name}"):
                total += os.stat(f"{folder}/{name}").st_blocks * 512
    return total


def test_many_execs_leave_no_descriptors(own_engine: NativeEngine, container: str) -> None:
    def use(client: EngineClient) -> None:
        for number in range(5):
            exec_id = client.exec_create(container, {**ATTACHED, "Tty": number == 4, "Cmd": ["echo", "hi"]})
            with client.exec_start(exec_id, tty=number == 4) as stream:
                assert read_until(stream, b"never").strip() == b"hi"
            gone = client.exec_create(container, {**ATTACHED, "Cmd": ["sh", "-c", "sleep 0.2; echo to nobody"]})
            client.exec_start(gone).close()
            detached = client.exec_create(container, {**ATTACHED, "Tty": True, "Cmd": ["echo", "to nobody"]})
            client.exec_start_detached(detached)
            for exec_id in (gone, detached):
                while client.exec_inspect(exec_id)["Running"]:
                    pass

    def counts() -> dict[str, int]:
        pids = {name: own_engine.pid_of(name) for name in ("cove-engine", "cove-supervisor")}
        assert own_engine.process is not None
        pids["keeper"] = own_engine.process.pid
        return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}

    with closing(own_engine.client()) as client:
        use(client)
        settle = client.exec_create(container, {"Cmd": ["true"]})
        client.exec_start_detached(settle)
        before = counts()
        for _ in range(4):
            use(client)
        for _ in range(200):
            if all(now <= before[name] + 2 for name, now in counts().items()):
                break
            signal.sigtimedwait([], 0.05)
        now = counts()
        assert all(now[name] <= before[name] + 2 for name in before), (before, now)
