"""Parts of BuildKit's wire where tasks meet, or end in the middle; without a client."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import pytest
from grpclib.exceptions import GRPCError

from tests.buildkit.conftest import Recorder, kept_folders
from tests.support.limits import HANG_S
from vmagent.builder.cache import Cache, PruneFilters, key_of
from vmagent.builder.progress import VertexLog
from vmagent.builder.request import Selection
from vmagent.builder.result import BuildResult
from vmagent.buildkit import jobs
from vmagent.buildkit import messages as pb
from vmagent.buildkit.attachments import SessionAgents
from vmagent.buildkit.caches import SessionCaches
from vmagent.buildkit.contexts import KeptFolders, SessionFolder
from vmagent.buildkit.filesync import FILE_SYNC, fetch, send_bytes
from vmagent.buildkit.history import KEPT, History
from vmagent.buildkit.jobs import Job
from vmagent.buildkit.protobuf import timestamp
from vmagent.buildkit.service import BuildKit, worker_record
from vmagent.buildkit.sessions import Sessions
from vmagent.buildkit.status import StatusLog
from vmagent.errors import BadRequest, EngineError
from vmagent.paths import DataRoot

P = ParamSpec("P")
R = TypeVar("R")


def log(data: bytes) -> VertexLog:
    return VertexLog(vertex="sha256:1", stream=1, data=data, at_ns=1)


def test_a_report_that_comes_while_a_follower_sends_is_not_lost() -> None:
    async def follow() -> list[bytes]:
        status = StatusLog()
        status.log(log(b"one"))
        seen = list[bytes]()
        async for report in status.follow():
            if not seen:  # the follower waits here for its client
                status.log(log(b"two"))
                status.complete()
            seen += [one.msg for one in report.logs]
        return seen

    assert asyncio.run(follow()) == [b"one", b"two"]


class EndlessClient:
    """A session whose client lists invalid files without an end."""

    def __init__(self) -> None:
        self.caller = self

    def serves(self, path: str) -> bool:
        return path == FILE_SYNC

    @asynccontextmanager
    async def open_bulk(self, *_: Any) -> AsyncIterator[EndlessClient]:
        yield self

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        packet = pb.Packet(type=pb.PACKET_STAT, stat=pb.Stat(path="../x")).SerializeToString()
        while True:
            await asyncio.sleep(0)
            yield b"\0" + len(packet).to_bytes(4, "big") + packet


class ChangingClient(EndlessClient):
    """One that lists files, and then sends nothing more."""

    shared_key = "key"

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._names = names
        self.listed = asyncio.Event()

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        for name in self._names:
            about = pb.Stat(path=name, mode=0o644, modTime=1)
            packet = pb.Packet(type=pb.PACKET_STAT, stat=about).SerializeToString()
            yield b"\0" + len(packet).to_bytes(4, "big") + packet
        self.listed.set()
        await asyncio.Event().wait()

    async def send(self, *_: Any, **__: Any) -> None:
        return


def test_a_build_does_not_wait_for_files_that_no_older_build_had(tmp_path: Path) -> None:
    async def ask() -> None:
        cache = Cache(DataRoot(tmp_path))
        await asyncio.to_thread(cache.load)
        kept = KeptFolders(cache)
        [folder] = [kept.take("key\0context")]
        await asyncio.to_thread(folder.mkdir)
        await asyncio.to_thread((folder / "a").touch, 0o644)
        await asyncio.to_thread(os.utime, folder / "a", ns=(1, 1))
        await kept.give_back({folder: 0})
        for names in (["a"], ["a", "b"]):
            client = ChangingClient(*names)
            context = SessionFolder(cast("Any", client), "context", kept, asyncio.to_thread)
            asking = asyncio.create_task(context.digest(Selection(), lambda _: None))
            await client.listed.wait()
            for _ in range(10):
                await asyncio.sleep(0)
            assert asking.done() == ("b" in names), "all that is listed so far is here"
            asking.cancel()
            [found] = await asyncio.gather(asking, return_exceptions=True)
            assert found == "" or isinstance(found, asyncio.CancelledError)
            await context.close()
        assert [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(ask())


async def slowly(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """A disk thread that is slower than the client: packets wait meanwhile, as many as may."""
    for _ in range(100):
        await asyncio.sleep(0)
    return function(*args, **kwargs)


def test_a_transfer_that_fails_reads_nothing_more(tmp_path: Path) -> None:
    async def transfer() -> set[str]:
        with pytest.raises(BadRequest):
            await fetch(cast("Any", EndlessClient()), "context", tmp_path, Selection(), lambda _: None, slowly)
        return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert asyncio.run(transfer()) == set()


def record(ref: str, created: int) -> pb.BuildHistoryRecord:
    return pb.BuildHistoryRecord(Ref=ref, CreatedAt=timestamp(created))


def test_builds_that_end_together_forget_the_oldest_ones_once(tmp_path: Path) -> None:
    async def end_two() -> list[str]:
        history = History(tmp_path, asyncio.to_thread)
        for number in range(KEPT):
            history.ended(record(f"r{number}", number), pb.StatusResponse())
        await history.settle()
        for ref in ("x", "y"):
            history.ended(record(ref, KEPT), pb.StatusResponse())
        await history.settle()
        listed = history.listen(pb.BuildHistoryRequest(EarlyExit=True))
        return sorted([event.record.Ref async for event in listed])

    expected = sorted([*(f"r{number}" for number in range(2, KEPT)), "x", "y"])
    assert asyncio.run(end_two()) == expected
    assert sorted(file.stem for file in tmp_path.iterdir()) == expected


def test_a_build_whose_file_is_not_written_yet_is_in_the_history(tmp_path: Path) -> None:
    log = pb.StatusResponse(logs=[pb.VertexLog(msg=b"said")])

    async def end_and_change() -> None:
        history = History(tmp_path, asyncio.to_thread)
        for ref in ("deleted", "pinned", "again"):
            history.ended(record(ref, 1), log)
        assert [await history.reports(ref) for ref in ("deleted", "pinned")] == [log, log]
        assert await asyncio.to_thread(os.listdir, tmp_path) == []
        await asyncio.gather(
            history.update("deleted", pinned=False, delete=True), history.update("pinned", pinned=True, delete=False)
        )
        await history.update("again", pinned=False, delete=True)
        history.ended(record("again", 2), log)  # a client may use the name of a build that is gone
        await history.settle()
        reopened = History(tmp_path, asyncio.to_thread)
        await asyncio.to_thread(reopened.open)
        assert [(one.Ref, one.pinned) for one in reopened.all()] == [("again", False), ("pinned", True)]
        assert await reopened.reports("pinned") == log

    asyncio.run(end_and_change())


@pytest.mark.logs("build_history.not_removed")
def test_a_file_that_cannot_be_removed_keeps_no_build_out_of_the_history(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def build() -> list[str]:
        (tmp_path / "odd.build" / "in it").mkdir(parents=True)
        history = History(tmp_path, asyncio.to_thread)
        await asyncio.to_thread(history.open)
        history.ended(record("first", 1), pb.StatusResponse())
        await history.settle()
        file = tmp_path / "first.build"
        await asyncio.to_thread(file.unlink)
        await asyncio.to_thread(file.mkdir)
        deleting = history.update("first", pinned=False, delete=True)
        history.ended(record("second", 2), pb.StatusResponse())
        await deleting
        await history.settle()
        history.ended(record("third", 3), pb.StatusResponse())
        await history.settle()
        reopened = History(tmp_path, asyncio.to_thread)
        await asyncio.to_thread(reopened.open)
        return sorted(one.Ref for one in reopened.all())

    assert asyncio.run(build()) == ["second", "third"]
    said = capfd.readouterr().out
    assert said.count("first.build") == 2 + 2, "once by each engine, with the error's own path"


@pytest.mark.logs("build_history.not_loaded", "build_history.not_saved")
def test_builds_go_on_where_the_history_has_no_folder(tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(b"")

    async def build() -> None:
        history = History(tmp_path / "history", asyncio.to_thread)
        await asyncio.to_thread(history.open)
        history.ended(record("one", 1), pb.StatusResponse())
        await history.settle()
        assert [one.Ref for one in history.all()] == ["one"]

    asyncio.run(build())


def test_what_a_killed_engine_was_writing_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".ref.build.0123abcd.tmp").write_bytes(b"half")
    History(tmp_path, asyncio.to_thread).open()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_a_build_takes_during_a_removal_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def take_meanwhile() -> None:
        cache = Cache(DataRoot(tmp_path))
        await asyncio.to_thread(cache.load)
        kept = KeptFolders(cache)
        keys = [f"k{number}" for number in range(3)]
        folders = {kept.take(key): 1 for key in keys}
        for folder in folders:
            folder.mkdir()
        await kept.give_back(folders)
        pruning = asyncio.create_task(cache.prune(PruneFilters()))
        await asyncio.sleep(0)  # the records are dropped, and the folders are about to be removed
        taken = [kept.take(key) for key in keys]
        for folder in taken:
            folder.mkdir(exist_ok=True)
        assert await pruning == ([key_of("context", key)[:25] for key in keys], 3)
        assert all(folder.is_dir() for folder in taken)
        assert not any(folder.exists() for folder in folders)
        await kept.give_back(dict.fromkeys(taken, 1))
        assert {kept.take(key) for key in keys} == set(folders)

    asyncio.run(take_meanwhile())


def test_the_history_forgets_the_oldest_beyond_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmagent.buildkit.history.KEPT_BYTES", 3000)
    log = pb.StatusResponse(logs=[pb.VertexLog(msg=bytes(1000))])

    async def end_four() -> None:
        history = History(tmp_path, asyncio.to_thread)
        for number in range(4):
            history.ended(record(f"r{number}", number), log)
        await history.settle()
        reopened = History(tmp_path, asyncio.to_thread)
        await asyncio.to_thread(reopened.open)
        reopened.ended(record("large", 9), pb.StatusResponse(logs=[pb.VertexLog(msg=bytes(5000))]))
        await reopened.settle()

    asyncio.run(end_four())
    assert [file.stem for file in tmp_path.iterdir()] == ["large"]


def test_a_result_that_comes_after_its_job_has_ended_is_released() -> None:
    """The client's frontend may still wait for a solve when the client returns an error."""

    async def keep() -> list[str]:
        session, released = Sessions().make({"x-docker-expose-session-uuid": "s"}), list[str]()
        job = Job(pb.SolveRequest(Ref="r"), session)
        job.keep(BuildResult((), lambda: released.append("first")))
        job.close()
        with pytest.raises(GRPCError, match="has ended"):
            job.keep(BuildResult((), lambda: released.append("second")))
        return released

    assert asyncio.run(keep()) == ["first", "second"]


def test_a_build_by_the_api_shows_its_progress_although_its_session_comes_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that only name a job wait for less time than a build waits for its session."""
    monkeypatch.setattr(jobs, "ARRIVAL_LIMIT_S", 0)

    async def build() -> list[str]:
        builder = Recorder()
        caches = SessionCaches(builder, asyncio.to_thread)
        kept = await asyncio.to_thread(kept_folders, tmp_path)
        kit = BuildKit(
            tmp_path / "history",
            kept,
            worker_record("w", "h", ""),
            builder,
            builder,
            builder,
            caches,
            asyncio.to_thread,
        )
        await kit.open()
        shown = list[str]()

        async def read() -> None:
            async with aclosing(kit.build("r", "s", {}, {})) as lines:
                async for line in lines:
                    shown.append(line["id"])

        reading = asyncio.create_task(read())
        for _ in range(10):
            await asyncio.sleep(0)
        session = asyncio.create_task(kit.session({"x-docker-expose-session-uuid": "s"}, lambda _: None))
        with pytest.raises(EngineError, match="failed to read dockerfile"):  # this session serves nothing
            await reading
        session.cancel()
        await asyncio.wait([session])
        return shown

    shown = asyncio.run(build())
    assert set(shown) == {"moby.buildkit.trace"}


class AgentClient:
    """A session whose client ends a forwarded connection when the engine has ended its direction."""

    def __init__(self) -> None:
        self.caller = self
        self.replies: asyncio.Queue[pb.BytesMessage | None] = asyncio.Queue()

    @asynccontextmanager
    async def open(self, *_: Any) -> AsyncIterator[AgentClient]:
        yield self

    async def send_message(self, message: pb.BytesMessage) -> None:
        raise AssertionError(f"nothing was to be sent: {message}")

    async def end(self) -> None:
        self.replies.put_nowait(None)

    async def recv_message(self) -> pb.BytesMessage | None:
        return await self.replies.get()


@pytest.mark.parametrize("is_reset", [True, False])
def test_an_ssh_connection_ends_where_the_step_s_process_breaks_it(is_reset: bool) -> None:
    """Also with a reply that the process did not read (ECONNRESET), or that comes after its end (EPIPE)."""

    async def forward() -> None:
        client = AgentClient()
        session = cast("Any", client)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            forwarding = asyncio.create_task(SessionAgents(session).forward("default", theirs.fileno()))
            if is_reset:
                theirs_sends = socket.socket(fileno=socket.dup(theirs.fileno()))
                with theirs_sends:
                    theirs_sends.send(b"unread")
                ours.close()
            else:
                ours.close()
                client.replies.put_nowait(pb.BytesMessage(data=b"reply"))
            async with asyncio.timeout(HANG_S):
                await forwarding

    asyncio.run(forward())


def test_an_export_that_breaks_off_closes_its_source() -> None:
    """An archive holds an image until its end; a tar reads a folder that is removed next."""
    closed = list[bool]()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
        finally:
            closed.append(True)

    async def send() -> None:
        with pytest.raises(AssertionError, match="nothing was to be sent"):
            await send_bytes(cast("Any", AgentClient()), chunks(), 0, {})
        assert closed == [True]

    asyncio.run(send())
