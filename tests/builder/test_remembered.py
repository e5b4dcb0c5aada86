"""Builds that are answered from memory: they come to the same as when their steps are gone through, and only while all
that they rest on is as it was. The builder in this process; both wires are in the last tests."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from tests.images.kit import Driver, Entry, folder, tar_of
from tests.support.checking import findings
from tests.support.engine import NativeEngine, run
from tests.support.tools import docker_cli, docker_config
from vmagent.builder.builder import Builder
from vmagent.builder.cache import PruneFilters
from vmagent.builder.layering import Layering
from vmagent.builder.progress import Vertex, VertexLog, VertexStatus, VertexWarning
from vmagent.builder.remembering import Memory
from vmagent.builder.request import BuildRequest, ImageContext, NamedContext
from vmagent.builder.result import BuildResult
from vmagent.builder.running import Runner
from vmagent.images.layer import Kind
from vmagent.images.platforms import Platform
from vmagent.paths import ExecRoot

T = TypeVar("T")
FILE = b"""FROM base:1 AS Tool
ARG V=1
COPY a /a
WORKDIR /w
FROM base:1
ENV X=1
COPY --from=Tool /a /b
COPY d /d
LABEL l=1
"""
FILES = {"a": b"content of a\n", "d/x": b"x\n"}


class Progress:
    """What is left of a build's reports when it has ended."""

    def __init__(self) -> None:
        self.vertexes: dict[str, Vertex] = {}
        self.warnings: list[VertexWarning] = []

    def vertex(self, vertex: Vertex) -> None:
        self.vertexes[vertex.digest] = vertex

    def status(self, status: VertexStatus) -> None: ...

    def log(self, log: VertexLog) -> None: ...

    def warning(self, warning: VertexWarning) -> None:
        self.warnings.append(warning)

    @property
    def steps(self) -> list[Vertex]:
        """Without times, in the order of their names."""
        found = (replace(one, started_ns=None, completed_ns=None) for one in self.vertexes.values())
        return sorted((one for one in found if "context" not in one.name), key=lambda one: (one.name, one.digest))


def upload(files: Mapping[str, bytes], mode: int = 0o644, mtime: float = 1_700_000_000) -> bytes:
    entries = [Entry(name, data, mode=mode, mtime=mtime) for name, data in files.items()]
    return tar_of(folder("d"), *entries)


class Kit:
    """A builder on a store of its own, and what its workers were given to do."""

    def __init__(self, driver: Driver, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.driver = driver
        self.jobs: list[str] = []
        self.is_remembered = False  # the last build
        self.proxies: dict[str, str] = {}
        self.builder = Builder(
            driver.root,
            ExecRoot(root / "exec"),
            driver.store,
            driver.images,
            cast("Runner", None),
            proxies=lambda: self.proxies,
        )
        for name in ("run", "feed"):
            monkeypatch.setattr(Layering, name, self._counted(getattr(Layering, name)))
        find = Memory.find

        def noted(memory: Memory, *asked: Any) -> Any:
            found = find(memory, *asked)
            self.is_remembered = found is not None
            return found

        monkeypatch.setattr(Memory, "find", noted)
        self.run(self.builder.open())
        self.base(1)

    def _counted(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(layering: Any, job: dict[str, Any], *more: Any) -> Any:
            self.jobs.append(job["op"])
            return await function(layering, job, *more)

        return counted

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return cast("T", self.driver.run(coroutine))

    def base(self, version: int) -> str:
        """Make the image base:1 another one; its id."""
        request = BuildRequest(dockerfile=b"FROM scratch\nLABEL version=%d\n" % version)

        async def make() -> str:
            result = await self.builder.build(request, Progress())
            try:
                return await self.builder.store(result.images[0], ["base:1"])
            finally:
                result.release()

        return self.run(make())

    def build(self, tar: bytes | None = None, **asked: Any) -> tuple[BuildResult, Progress]:
        """Build from an upload, by default `FILES`; a result that is released."""
        progress = Progress()

        async def chunks() -> AsyncIterator[bytes]:
            data = upload(FILES | {"Dockerfile": FILE}) if tar is None else tar
            for start in range(0, len(data), 4096):
                yield data[start : start + 4096]

        async def built() -> BuildResult:
            async with self.builder.spooled(chunks(), lambda _: None, "Dockerfile") as context:
                dockerfile = await context.read("Dockerfile", 1 << 20)
                assert dockerfile is not None
                request = BuildRequest(dockerfile=dockerfile, context=context, **asked)
                result = await self.builder.build(request, progress)
                result.release()
                return result

        self.jobs.clear()
        self.is_remembered = False
        return self.run(built()), progress

    def of_a_new_engine(self) -> tuple[BuildResult, Progress]:
        """The same build by a builder that remembers nothing."""
        self.builder._memory = Memory(self.driver.store, self.builder.cache)
        return self.build()


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    (tmp_path / "exec").mkdir()
    driver = Driver(tmp_path, Kind.DIR)
    made = Kit(driver, tmp_path, monkeypatch)
    yield made
    made.run(made.builder.prune(PruneFilters()))
    made.run(made.builder.close())
    driver.run(driver.images.close())
    driver.runner.close()


def test_an_equal_build_gives_work_to_no_helper_and_comes_to_the_same(kit: Kit) -> None:
    first, _ = kit.build()
    assert "copy" in kit.jobs
    uses = {record.key: record.uses for record in kit.builder.cache.records()}
    result, progress = kit.build()
    assert kit.jobs == []
    assert {record.key: record.uses for record in kit.builder.cache.records()} == {
        key: count + 1 for key, count in uses.items()
    }
    assert result.images == first.images
    gone_through, shown = kit.of_a_new_engine()
    assert "digest" in kit.jobs
    for name in ("images", "materials", "fetched", "definition"):
        assert getattr(result, name) == getattr(gone_through, name), name
    assert [(one.key, one.layer) for one in result.records] == [(one.key, one.layer) for one in gone_through.records]
    assert progress.steps == shown.steps
    assert all(one.cached for one in progress.steps)
    assert progress.warnings == shown.warnings
    assert [one.rule for one in progress.warnings] == ["StageNameCasing"]
    assert all(one.started_ns and one.completed_ns for one in progress.vertexes.values())


def test_the_image_that_was_removed_is_made_again(kit: Kit) -> None:
    async def stored(result: BuildResult) -> str:
        return await kit.builder.store(result.images[0], ["made:1"])

    first = kit.run(stored(kit.build()[0]))
    kit.run(kit.driver.images.remove("made:1"))
    assert first not in kit.driver.store.images
    again = kit.build()[0]
    assert kit.jobs == []
    assert kit.run(stored(again)) == first
    assert kit.driver.store.images[first].layers == again.images[0].layers


def _changed(**files: bytes) -> Callable[[Kit], bytes]:
    return lambda _: upload(FILES | {"Dockerfile": FILE} | files)


@pytest.mark.parametrize(
    "tar",
    [
        _changed(a=b"Content of a\n"),
        _changed(Dockerfile=FILE + b"ENV Y=1\n"),
        lambda _: upload(FILES | {"Dockerfile": FILE}, mode=0o600),
        lambda _: upload(FILES | {"Dockerfile": FILE}, mtime=1),
        _changed(**{".dockerignore": b"d/x\n"}),
        _changed(**{"Dockerfile.dockerignore": b"d/x\n"}),
    ],
    ids=["content", "Dockerfile", "mode", "time", "ignore", "named ignore"],
)
def test_another_upload_is_another_build(kit: Kit, tar: Callable[[Kit], bytes]) -> None:
    first, _ = kit.build()
    other, _ = kit.build(tar(kit))
    assert not kit.is_remembered
    assert "digest" in kit.jobs
    again, _ = kit.build(tar(kit))
    assert kit.is_remembered
    assert again.images == other.images
    assert kit.build()[0].images == first.images
    assert kit.is_remembered


@pytest.mark.parametrize(
    "asked",
    [
        {"build_args": {"V": "2"}},
        {"proxies": {"HTTP_PROXY": "http://p"}},
        {"target": "Tool"},
        {"labels": {"a": "b"}},
        {"network": "none"},
        {"source_date_epoch": 7},
        {"contexts": {"base:1": ImageContext("base:1")}},
        {"platforms": (str(Platform.host()),)},
        {"extra_hosts": ("h:192.0.2.1",)},
        {"no_cache": True},
        {"no_cache_stages": ("Tool",)},
        {"inline_cache": True},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_another_request_is_another_build(kit: Kit, asked: dict[str, Any]) -> None:
    kit.build()
    kit.proxies = asked.pop("proxies", {})
    kit.build(**asked)
    assert not kit.is_remembered
    kit.build(**asked)
    assert kit.is_remembered == (asked.keys().isdisjoint(("no_cache", "no_cache_stages", "inline_cache")))
    kit.proxies = {}
    kit.build()
    assert kit.is_remembered == (not asked.get("no_cache"))  # which gave the steps new layers


def test_every_field_of_a_request_counts() -> None:
    plain = BuildRequest(dockerfile=b"FROM scratch")
    others: dict[str, Any] = {"dockerfile": b"FROM busybox", "contexts": {"a": ImageContext("b")}}
    never = {"no_cache", "no_cache_stages", "pull", "cache_from", "inline_cache"}
    for one in fields(BuildRequest):
        key = Memory.key(replace(plain, **{one.name: others.get(one.name, "another")}))
        if one.name in ("context", "secrets", "ssh", "credentials"):
            assert key == Memory.key(plain), one.name
        elif one.name in never:
            assert key == "", one.name
        else:
            assert key not in ("", Memory.key(plain)), one.name
    assert Memory.key(replace(plain, contexts={"a": plain})) == ""  # type: ignore[dict-item]  # whatever is no image
    assert Memory.key(replace(plain, dockerfile=bytes(1 << 20))) == ""


def test_an_image_that_got_another_meaning_is_another_build(kit: Kit) -> None:
    first, _ = kit.build()
    kit.base(2)
    other, _ = kit.build()
    assert "copy" not in kit.jobs, "the layers are the same ones"
    assert "digest" in kit.jobs
    labels = [result.images[0].config["config"]["Labels"]["version"] for result in (first, other)]
    assert labels == ["1", "2"]
    assert kit.build()[0].images == other.images
    assert kit.jobs == []


@pytest.mark.parametrize(
    ("line", "contexts"),
    [
        (b"FROM scratch\nCOPY --from=base:1 /file /f\n", {}),
        (b"FROM scratch\nCOPY --from=other /file /f\n", {"other": ImageContext("base:1")}),
        (b"FROM base:1 AS one\nFROM scratch\nCOPY --from=one /file /f\n", {}),
        (b"FROM other\nWORKDIR /w\n", {"other": ImageContext("base:1")}),
        (b"ARG B=base:1\nFROM $B\nWORKDIR /w\n", {}),
    ],
    ids=["an image", "a named one", "a stage", "the base is named", "the base is an argument"],
)
def test_each_image_that_a_build_uses_counts(kit: Kit, line: bytes, contexts: dict[str, NamedContext]) -> None:
    def make(content: bytes) -> None:
        tar = upload({"Dockerfile": b"FROM scratch\nCOPY file /\n", "file": content})
        result, _ = kit.build(tar)
        kit.run(kit.builder.store(result.images[0], ["base:1"]))

    tar = upload({"Dockerfile": line})
    make(b"one")
    first, _ = kit.build(tar, contexts=contexts)
    assert kit.build(tar, contexts=contexts)[0].images == first.images
    assert kit.is_remembered
    make(b"two")
    other, _ = kit.build(tar, contexts=contexts)
    assert not kit.is_remembered
    assert other.images[0].layers != first.images[0].layers
    make(b"one")
    assert kit.build(tar, contexts=contexts)[0].images == first.images


@pytest.mark.parametrize("which", range(4))
def test_a_step_whose_record_was_pruned_is_made_again(kit: Kit, which: int) -> None:
    first, _ = kit.build()
    record = first.records[which]
    gone = kit.run(kit.builder.prune(PruneFilters(ids=(record.key,))))
    assert len(gone["CachesDeleted"]) == 1
    again, progress = kit.build()
    assert {"copy", "mkdir"} & set(kit.jobs)
    assert not all(one.cached for one in progress.steps)
    assert len(again.records) == 4
    assert all(layer in kit.driver.store.layers for layer in again.images[0].layers)
    assert kit.build()[0].images == again.images
    assert kit.jobs == []


def test_a_step_that_was_made_again_elsewhere_counts_with_its_new_time(kit: Kit) -> None:
    kit.build()
    kit.build(no_cache=True)
    again, _ = kit.build()
    fresh, _ = kit.of_a_new_engine()
    assert again.images == fresh.images


def test_a_layer_that_is_lost_is_made_again(kit: Kit) -> None:
    first, _ = kit.build()
    kit.driver.store.layers.pop(first.records[-1].layer)
    kit.build()
    assert "copy" in kit.jobs


def test_a_build_without_files_needs_no_context(kit: Kit) -> None:
    request = BuildRequest(dockerfile=b"FROM base:1\nWORKDIR /only\n")
    first = kit.run(kit.builder.build(request, Progress()))
    kit.jobs.clear()
    again = kit.run(kit.builder.build(request, Progress()))
    assert kit.jobs == []
    assert again.images == first.images
    for result in (first, again):
        result.release()


def test_a_large_upload_is_unpacked_as_it_comes(kit: Kit) -> None:
    tar = upload(FILES | {"Dockerfile": FILE, "large": os.urandom(2 << 20)})
    first, _ = kit.build(tar)
    again, _ = kit.build(tar)
    assert kit.jobs == ["spool"]
    assert again.images == first.images
    other, _ = kit.build(upload(FILES | {"Dockerfile": FILE, "large": os.urandom(2 << 20)}))
    assert kit.jobs[:2] == ["spool", "digest"]
    assert other.images == first.images


def test_what_an_answer_names_stays_until_its_result_is_released(kit: Kit) -> None:
    request = BuildRequest(dockerfile=b"FROM base:1\nWORKDIR /kept\n")

    async def prune_beside() -> tuple[bool, bool]:
        (await kit.builder.build(request, Progress())).release()
        result = await kit.builder.build(request, Progress())
        await kit.builder.prune(PruneFilters())
        stayed = result.images[0].layers[-1] in kit.driver.store.layers
        result.release()
        await kit.builder.prune(PruneFilters())
        return stayed, result.images[0].layers[-1] in kit.driver.store.layers

    assert kit.run(prune_beside()) == (True, False)


# --- both wires

RUNNING = "FROM busybox\nARG W=1\nCOPY f /f\nRUN cat /f >/g; echo $W >>/g\nENV E=1\nCMD cat /g\n"


class Wire:
    """docker's client on one of the wires, and a folder to build."""

    def __init__(self, engine: NativeEngine, folder: Path, name: str) -> None:
        self.engine, self.folder, self.name = engine, folder, name
        (folder / "Dockerfile").write_text(RUNNING)
        (folder / "f").write_text("one\n")

    def build(self, *words: str, check: bool = True) -> str:
        """What the client shows of the build of `cvt/NAME`."""
        environment = {
            "DOCKER_HOST": self.engine.host,
            "DOCKER_BUILDKIT": "1" if self.name == "buildx" else "0",
            "DOCKER_CONFIG": str(docker_config()),
        }
        more = ("--progress=plain",) if self.name == "buildx" else ()
        command = [docker_cli(), "build", "-t", f"cvt/{self.name}", *more, *words, self.folder]
        done = run(command, environment, check)
        return done.stdout + done.stderr

    def cached(self, shown: str) -> int:
        return shown.count("CACHED" if self.name == "buildx" else "Using cache")

    def output(self) -> str:
        return self.engine.docker("run", "--rm", "--network=none", f"cvt/{self.name}").stdout


@pytest.fixture(params=["classic", "buildx"])
def wire(engine: NativeEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Wire]:
    yield Wire(engine, tmp_path, request.param)
    engine.docker("rmi", f"cvt/{request.param}")


def _now(engine: NativeEngine) -> str:
    """The engine's time."""
    with engine.client() as client:
        return str(client.info()["SystemTime"])


def _builds(engine: NativeEngine) -> list[dict[str, Any]]:
    with engine.client() as client:
        found: list[dict[str, Any]] = client.request("GET", "/cove/v1/builds")["builds"]
    return found


def test_a_client_sees_no_difference(wire: Wire) -> None:
    wire.build()
    since = _now(wire.engine)
    os.utime(wire.folder / "f", (1, 1))  # the steps are gone through once more, and are all in the cache
    shown = [wire.build() for _ in range(3)]
    expected = 3 if wire.name == "buildx" else 5  # all but the classic wire's FROM, and without what makes no layer
    assert [wire.cached(one) for one in shown] == [expected] * 3, shown
    if wire.name == "classic":
        assert shown == [shown[0]] * 3
        assert "Running in" not in shown[0]
    latest = _builds(wire.engine)[:3]
    assert [(one["state"], one["cached_steps"] > 0) for one in latest] == [("completed", True)] * 3
    assert len({(one["steps"], one["cached_steps"], one["done_steps"], one["image_id"]) for one in latest}) == 1, latest
    told = wire.engine.docker("events", "--since", since, "--until", _now(wire.engine), "--filter", "event=tag").stdout
    assert told.count(f"cvt/{wire.name}") == 3, told
    assert wire.output() == "one\n1\n"


def test_a_file_with_the_size_and_time_of_an_older_one_counts(wire: Wire) -> None:
    file = wire.folder / "f"
    shown = []
    for content, time in (("one\n", 1000), ("two\n", 2000), ("six\n", 1000), ("six\n", 1000), ("one\n", 3000)):
        file.write_text(content)
        os.utime(file, (time, time))
        wire.build()
        shown.append(wire.output().splitlines()[0])
    assert shown == ["one", "two", "six", "six", "one"]


SHOW = 'find . | sort | while read -r f; do stat -c "%A %N" "$f"; if [ -f "$f" ]; then cat "$f"; fi; done'


def _with_other_link(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("sub")


def _with_folder_for_link(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "mode": lambda folder: (folder / "f").chmod(0o755),
    "mode of a folder": lambda folder: (folder / "sub").chmod(0o700),
    "new file": lambda folder: (folder / "sub" / "new").write_text("new\n"),
    "other name": lambda folder: (folder / "sub" / "new").rename(folder / "sub" / "newer"),
    "new folder": lambda folder: (folder / "empty").mkdir(),
    "link": lambda folder: (folder / "link").symlink_to("f"),
    "where it leads": _with_other_link,
    "kind": _with_folder_for_link,
    "deletion": lambda folder: (folder / "sub" / "newer").unlink(),
    "ignored": lambda folder: (folder / ".dockerignore").write_text("sub\n"),
    "ignored no more": lambda folder: (folder / ".dockerignore").unlink(),
    "a Dockerfile's own": lambda folder: (folder / "Dockerfile.dockerignore").write_text("f\n"),
}


def test_each_change_of_a_folder_is_another_build(wire: Wire) -> None:
    """Each state is built twice, the second time from memory, and is shown as it is in the folder then."""
    (wire.folder / "Dockerfile").write_text("FROM busybox\nCOPY . /d\nWORKDIR /d\n")
    (wire.folder / "sub").mkdir()
    (wire.folder / "sub" / "s").write_text("s\n")
    seen = []

    def show() -> str:
        return wire.engine.docker("run", "--rm", "--network=none", f"cvt/{wire.name}", "sh", "-c", SHOW).stdout

    wire.build()
    seen.append(show())
    for name, change in CHANGES.items():
        change(wire.folder)
        wire.build()
        shown = show()
        assert shown != seen[-1], name
        if name != "ignored no more":
            assert shown not in seen, name
        wire.build()
        assert show() == shown, name
        seen.append(shown)


SECRET = """FROM busybox
RUN --mount=type=secret,id=s,required=true cat /run/secrets/s >/said
CMD cat /said
"""


def test_a_step_that_was_made_with_a_secret_needs_none_and_one_that_was_not_does(
    engine: NativeEngine, tmp_path: Path
) -> None:
    """As with BuildKit, a secret is no part of a step; but the build that lacks a required one fails each time."""
    wire = Wire(engine, tmp_path, "buildx")
    (tmp_path / "Dockerfile").write_text(SECRET)
    (tmp_path / "secret").write_text("told\n")
    for _ in range(2):
        assert "secret s" in wire.build(check=False)
    for _ in range(2):
        wire.build("--secret", f"id=s,src={tmp_path / 'secret'}")
        assert wire.output() == "told\n"
    assert wire.cached(wire.build()) == 2
    assert wire.output() == "told\n"
    engine.docker("rmi", "cvt/buildx")


def test_a_build_after_a_prune_and_after_a_kill_of_the_engine(own_engine: NativeEngine, tmp_path: Path) -> None:
    wires = [Wire(own_engine, tmp_path, name) for name in ("classic", "buildx")]
    for wire in wires:
        wire.build()
        wire.build()
        own_engine.docker("builder", "prune", "-af")
        assert wire.cached(wire.build()) == 1  # FROM, and ARG before the first layer
        assert wire.output() == "one\n1\n"
        own_engine.docker("rmi", f"cvt/{wire.name}")
    os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
    own_engine.wait_until_answering()
    for wire in wires:
        assert wire.cached(wire.build())
        assert wire.output() == "one\n1\n"


def test_the_last_build_is_in_the_history_after_a_restart(own_engine: NativeEngine, tmp_path: Path) -> None:
    wire = Wire(own_engine, tmp_path, "classic")
    for _ in range(3):
        wire.build()
    before = _builds(own_engine)
    assert own_engine.process is not None
    own_engine.process.terminate()
    own_engine.process.wait()
    own_engine.start()
    assert _builds(own_engine) == before
    with own_engine.client() as client, client.stream("GET", f"/cove/v1/builds/{before[0]['id']}/log") as log:
        steps = {step["name"]: step["cached"] for line in log for step in line["steps"]}
    assert steps == {
        "[internal] load build context": False,
        "[1/3] FROM busybox": True,
        "[2/3] COPY f /f": True,
        "[3/3] RUN cat /f >/g; echo $W >>/g": True,
    }


def test_equal_builds_beside_prunes(own_engine: NativeEngine, tmp_path: Path) -> None:
    """Each build ends well with an image that has all of its layers, whatever goes away beside it."""
    wires = [Wire(own_engine, tmp_path, name) for name in ("classic", "buildx")]
    for wire in wires:
        wire.build()
    ended = threading.Event()

    def prune() -> int:
        count = 0
        with own_engine.client() as client:
            while not ended.is_set():
                client.request("POST", "/build/prune", {"all": "1"})
                count += 1
        return count

    def build(wire: Wire) -> list[str]:
        found = []
        for number in range(6):
            wire.build("--build-arg", f"W={number % 2}")
            found.append(own_engine.docker("run", "--rm", "--network=none", f"cvt/{wire.name}", check=False).stdout)
        return found

    with ThreadPoolExecutor() as pool:
        pruning = pool.submit(prune)
        try:
            outputs = [one.result() for one in [pool.submit(build, wire) for wire in wires]]
        finally:
            ended.set()
        assert pruning.result() > 0
    assert outputs == [[f"one\n{number % 2}\n" for number in range(6)]] * 2
    assert findings(own_engine) == []
