"""Engine, supervisor and keeper are killed at various moments; no log line, exit status or process is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.supervisor.conftest import LIMIT_S, Engine, Keeper, RunningExec, cgroups_of, comm
from vmagent.supervisor.messages import ExecExited, SupervisorError

WithEngine = Callable[[], AbstractAsyncContextManager[Engine]]
TICKER = "i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo $i; usleep 10000; done; printf tail; exit 7"


def ticker(count: int) -> tuple[str, ...]:
    return ("sh", "-c", TICKER.format(count=count))


def ticked(count: int) -> list[bytes]:
    return [*(b"%d\n" % number for number in range(1, count + 1)), b"tail"]


async def kill(keeper: Keeper, name: str) -> None:
    await asyncio.to_thread(keeper.kill, name)


def test_engine_and_supervisor_killed_ten_times_each_lose_nothing(with_engine: WithEngine, keeper: Keeper) -> None:
    """The containers write a line every 10 ms while engine and supervisor are killed in turn."""

    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container(*ticker(250))
            quiet = engine.container(*ticker(250), tty=True)
            await container.start()
            await quiet.start()
            for _ in range(10):
                for name in ("cove-engine", "cove-supervisor"):
                    await kill(keeper, name)
            for one in (container, quiet):
                assert (await one.end()).exit_code == 7
            assert [entry.data for entry in container.log()] == ticked(250)
            assert [entry.data.replace(b"\r", b"") for entry in quiet.log()] == ticked(250)
            times = [entry.time_ns for entry in container.log()]
            assert times == sorted(times)

    asyncio.run(scenario())


def test_a_supervisor_killed_at_random_while_output_floods(with_engine: WithEngine, keeper: Keeper) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container(
                "sh", "-c", "i=0; while [ $i -lt 12 ]; do i=$((i+1)); seq 1 20000; done; exit 3"
            )
            await container.start()
            for _ in range(8):
                await kill(keeper, "cove-supervisor")
            assert (await container.end()).exit_code == 3
            text = b"".join(entry.data for entry in container.log())
            assert text == 12 * b"".join(b"%d\n" % number for number in range(1, 20_001))

    asyncio.run(scenario())


def test_what_ends_without_a_supervisor_has_its_status(with_engine: WithEngine, keeper: Keeper) -> None:
    """The supervisor is stopped (SIGSTOP) while the container and an exec end, then killed."""

    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sh", "-c", "read x; echo last words; exit 5", stdin=True)
            await container.start()
            running = await container.exec(
                "sh", "-c", "sleep 0.3; echo out; echo err >&2; exit 6", streams=("stdout", "stderr")
            )
            exec_pidfd = os.pidfd_open(running.pid)
            stdin = await engine.client.stdin_fd(container.id)
            supervisor = keeper.pid_of("cove-supervisor")
            os.kill(supervisor, signal.SIGSTOP)
            assert select.select([exec_pidfd], [], [], LIMIT_S)[0]  # the exec has ended, and nobody has reaped it
            os.close(exec_pidfd)
            os.write(stdin, b"now\n")
            os.close(stdin)
            os.kill(supervisor, signal.SIGKILL)
            assert await running.end() == 6
            assert running.output in (b"out\nerr\n", b"err\nout\n")
            assert (await container.end()).exit_code == 5
            assert [entry.data for entry in container.log()] == [b"last words\n"]

    asyncio.run(scenario())


def test_starts_under_kills_happen_exactly_once(with_engine: WithEngine, keeper: Keeper, tmp_path: Path) -> None:
    """The engine repeats the request of a start that a kill interrupts; the command is executed exactly once."""

    async def scenario() -> None:
        stop = threading.Event()
        kills = threading.Semaphore(0)  # at most three kills per start: with endless kills, no start would succeed

        def keep_killing() -> None:
            while not stop.wait(0.03):
                if kills.acquire(blocking=False):
                    keeper.kill("cove-supervisor")

        killer = threading.Thread(target=keep_killing)
        async with with_engine() as engine:
            killer.start()
            try:
                for number in range(40):
                    container = engine.container("sh", "-c", f"echo run; exit {number}", stdin=number % 2 == 0)
                    kills.release(3)
                    await container.start()
                    assert (await container.end()).exit_code == number
                    assert [entry.data for entry in container.log()] == [b"run\n"]
                    assert not cgroups_of(container)
            finally:
                stop.set()
                await asyncio.to_thread(killer.join)
            assert not await engine.client.list()

    asyncio.run(scenario())


def test_stdin_and_terminal_outlive_the_supervisor(with_engine: WithEngine, keeper: Keeper) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sh", "-c", "read x; echo got $x", stdin=True)
            shell = engine.container("sh", "-c", "read x; stty size; exec sleep 60", tty=True)
            await container.start()
            await shell.start()
            running = await container.exec("sh", "-c", "read x; echo exec $x", tty=True)
            await kill(keeper, "cove-supervisor")
            assert [held.stdin_open for held in await engine.client.list()] == [True, True]
            await engine.client.resize(shell.id, 7, 9)
            for one in (shell, container):
                fd = await engine.client.stdin_fd(one.id)
                if one is container:
                    running.write(b"it\n")
                    assert b"exec it" in await running.read_until(b"exec it")
                    assert await running.end() == 0
                os.write(fd, b"it\n")
                os.close(fd)
            assert (await container.end()).exit_code == 0
            assert [entry.data for entry in container.log()] == [b"got it\n"]
            await engine.wait_for(lambda: b"7 9\r\n" in [entry.data for entry in shell.log()])
            await engine.client.signal(shell.id, signal.SIGKILL)
            assert (await shell.end()).exit_code == 137

    asyncio.run(scenario())


@pytest.mark.usefixtures("adopting_orphans")
def test_a_killed_keeper_is_replaced_on_the_same_root(with_engine: WithEngine, keeper: Keeper) -> None:
    """After a kill of the keeper the engine ends, the supervisor goes on, and a new cove-agent becomes its keeper."""

    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container(*ticker(200))
            keeper.orphans.append(await container.start())
            await kill(keeper, "cove-supervisor")  # the container is now the keeper's child
            young = engine.container("sh", "-c", "read x; exit 4", stdin=True)
            keeper.orphans.append(await young.start())
            supervisor = keeper.pid_of("cove-supervisor")
            waiting = keeper.pid_of("cove-engine")
            keeper.orphans += [waiting, supervisor]
            keeper.process.kill()
            keeper.process.wait()
            await asyncio.to_thread(keeper.start)
            assert comm(supervisor) == "cove-supervisor"
            assert comm(waiting) == ""  # the stub engine has ended, since its keeper closed the socket
            assert {held.id for held in await engine.client.list()} == {container.id, young.id}
            # When the adopted supervisor is killed, the new keeper starts another one.
            os.kill(supervisor, signal.SIGKILL)
            await asyncio.to_thread(keeper.pid_of, "cove-supervisor")
            fd = await engine.client.stdin_fd(young.id)
            os.write(fd, b"x\n")
            os.close(fd)
            # These processes were not children of the new keeper: before Linux 6.15 their statuses cannot be read.
            assert (await young.end()).exit_code in (4, 255)
            assert (await container.end()).exit_code in (7, 255)
            assert [entry.data for entry in container.log()] == ticked(200)

    asyncio.run(scenario())


@pytest.mark.usefixtures("adopting_orphans")
def test_a_supervisor_without_keeper_stays_only_while_it_is_needed(with_engine: WithEngine, keeper: Keeper) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sh", "-c", "read x; exit 4", stdin=True)
            await container.start()
            supervisor = keeper.pid_of("cove-supervisor")
            fd = await engine.client.stdin_fd(container.id)
            pidfd = os.pidfd_open(supervisor)
            keeper.orphans += [keeper.pid_of("cove-engine"), supervisor]
            keeper.process.kill()
            keeper.process.wait()
            os.write(fd, b"x\n")
            os.close(fd)
            assert await asyncio.to_thread(_ends, pidfd)
            os.close(pidfd)
            await asyncio.to_thread(keeper.start)
            assert (await container.end()).exit_code == 4  # from the exit record

    asyncio.run(scenario())


@pytest.mark.usefixtures("adopting_orphans")
def test_keeper_and_supervisor_killed_together_lose_what_runs_and_no_more(
    with_engine: WithEngine, keeper: Keeper
) -> None:
    """Pipes and exit statuses are lost. The next start kills the remaining processes, logs that, and works."""

    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sh", "-c", "echo kept; trap '' PIPE; while :; do sleep 1; done")
            ended = engine.container("sh", "-c", "exit 4")
            await ended.start()
            await engine.exit_of(ended)
            pid = await container.start()
            await engine.wait_for(container.log)
            pidfd = os.pidfd_open(pid)
            supervisor = keeper.pid_of("cove-supervisor")
            keeper.orphans += [pid, supervisor, keeper.pid_of("cove-engine")]
            for victim in (keeper.process.pid, supervisor):
                os.kill(victim, signal.SIGKILL)
            keeper.process.wait()
            await asyncio.to_thread(keeper.start)
            assert (await engine.exit_of(container)).exit_code == 137
            assert _ends(pidfd)
            os.close(pidfd)
            assert {held.id: held.exit_code for held in await engine.client.list()} == {container.id: 137, ended.id: 4}
            await engine.client.acknowledge(container.id, 1)
            await engine.client.acknowledge(ended.id, 1)
            assert [entry.data for entry in container.log()] == [b"kept\n"]
            container.run = 2
            await container.start()
            await engine.client.signal(container.id, signal.SIGKILL)
            await container.end()

    asyncio.run(scenario())


def _ends(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 10)[0])


def test_stopping_leaves_no_process_and_no_cgroup(with_engine: WithEngine, keeper: Keeper) -> None:
    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done")
            pid = await container.start()
            pidfd = os.pidfd_open(pid)
            paused = engine.container("sleep", "60")
            await paused.start()
            await engine.client.pause(paused.id)
            with contextlib.suppress(SupervisorError):
                await asyncio.to_thread(keeper.stop)
            assert _ends(pidfd)
            os.close(pidfd)
            assert not cgroups_of(container)

    asyncio.run(scenario())


def test_a_supervisor_that_never_saw_a_run_still_removes_their_cgroup_at_the_end(
    with_engine: WithEngine, keeper: Keeper
) -> None:
    """The run was acknowledged before the kill, so the new supervisor knows its parent cgroup only from the keeper."""

    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("true")
            await container.start()
            await container.end()
            await kill(keeper, "cove-supervisor")
            assert await engine.client.list() == []

    asyncio.run(scenario())
    name = keeper.cgroup_parent.strip("/")
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    assert any((root / name).exists() for root in roots)
    keeper.stop()
    assert not any((root / name).exists() for root in roots)


def test_an_execs_output_is_whole_after_kills(with_engine: WithEngine, keeper: Keeper) -> None:
    """The supervisor is killed repeatedly while pipes and terminals are full; no output is lost or duplicated."""
    count = 30_000
    script = f"i=0; while [ $i -lt {count} ]; do echo out $i; i=$((i+1)); [ $((i%100)) = 0 ] && echo err $i >&2; done"

    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sleep", "100")
            await container.start()
            with_pipes = await container.exec("sh", "-c", script + "; exit 4", streams=("stdout", "stderr"))
            with_terminal = await container.exec("sh", "-c", script + "; exit 5", tty=True)
            parts: dict[int, bytes] = {1: b"", 2: b""}
            for number in range(5):
                wanted = b"out %d" % (number * 5000 + 1)
                await with_terminal.read_until(wanted)
                for stream, data in with_pipes.read():
                    parts[stream] += data
                await kill(keeper, "cove-supervisor")
            while True:
                for stream, data in with_pipes.read():
                    parts[stream] += data
                if any(isinstance(e, ExecExited) and e.exec_id == with_pipes.id for e in engine.events):
                    break
                await asyncio.sleep(0)
            for stream, data in with_pipes.read():
                parts[stream] += data
            while not any(isinstance(e, ExecExited) and e.exec_id == with_terminal.id for e in engine.events):
                with_terminal.read()
                await asyncio.sleep(0)
            assert (await with_pipes.end(), await with_terminal.end()) == (4, 5)
            assert parts[1] == b"".join(b"out %d\n" % i for i in range(count))
            assert parts[2] == b"".join(b"err %d\n" % i for i in range(100, count + 1, 100))
            assert with_terminal.output.count(b"out ") == count
            assert with_terminal.output.count(b"err ") == count // 100
            await engine.client.signal(container.id, signal.SIGKILL)
            await container.end()

    asyncio.run(scenario())


def test_an_exec_is_listed_with_its_facts(with_engine: WithEngine, keeper: Keeper) -> None:
    """A new supervisor lists execs that it did not start, running and ended, with the data for the next engine."""

    async def scenario() -> None:
        async with with_engine() as engine:
            container = engine.container("sleep", "100")
            await container.start()
            ended = await container.exec("sh", "-c", "exit 3")
            running = await container.exec("cat", streams=("stdin", "stdout"))
            running.write(b"first\n")
            await running.read_until(b"first\n")
            assert await ended.end() == 3
            running.close()  # as if the engine had been killed
            await kill(keeper, "cove-supervisor")
            held = {one.exec_id: one for one in await engine.client.list_execs()}
            assert held[ended.id].exit_code == 3
            assert held[running.id].exit_code is None
            assert (held[running.id].pid, held[running.id].facts) == (running.pid, {"asked": ["cat"]})
            assert held[running.id].has_output
            again = RunningExec(engine, running.id, running.pid, await engine.client.exec_streams(running.id))
            again.write(b"second\n")
            assert await again.read_until(b"second\n") == b"second\n"
            again.close()
            await engine.client.close_exec_stdin(running.id)
            assert await again.engine.exec_exit_of(running.id) == 0
            await engine.client.signal(container.id, signal.SIGKILL)
            await container.end()

    asyncio.run(scenario())
