"""The supervisor's requests, with real containers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.supervisor.conftest import Container, Engine, Keeper, cgroups_of, read_all
from vmagent.supervisor.messages import Exited, LogGrew, NotHeld, SpawnError, SupervisorError

WithEngine = Callable[[], AbstractAsyncContextManager[Engine]]


def test_a_container_gives_its_output_and_status(with_engine: WithEngine) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sh", "-c", "echo out; echo err >&2; printf tail; exit 7")
            spawned = await engine.client.spawn(container.request())
            assert spawned.pid > 0
            assert set(spawned.timings) == {"mount_ms", "setup_ms"}
            exited = await engine.exit_of(container)
            assert exited.exit_code == 7
            assert not exited.oom_killed
            assert isinstance(engine.events[-2], LogGrew | Exited)
            [held] = await engine.client.list()
            assert (held.id, held.run, held.state, held.exit_code) == (container.id, 1, "exited", 7)
            again = await engine.client.spawn(container.request())  # a repeated request does not start it again
            assert (again.pid, again.started_at_ns) == (spawned.pid, spawned.started_at_ns)
            await engine.client.acknowledge(container.id, 1)
            await engine.client.acknowledge(container.id, 1)
            assert not await engine.client.list()
            entries = container.log()
            assert sorted((entry.stream, entry.data) for entry in entries) == [
                (1, b"out\n"),
                (1, b"tail"),
                (2, b"err\n"),
            ]
            container.run = 2
            await container.start()
            assert (await container.end()).exit_code == 7
            data = b"".join(entry.data for entry in container.log() if entry.stream == 1)
            assert data == b"out\ntailout\ntail"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("args", "kind"), [(("nosuch",), "not-found"), (("/etc/passwd",), "permission"), (("/etc",), "permission")]
)
def test_a_command_that_cannot_run_is_an_error_and_leaves_nothing(
    with_engine: WithEngine, keeper: Keeper, args: tuple[str, ...], kind: str
) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container(*args)
            with pytest.raises(SpawnError) as raised:
                await container.start()
            assert raised.value.kind == kind
            assert not await engine.client.list()
            assert not cgroups_of(container)

    asyncio.run(scenario())


def test_signals_pause_stats_pids_and_what_is_refused(with_engine: WithEngine) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            client = engine.client
            container = engine.container("sh", "-c", "trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done")
            pid = await container.start()
            await engine.wait_for(lambda: b"up\n" in [entry.data for entry in container.log()])
            assert pid in await client.pids(container.id)
            stats = await client.stats(container.id)
            assert stats["cpu"]["usage_ns"] > 0
            await client.update(container.id, {"memory": {"limit": 64 << 20}})
            assert (await client.stats(container.id))["memory"]["limit"] == 64 << 20
            await client.signal(container.id, signal.SIGUSR1)
            await engine.wait_for(lambda: b"usr1\n" in [entry.data for entry in container.log()])
            await client.pause(container.id)
            await client.pause(container.id)
            assert [held.paused for held in await client.list()] == [True]
            await client.resume(container.id)
            await client.pause(container.id)
            with pytest.raises(SupervisorError, match="terminal"):
                await client.resize(container.id, 10, 10)
            with pytest.raises(SupervisorError, match="standard input"):
                await client.stdin_fd(container.id)
            with pytest.raises(SupervisorError, match="not ended"):
                await client.acknowledge(container.id, 1)
            with pytest.raises(NotHeld):
                await client.signal("nobody", 9)
            await client.signal(container.id, signal.SIGKILL)  # also while it is frozen
            assert (await container.end()).exit_code == 137
            with pytest.raises(NotHeld):
                await client.signal(container.id, 9)

    asyncio.run(scenario())


def test_stdin_reaches_the_container_and_ends(with_engine: WithEngine) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("cat", stdin=True)
            await container.start()
            fd = await engine.client.stdin_fd(container.id)
            os.write(fd, b"hello\n")
            await engine.wait_for(lambda: [entry.data for entry in container.log()] == [b"hello\n"])
            os.close(fd)
            assert [held.stdin_open for held in await engine.client.list()] == [True]
            await engine.client.close_stdin(container.id)
            await engine.client.close_stdin(container.id)
            assert (await container.end()).exit_code == 0

    asyncio.run(scenario())


def test_a_terminal_is_logged_and_resized(with_engine: WithEngine) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sh", "-c", "tty; stty size; read x; stty size; echo got $x; exit 3", tty=True)
            await container.start()
            await engine.wait_for(lambda: b"24 80\r\n" in [entry.data for entry in container.log()])
            await engine.client.resize(container.id, 31, 99)
            fd = await engine.client.stdin_fd(container.id)
            os.write(fd, b"word\n")
            os.close(fd)
            assert (await container.end()).exit_code == 3
            text = b"".join(entry.data for entry in container.log())
            assert text == b"/dev/pts/0\r\n24 80\r\nword\r\n31 99\r\ngot word\r\n"

    asyncio.run(scenario())


def test_execs_have_their_own_streams_statuses_and_terminals(with_engine: WithEngine) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sleep", "60")
            await container.start()
            piped = await container.exec(
                "sh", "-c", "read x; echo $x $$; echo no >&2; exit 9", streams=("stdin", "stdout")
            )
            assert piped.pid in await engine.client.pids(container.id)
            piped.write(b"line\n")
            assert await piped.end() == 9
            assert piped.output.startswith(b"line ")
            assert piped.output.count(b"\n") == 1

            shell = await container.exec("sh", "-c", "tty; stty size; read x; stty size", tty=True)
            assert (await shell.read_until(b"\r\n")).startswith(b"/dev/pts/")
            await engine.client.resize_exec(shell.id, 12, 34)
            shell.write(b"\n")
            assert b"12 34" in await shell.read_until(b"12 34")
            assert await shell.end() == 0

            with pytest.raises(SpawnError) as raised:
                await container.exec("nosuch")
            assert raised.value.kind == "not-found"

            sleeper = await container.exec("sleep", "60")
            await engine.client.signal_exec(sleeper.id, signal.SIGTERM)
            assert await sleeper.end() == 143
            sleeper = await container.exec("sleep", "60")
            await engine.client.signal(container.id, signal.SIGKILL)
            assert await sleeper.end() == 137  # an exec is killed with its container
            assert (await container.end()).exit_code == 137
            with pytest.raises(NotHeld):
                await container.exec("true")

    asyncio.run(scenario())


def test_output_that_is_not_logged_keeps_a_window(with_engine: WithEngine, keeper: Keeper) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sh", "-c", "head -c 20000000 /dev/zero; echo end", logs=False)
            await container.start()
            await engine.exit_of(container)
            folder = keeper.root / "exec" / "containers" / container.id
            info = (folder / "log.1").stat()
            assert info.st_size == 20_000_004
            assert info.st_blocks * 512 < 8 << 20
            await engine.client.acknowledge(container.id, 1)
            assert not folder.exists()

    asyncio.run(scenario())


def test_a_chatty_container_does_not_flood_the_engine(with_engine: WithEngine) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("seq", "1", "200000")
            await container.start()
            await container.end()
            assert len(engine.events) < 1000
            lines = b"".join(entry.data for entry in container.log())
            assert lines == b"".join(b"%d\n" % number for number in range(1, 200_001))
            assert [entry.data for entry in read_all(container.folder, tail=2)] == [b"199999\n", b"200000\n"]

    asyncio.run(scenario())


def test_many_containers_at_once(with_engine: WithEngine) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            containers: list[Container] = [engine.container("sh", "-c", f"echo {i}; exit {i}") for i in range(20)]
            await asyncio.gather(*(container.start() for container in containers))
            for number, container in enumerate(containers):
                assert (await container.end()).exit_code == number
                assert [entry.data for entry in container.log()] == [b"%d\n" % number]

    asyncio.run(scenario())
