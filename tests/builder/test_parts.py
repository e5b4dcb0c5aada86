"""Parts of the builder in this process: what an end at a bad moment leaves, and an agent's connections."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.images.kit import Driver
from tests.support.limits import HANG_S
from vmagent.builder.builder import Builder
from vmagent.builder.cache import CACHE_MOUNT, CONTEXT, REGULAR, Cache, CacheRecord, PruneFilters
from vmagent.builder.layering import Workspace
from vmagent.builder.mounting import Mounting
from vmagent.builder.progress import Vertex, VertexLog, VertexStatus, VertexWarning
from vmagent.builder.request import BuildError, BuildRequest
from vmagent.builder.running import BindMount, Runner
from vmagent.dockerfile import tree
from vmagent.dockerfile.parser import parse
from vmagent.dockerfile.stages import run_script
from vmagent.errors import EngineError
from vmagent.images import store
from vmagent.images.flush import flush_few
from vmagent.images.layer import DIFF, RECORD, UNFLUSHED, Kind, Layer
from vmagent.paths import DataRoot, ExecRoot


class _Silent:
    """A progress that shows nothing."""

    def vertex(self, vertex: Vertex) -> None: ...

    def status(self, status: VertexStatus) -> None: ...

    def log(self, log: VertexLog) -> None: ...

    def warning(self, warning: VertexWarning) -> None: ...


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    (tmp_path / "exec").mkdir()
    opened = Driver(tmp_path, Kind.DIR)
    yield opened
    opened.run(opened.images.close())
    opened.runner.close()


def _builder(driver: Driver, tmp_path: Path) -> Builder:
    return Builder(driver.root, ExecRoot(tmp_path / "exec"), driver.store, driver.images, cast("Runner", None))


def test_a_builder_that_can_t_be_opened_is_closed(driver: Driver, tmp_path: Path) -> None:
    builder = _builder(driver, tmp_path)
    driver.root.builds.write_text("a file is in the way")
    with pytest.raises(FileExistsError):
        driver.run(builder.open())
    driver.run(builder.close())


def test_a_build_that_is_cancelled_at_its_end_holds_no_layer(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = _builder(driver, tmp_path)
    before = set(driver.store.layers)
    statvfs = os.statvfs

    async def cancelled() -> None:
        loop, has_ended = asyncio.get_running_loop(), threading.Event()
        building = asyncio.create_task(builder.build(BuildRequest(dockerfile=b"FROM scratch\nWORKDIR /w"), _Silent()))
        building.add_done_callback(lambda _: has_ended.set())

        def cancel(path: str) -> os.statvfs_result:  # the last thing that a build asks for
            loop.call_soon_threadsafe(building.cancel)
            has_ended.wait()
            return statvfs(path)

        monkeypatch.setattr(os, "statvfs", cancel)
        with pytest.raises(asyncio.CancelledError):
            await building
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        assert set(driver.store.layers) - before
        await builder.prune(PruneFilters())

    driver.run(builder.open())
    driver.run(cancelled())
    driver.run(builder.close())
    assert set(driver.store.layers) == before


def _unflushed(driver: Driver) -> list[str]:
    """The layers whose record says that they may not be on the disk."""
    return [f"sha256:{path.parent.name}" for path in driver.root.layers.glob(f"*/{UNFLUSHED}")]


def test_nothing_names_a_layer_before_it_is_on_the_disk(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step's layer is flushed beside the next step; the build ends, and an image is stored, after that."""
    builder = _builder(driver, tmp_path)
    seen: list[tuple[list[str], int]] = []

    def flush(layer: Path) -> None:
        seen.append((_unflushed(driver), len(builder.cache.records())))
        flush_few(layer)

    monkeypatch.setattr(store, "flush_few", flush)
    request = BuildRequest(dockerfile=b"FROM scratch\nWORKDIR /w\n")
    driver.run(builder.open())
    try:
        driver.run(builder.build(request, _Silent())).release()
        [record] = builder.cache.records()
        assert seen == [([record.layer], 0)]
        assert _unflushed(driver) == []
        assert (driver.root.layers / record.layer.removeprefix("sha256:") / RECORD).exists()
    finally:
        driver.run(builder.prune(PruneFilters()))
        driver.run(builder.close())


def test_a_layer_that_can_t_be_flushed_fails_the_build(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = _builder(driver, tmp_path)

    def fail(layer: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(layer))

    monkeypatch.setattr(store, "flush_few", fail)
    driver.run(builder.open())
    try:
        with pytest.raises(BuildError, match="input/output error"):
            driver.run(builder.build(BuildRequest(dockerfile=b"FROM scratch\nWORKDIR /w\n"), _Silent()))
        assert builder.cache.records() == []
    finally:
        driver.run(builder.close())


def test_the_step_of_a_build_that_is_cancelled_while_it_is_flushed_is_kept(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = _builder(driver, tmp_path)
    flushed = Workspace.flushed
    may_flush, is_waiting = threading.Event(), asyncio.Event()

    def slow(layer: Path) -> None:
        assert may_flush.wait(HANG_S)
        flush_few(layer)

    async def told(workspace: Workspace) -> None:
        is_waiting.set()
        await flushed(workspace)

    monkeypatch.setattr(store, "flush_few", slow)
    monkeypatch.setattr(Workspace, "flushed", told)

    async def cancelled() -> None:
        request = BuildRequest(dockerfile=b"FROM scratch\nWORKDIR /w\n")
        building = asyncio.create_task(builder.build(request, _Silent()))
        await is_waiting.wait()
        building.cancel()
        await asyncio.wait([building], timeout=0)
        may_flush.set()
        with pytest.raises(asyncio.CancelledError):
            await building

    driver.run(builder.open())
    try:
        driver.run(cancelled())
        assert [record.description for record in builder.cache.records()] == ["WORKDIR /w"]
        driver.run(builder.prune(PruneFilters()))
    finally:
        driver.run(builder.close())


def test_what_a_crash_has_left_unflushed_is_no_layer(driver: Driver) -> None:
    folder = driver.root.layers / ("a" * 64)
    (folder / DIFF).mkdir(parents=True)
    layer = Layer(diff_id=f"sha256:{folder.name}", kind=Kind.DIR, size=0, tar_size=0, blob=None)
    layer.write(folder, UNFLUSHED)
    driver.run(driver.images.close())
    driver.run(driver.images.open())
    assert not folder.exists()
    assert layer.diff_id not in driver.store.layers


def test_equal_questions_about_a_tree_are_answered_from_memory(tmp_path: Path) -> None:
    class Layers:
        asked = 0

        async def run(self, job: dict[str, Any]) -> dict[str, Any]:
            self.asked += 1
            return {
                "digest": f"of {job['paths']}",
                "more": [None if one == ["no"] else f"of {one}" for one in job["more"]],
            }

    async def ask() -> None:
        layers: Any = Layers()
        imports: Any = None
        workspace = Workspace(layers, tmp_path, imports)
        for paths in (["a"], ["b"], ["a"]):
            found = await workspace.digest({"folder": "/f"}, paths, is_context=True, exclude=())
            assert found == f"of {paths}"
        assert layers.asked == 2
        foreseen = [["c"], ["a"], ["d"], ["no"]]  # known by now: a
        for paths, asked in ((["c"], 3), (["d"], 3), (["no"], 4)):
            found = await workspace.digest({"folder": "/f"}, paths, is_context=True, exclude=(), foreseen=foreseen)
            assert (found, layers.asked) == (f"of {paths}", asked)

    asyncio.run(ask())


def test_a_connection_to_an_agent_that_fails_does_not_end_the_others(tmp_path: Path) -> None:
    class Agents:
        """The first connection fails, the second one gets an answer."""

        failures: list[Exception]

        async def has(self, agent_id: str) -> bool:
            return agent_id == "default"

        async def forward(self, agent_id: str, connection_fd: int) -> None:
            if self.failures:
                raise self.failures.pop()
            os.write(connection_fd, b"answer")

    async def connect() -> None:
        agents = Agents()
        agents.failures = [EngineError("the session has ended"), BrokenPipeError()]
        (stage,) = parse(b"FROM scratch\nRUN ssh-add -l\n").stages
        (run,) = stage.instructions
        assert isinstance(run, tree.Run)
        found = replace(run, mounts=(tree.Mount("ssh"),))
        nothing: Any = None
        mounting = Mounting(nothing, nothing, BuildRequest(dockerfile=b"", ssh=agents), tmp_path / "agents")
        plan = await mounting.plan(found, [None], "/", run_script(found), nothing)
        async with mounting.ready(plan, tmp_path) as (mounts, _):
            (mount,) = mounts
            assert isinstance(mount, BindMount)
            answers = [await asyncio.to_thread(_ask, mount.source) for _ in range(3)]
        assert answers == [b"", b"", b"answer"]
        await mounting.close()

    asyncio.run(connect())


def _ask(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(HANG_S)
        client.connect(path)
        return client.recv(100)


def _cached(key: str) -> CacheRecord:
    return CacheRecord(key=key, kind=REGULAR, layer="", size=1, description="", created_ns=1, used_ns=1)


def test_the_use_of_a_step_is_written_later_and_at_the_latest_at_the_end(tmp_path: Path) -> None:
    async def use() -> tuple[int, int, int | None]:
        cache = Cache(DataRoot(tmp_path))
        await asyncio.to_thread(cache.load)
        cache.put(_cached("one"))
        await cache.settle()
        path = tmp_path / "builds" / "cache" / "one.json"
        file = path.stat().st_ino
        cache.get("one")
        await cache.settle()
        after_the_build = path.stat().st_ino
        await cache.close()
        reopened = Cache(DataRoot(tmp_path))
        await asyncio.to_thread(reopened.load)
        found = reopened.peek("one")
        return file, after_the_build, found.uses if found is not None else None

    file, after_the_build, uses = asyncio.run(use())
    assert file == after_the_build
    assert uses == 2


def test_the_uses_are_written_without_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmagent.builder.cache.USES_S", 0.01)
    written = threading.Event()

    async def use() -> None:
        cache = Cache(DataRoot(tmp_path))
        await asyncio.to_thread(cache.load)
        cache.put(_cached("one"))
        await cache.settle()
        publish = cache._write

        def write(changes: dict[str, CacheRecord | None]) -> None:
            publish(changes)
            written.set()

        monkeypatch.setattr(cache, "_write", write)
        cache.get("one")
        await cache.settle()
        assert await asyncio.to_thread(written.wait, HANG_S)
        await cache.close()

    asyncio.run(use())


def test_the_collection_takes_what_is_old_and_what_is_too_much(tmp_path: Path) -> None:
    """On a disk of 10 GB, so 1 GB for the cache, and half a GiB of it for what is cheap to have again."""
    hour, mega, now = 3600 * 10**9, 10**6, time.time_ns()

    def record(key: str, kind: str, size: int, hours: int) -> CacheRecord:
        layer = f"sha256:{key}" if kind == REGULAR else ""
        at = now - hours * hour
        return CacheRecord(
            key=key, kind=kind, layer=layer, size=size, description=key, created_ns=at, used_ns=at, uses=1
        )

    async def left(*records: CacheRecord) -> list[str]:
        cache = Cache(DataRoot(tmp_path))
        cache.load()
        for one in records:
            cache.put(one)
        cache.use("used")
        freed = await cache.collect(10_000 * mega)
        kept = [one.key for one in cache.records()]
        assert freed == sum(one.size for one in records if one.key not in kept)
        await cache.prune(PruneFilters())
        cache.release(["used"])
        await cache.prune(PruneFilters())
        await cache.close()
        return kept

    async def play() -> None:
        small = [record("m", CACHE_MOUNT, 500 * mega, 100), record("s", REGULAR, 400 * mega, 2000)]
        assert await left(*small) == ["m", "s"], "old, but not too much"
        cheap = [record("old", CONTEXT, 300 * mega, 49), record("new", CACHE_MOUNT, 300 * mega, 47)]
        assert await left(*cheap) == ["new"]
        assert await left(cheap[1], record("new2", CONTEXT, 300 * mega, 1)) == ["new", "new2"], "both used lately"
        layers = [
            record("a", REGULAR, 600 * mega, 1),
            record("b", REGULAR, 600 * mega, 3),
            record("used", REGULAR, 1, 9),
        ]
        assert await left(*layers) == ["a", "used"], "least recently used first, but for what a build uses"

    asyncio.run(play())


def test_a_prune_ends_where_enough_is_free(tmp_path: Path) -> None:
    async def play() -> None:
        cache = Cache(DataRoot(tmp_path))
        cache.load()
        for age in range(4):
            cache.put(
                CacheRecord(
                    key=f"k{age}",
                    kind=REGULAR,
                    layer=f"sha256:{age}",
                    size=10,
                    description="",
                    created_ns=age,
                    used_ns=age,
                    uses=1,
                )
            )
        assert await cache.prune(PruneFilters(free_bytes=0)) == ([], 0)
        assert await cache.prune(PruneFilters(free_bytes=11)) == (["k0", "k1"], 20)
        await cache.close()

    asyncio.run(play())
