"""Write-behind of states, and which waiters a change wakes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.limits import HANG_S
from vmagent.containers import hostfiles, records
from vmagent.containers.configure import complete
from vmagent.containers.live import Bell, Live
from vmagent.containers.model import Container, ContainerId, Status
from vmagent.containers.spares import SPARES, Spares
from vmagent.engine import recovery
from vmagent.engine import states as states_module
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.events import EventBus
from vmagent.engine.execs import Execs
from vmagent.engine.logs import Logs
from vmagent.engine.options import LogOptions
from vmagent.engine.registry import Registry
from vmagent.engine.states import StateWriter
from vmagent.engine.streams import LogStream
from vmagent.engine.tidying import Tidying
from vmagent.engine.userns import UserNamespaces
from vmagent.errors import Unavailable
from vmagent.paths import DataRoot, ExecRoot
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.logfile import LogEntry
from vmagent.supervisor.logwriter import STDOUT, open_writer
from vmagent.supervisor.messages import SupervisorError

LIMIT_S = HANG_S


class Forgetting(SupervisorClient):
    """A client that records which runs were acknowledged. It refuses those in `refused`."""

    def __init__(self, refused: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.forgotten: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._refused = refused

    async def acknowledge(self, container_id: str, run: int) -> None:
        if container_id in self._refused:
            raise SupervisorError(f"{container_id} has not ended")
        self.forgotten.put_nowait((container_id, run))


def container(container_id: str) -> Container:
    asked = complete({"Image": "x"}, {"Cmd": ["sh"]}, ContainerId(container_id), api_version=(1, 44))
    return Container(
        id=ContainerId(container_id),
        name=container_id[:4],
        created_ns=1,
        image_id="sha256:" + "0" * 64,
        image_ref="x",
        platform="linux",
        argv=asked.argv,
        config=asked.config,
        host_config=asked.host_config,
        endpoints=asked.endpoints,
        mounts=[],
    )


class Parts:
    """The parts of an engine that are under test, with containers that have folders."""

    def __init__(self, root: Path, supervisor: Forgetting, *container_ids: str) -> None:
        data_root, exec_root = DataRoot(root / "data"), ExecRoot(root / "exec")
        data_root.containers.mkdir(parents=True)
        self.supervisor = supervisor
        self.background = Background()
        self.registry = Registry(data_root)
        self.states = StateWriter(self.registry, self.background, supervisor)
        self.users = UserNamespaces(self.registry, self.background, data_root, exec_root, None)
        for container_id in container_ids:
            live = Live(container(container_id))
            records.save_new(self.registry.folder(container_id), live.record)
            self.registry.add(live)

    def live(self, container_id: str) -> Live:
        return self.registry.find(container_id)

    async def close(self) -> None:
        await self.states.settle()
        await self.background.end_tasks()
        await self.supervisor.close()
        self.background.close()


@pytest.mark.spec("an exit status is acknowledged once the status is on disk")
@pytest.mark.logs("container.state_not_saved")
def test_an_exit_that_can_not_be_saved_is_told_to_nobody_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states_module, "COMMIT_DELAY_S", 0.0)
    monkeypatch.setattr(states_module, "COMMIT_PAUSE_S", 0.0)
    bad, good = "a" * 64, "b" * 64

    async def check() -> None:
        supervisor = Forgetting()
        parts = Parts(tmp_path, supervisor, bad, good)
        in_the_way = parts.registry.folder(bad) / records.STATE
        in_the_way.mkdir()  # a file can't take its name: EISDIR
        try:
            parts.states.note(parts.live(bad).record, exited_run=3)
            parts.states.note(parts.live(good).record, exited_run=1)
            async with asyncio.timeout(LIMIT_S):
                assert await supervisor.forgotten.get() == (good, 1)
                assert supervisor.forgotten.empty()
                in_the_way.rmdir()
                assert await supervisor.forgotten.get() == (bad, 3)
            assert records.load(parts.registry.folder(bad)).id == bad
        finally:
            await parts.close()

    asyncio.run(check())


def test_the_state_of_a_deleted_container_is_not_written_into_the_one_that_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states_module, "COMMIT_DELAY_S", 0.0)
    one = "a" * 64

    async def check() -> None:
        parts = Parts(tmp_path, Forgetting(), one)
        try:
            deleted, folder = parts.live(one).record, parts.registry.folder(one)
            deleted.state.status = Status.REMOVING
            parts.states.note(deleted, exited_run=1)
            parts.registry.remove(deleted)
            back = Live(container(one))
            back.record.state.status = Status.EXITED
            records.save_state(folder, back.record.state, durable=True)
            parts.registry.add(back)
            await parts.states.settle()
            assert records.load(folder).state.status is Status.EXITED
        finally:
            await parts.close()

    asyncio.run(check())


@pytest.mark.logs("container.exit_not_acknowledged")
def test_a_supervisor_that_refuses_one_run_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states_module, "COMMIT_DELAY_S", 0.0)
    first, second = "a" * 64, "b" * 64

    async def check() -> None:
        supervisor = Forgetting(refused=(first,))
        parts = Parts(tmp_path, supervisor, first, second)
        try:
            parts.states.note(parts.live(first).record, exited_run=1)
            parts.states.note(parts.live(second).record, exited_run=2)
            async with asyncio.timeout(LIMIT_S):
                assert await supervisor.forgotten.get() == (second, 2)
        finally:
            await parts.close()

    asyncio.run(check())


def test_execs_that_were_never_started_are_forgotten(tmp_path: Path) -> None:
    ended, living = "a" * 64, "b" * 64

    async def check() -> None:
        parts = Parts(tmp_path, Forgetting(), ended, living)
        try:
            events = ContainerEvents(EventBus())
            execs = Execs(parts.registry, events, parts.background, parts.supervisor, parts.users, lambda _: ())
            for live in parts.registry:
                live.record.state.run, live.record.state.status = 1, Status.RUNNING
                for _ in range(100):
                    await execs.create(live.id, {"Cmd": ["true"]})
            parts.live(ended).record.state.status = Status.EXITED
            execs._sweep()
            assert {exec_.live.id for exec_ in execs._execs.values()} == {living}
            parts.live(living).record.state.run = 2
            assert execs._sweep_timer is not None, "it comes by itself"
            execs._sweep()
            assert not execs._execs
            assert execs._sweep_timer is None, "until the next one is made"
        finally:
            await parts.close()

    asyncio.run(check())


def test_folders_are_prepared_and_never_shared(tmp_path: Path) -> None:
    spares = Spares(tmp_path, records.make_folder)
    spares.fill_up()
    prepared = {path.name for path in tmp_path.iterdir()}
    assert len(prepared) == SPARES
    assert not any(records.is_whole(path) for path in tmp_path.iterdir()), "the next engine removes them"
    assert all(name in spares for name in prepared)
    spares.make()
    assert {path.name for path in tmp_path.iterdir()} == prepared, "enough is enough"
    refused = spares.take()
    spares.give_back(refused)  # its create has failed
    taken = [spares.take() for _ in range(SPARES + 2)]
    assert refused in taken
    gone = tmp_path / taken[0].id
    shutil.rmtree(gone)  # a folder without content that somebody has found
    made = [tmp_path / spare.id for spare in taken]
    for spare in taken:
        folder, spare.is_used = tmp_path / spare.id, True
        records.save_new(folder, container(spare.id), is_made=spare.is_made, is_durable=spare.is_durable)
        spares.give_back(spare)
        for name in hostfiles.NAMES:
            hostfiles.write_in_place(folder / "etc" / name, folder.name * 5)
            hostfiles.write_in_place(folder / "etc" / name, folder.name)
    assert {folder.name for folder in made[:SPARES]} == prepared
    assert [(spare.is_made, spare.is_durable) for spare in taken] == [(True, True)] * SPARES + [(False, False)] * 2
    assert not any(spare.id in spares for spare in taken)
    assert not spares.take().is_made, "each is taken once"
    spares.make()
    beside = spares.take()
    assert (beside.is_made, beside.is_durable) == (True, False)
    assert [records.load(folder).id for folder in made] == [folder.name for folder in made]
    for name in hostfiles.NAMES:
        assert [(folder / "etc" / name).read_text() for folder in made] == [folder.name for folder in made]
        assert {(folder / "etc" / name).stat().st_mode & 0o777 for folder in made} == {0o644}
    assert {oct(path.stat().st_mode) for folder in made for path in folder.glob("*er")} == {oct(0o40755)}
    assert {path.name for path in tmp_path.iterdir()} == {*(folder.name for folder in made), beside.id}


def test_two_threads_do_not_prepare_folders_at_once(tmp_path: Path) -> None:
    beside: list[threading.Thread] = []

    def make(folder: Path) -> None:
        records.make_folder(folder)
        if not beside:
            beside.append(threading.Thread(target=spares.fill_up))
            beside[0].start()
            beside[0].join()

    spares = Spares(tmp_path, make)
    spares.fill_up()
    assert len(os.listdir(tmp_path)) == SPARES


def test_what_an_earlier_engine_has_prepared_goes_in_one_turn_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_root, background = DataRoot(tmp_path), Background()
    for folder in (data_root.containers, data_root.trash):
        folder.mkdir()
    left = Spares(data_root.containers, records.make_folder)
    left.fill_up()
    folders = sorted(data_root.containers.iterdir())
    records.save_new(folders[0], container(folders[0].name), is_made=True, is_durable=True)
    turns = []
    begin = background.begin

    def noted(*asked: Any) -> asyncio.Future[Any]:
        turns.append(asked)
        return begin(*asked)

    monkeypatch.setattr(background, "begin", noted)

    async def discard() -> None:
        tidying = Tidying(data_root, background, ContainerEvents(EventBus()))
        found, incomplete = recovery._read_records(data_root.containers, frozenset())
        assert [one.id for one in found] == [folders[0].name]
        await tidying.discard_trees([*incomplete, tmp_path / "missing"])
        assert len(turns) == 1
        assert list(data_root.containers.iterdir()) == [folders[0]]
        assert len(os.listdir(data_root.trash)) == SPARES - 1
        background.close()

    asyncio.run(discard())


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Limit all files of this process to 100 bytes, as on a full disk. This includes pytest's output: keep it short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_half_a_record_is_no_container(tmp_path: Path) -> None:
    record = container("a" * 64)
    with small_files(), pytest.raises(OSError, match="File too large"):
        records.save_new(tmp_path / "c", record)


def test_a_name_without_bytes_is_what_a_crash_left(tmp_path: Path) -> None:
    records.save_new(tmp_path / "whole", container("a" * 64))
    text = (tmp_path / "whole" / records.CONFIG).read_bytes()
    for name, size in (("unwritten", 0), ("torn", text.index(b"}") + 1), ("earlier", len(text) - 1), ("damaged", 40)):
        records.save_new(tmp_path / name, container("b" * 64))
        os.truncate(tmp_path / name / records.CONFIG, size)  # a power cut before the flush
    (tmp_path / "damaged" / records.STATE).touch()  # it was started, so it must not be deleted
    (tmp_path / "empty").mkdir()
    assert {path.name for path in tmp_path.iterdir() if records.is_whole(path)} == {"whole", "earlier", "damaged"}


def test_who_leaves_a_log_before_its_first_line_leaves_no_descriptor(tmp_path: Path) -> None:
    async def check() -> None:
        parts = Parts(tmp_path, Forgetting(), "a" * 64)
        live = parts.live("a" * 64)
        writer = open_writer(str(parts.registry.folder(live.id)), STDOUT)
        try:
            os.write(writer.payload_fd, b"line\n")
            writer.record(5, 0)
            options = LogOptions(stdout=True, stderr=True, since_ns=1, tail=1)
            log = LogStream(Logs(parts.registry, parts.background), live, options)
            assert [batch async for batch in log.batches()] == [[LogEntry(STDOUT, writer.last_ns, b"line\n")]]
            before = set(os.listdir("/proc/self/fd"))
            reading = asyncio.ensure_future(anext(log.batches()))
            await asyncio.sleep(0)  # the disk's thread is at it
            reading.cancel()
            await asyncio.wait([reading])
            assert reading.cancelled()
            await parts.close()  # which waits for its threads
            for _ in range(10):
                await asyncio.sleep(0)  # their answers come over some turns of the loop
            assert set(os.listdir("/proc/self/fd")) <= before
        finally:
            writer.close()

    asyncio.run(check())


async def hear(bell: Bell) -> None:
    await bell.next()


def test_who_looks_and_does_not_wait_leaves_nothing_behind() -> None:
    async def check() -> None:
        bell = Bell()
        for _ in range(100):
            bell.next()
        assert bell.sleepers == 0
        missed = bell.next()
        bell.ring()
        async with asyncio.timeout(LIMIT_S):
            await missed
            waiting = asyncio.create_task(hear(bell))
            await asyncio.sleep(0)
            assert bell.sleepers == 1
            bell.ring()
            await waiting
            assert bell.sleepers == 0
            gone = asyncio.create_task(hear(bell))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait([gone])
            assert bell.sleepers == 0

    asyncio.run(check())


def test_a_request_that_outlives_the_disk_threads_gets_503() -> None:
    """In an orderly stop a request may still run when the threads end."""

    async def scenario() -> None:
        background = Background()
        assert await background.on_disk(len, "abc") == 3
        background.close()
        with pytest.raises(Unavailable, match="stopping"):
            await background.on_disk(len, "abc")

    asyncio.run(scenario())
