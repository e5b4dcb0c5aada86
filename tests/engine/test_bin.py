"""What is deleted with `restorable` comes back whole, whatever happens to the engine meanwhile."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import random
import re
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from desktop.client import bin
from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from tests.engine.test_takeover import inspect, kill
from tests.support.description import conforms
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until
from vmagent.engine.background import Background
from vmagent.engine.bin import Bin
from vmagent.engine.binstore import BinStore, Entry
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.events import EventBus
from vmagent.engine.tidying import Tidying
from vmagent.images.hosts import RegistryHosts
from vmagent.images.store import Store
from vmagent.paths import DataRoot, ExecRoot

IMAGE = "busybox:latest"
WRITE = "cat /own /anon/file; echo mine > /own; echo kept > /anon/file; echo said; exec sleep 1000"
RESTORE = "/cove/v1/bin/{id}/restore"
QUIET = ("--network", "none")


def run(engine: NativeEngine, name: str, *flags: str) -> str:
    """A running container that has written into its own layer, a volume without a name, and its log; returns its id."""
    made = engine.docker("run", "-d", "--name", name, *(flags or QUIET), "-v", "/anon", IMAGE, "sh", "-c", WRITE)
    wait_until(lambda: "said" in engine.docker("logs", name).stdout)
    return made.stdout.strip()


def check_whole(engine: NativeEngine, name: str) -> None:
    """Start it and see what it reads of what it had written."""
    engine.docker("start", name)
    wait_until(lambda: engine.docker("logs", name).stdout.count("said") == 2)
    assert engine.docker("logs", name).stdout == "said\nmine\nkept\nsaid\n"


def names(engine: NativeEngine) -> list[str]:
    with engine.client() as client:
        told = client.json_list("GET", "/cove/v1/bin")
        conforms(told, "GET", "/cove/v1/bin", 200)
        return [entry.name for entry in bin.entries(client) or ()]


def listed(engine: NativeEngine, *what: str) -> list[str]:
    return engine.docker(*what).stdout.split()


@contextmanager
def stopped(engine: NativeEngine) -> Iterator[Path]:
    """The data root while no engine has it; then comes the next engine."""
    assert engine.process is not None
    engine.process.terminate()
    assert engine.process.wait(HANG_S) == 0
    yield engine.root / "data"
    engine.start()


def volumes(engine: NativeEngine) -> list[str]:
    return listed(engine, "volume", "ls", "-q")


def test_a_running_container_is_deleted_and_brought_back_after_a_restart_of_the_engine(
    own_engine: NativeEngine,
) -> None:
    engine = own_engine
    container = run(engine, "web")
    before = inspect(engine, "web")
    [anonymous] = volumes(engine)
    refused = engine.cove("rm", "--restorable", "web", check=False)
    assert "stop the container before removing or force remove" in refused.stderr
    assert names(engine) == []
    engine.cove("rm", "--restorable", "-f", "-v", "web")
    assert (listed(engine, "ps", "-aq"), volumes(engine)) == ([], [])
    with engine.client() as client:
        [entry] = bin.entries(client) or []
    assert (entry.kind, entry.name, entry.subject, entry.volumes) == ("container", "web", container, (anonymous,))
    assert entry.size_bytes > 0
    assert "web" in engine.cove("bin", "ls").stdout
    assert re.search(r"Bin +1 +0 ", engine.cove("system", "df").stdout)
    kill(engine, "cove-engine", "cove-supervisor")
    assert engine.cove("bin", "restore").stdout == "web\n"
    assert names(engine) == []
    assert volumes(engine) == [anonymous]
    after = inspect(engine, "web")
    assert (after["State"]["Status"], after["State"]["ExitCode"]) == ("exited", 137)
    for key in ("Id", "Name", "Config", "HostConfig", "Mounts", "Image"):
        assert after[key] == before[key], key
    check_whole(engine, "web")
    engine.docker("rm", "-fv", "web")
    assert names(engine) == [], "docker's own rm is final"
    assert volumes(engine) == []
    assert list((engine.root / "data" / "bin").iterdir()) == []


def test_a_volume_is_deleted_and_brought_back_also_under_another_name(own_engine: NativeEngine) -> None:
    engine = own_engine

    def fill(name: str) -> None:
        engine.docker("volume", "create", "--label", "k=v", name)
        engine.docker("run", "--rm", *QUIET, "-v", f"{name}:/v", IMAGE, "sh", "-c", f"echo {name} > /v/file")

    def read(name: str) -> str:
        return engine.docker("run", "--rm", *QUIET, "-v", f"{name}:/v", IMAGE, "cat", "/v/file").stdout

    fill("data")
    engine.docker("create", "--name", "user", *QUIET, "-v", "data:/d", IMAGE)
    refused = engine.cove("volume", "rm", "--restorable", "data", check=False)
    assert "volume is in use" in refused.stderr
    assert (names(engine), volumes(engine)) == ([], ["data"])
    engine.docker("rm", "user")
    engine.cove("volume", "rm", "--restorable", "data")
    assert (names(engine), volumes(engine)) == (["data"], [])
    engine.docker("volume", "create", "data")
    taken = engine.cove("bin", "restore", "data", check=False)
    assert "volume data was not brought back: there is a volume data now" in taken.stderr
    assert taken.returncode == 1
    with engine.client() as client:
        with pytest.raises(ApiError) as conflict:
            bin.restore(client, "data")
        assert conflict.value.reason == bin.NAME_TAKEN
        conforms({"message": str(conflict.value)}, "POST", RESTORE, 409)
    engine.cove("bin", "restore", "--name", "data-2", "data")
    assert read("data-2") == "data\n"
    assert json.loads(engine.docker("volume", "inspect", "data-2").stdout)[0]["Labels"] == {"k": "v"}
    engine.cove("volume", "rm", "--restorable", "data-2")
    engine.docker("volume", "rm", "data")
    kill(engine, "cove-engine")
    engine.cove("bin", "restore", "data-2")
    assert read("data-2") == "data\n"
    assert names(engine) == []


def test_what_a_container_needs_and_is_gone_is_named_and_the_entry_stays(own_engine: NativeEngine) -> None:
    engine = own_engine
    engine.docker("network", "create", "inner")
    engine.docker("volume", "create", "named")
    run(engine, "web", "--network", "inner", "-v", "named:/n")
    engine.cove("rm", "--restorable", "-fv", "web")
    engine.docker("network", "rm", "inner")
    engine.cove("volume", "rm", "--restorable", "named")
    engine.docker("rmi", "-f", IMAGE)

    def refused() -> str:
        failed = engine.cove("bin", "restore", "web", check=False)
        assert failed.returncode == 1
        assert names(engine)[-1] == "web"
        with engine.client() as client, pytest.raises(ApiError) as again:
            bin.restore(client, "web")
        assert again.value.reason == "", "another name would not help"
        return failed.stderr

    assert "its network inner, and its volume named are gone" in refused(), "the image is held by the bin"
    engine.docker("network", "create", "inner")
    assert "its volume named is gone" in refused()
    engine.cove("bin", "restore", "named")
    engine.docker("volume", "rm", "named")
    assert "its volume named is gone" in refused()
    engine.docker("volume", "create", "named")
    engine.cove("bin", "restore", "web")
    check_whole(engine, "web")
    engine.docker("rm", "-fv", "web")
    engine.docker("network", "rm", "inner")


def test_a_name_that_is_taken_and_an_image_that_is_gone(own_engine: NativeEngine) -> None:
    engine = own_engine
    run(engine, "web", "--network", "none", "--rm")
    engine.cove("rm", "--restorable", "-fv", "web")
    run(engine, "web")
    with engine.client() as client, pytest.raises(ApiError) as refused:
        bin.restore(client, "web")
    assert refused.value.reason == bin.NAME_TAKEN
    failed = engine.cove("bin", "restore", "web", check=False)
    assert "container web was not brought back: there is a container web now" in failed.stderr
    engine.cove("bin", "restore", "--name", "old", "web")
    check_whole(engine, "old")
    engine.docker("kill", "old")
    engine.docker("wait", "old")
    assert inspect(engine, "old")["State"]["Status"] == "exited", "it is not removed by itself any more"
    engine.cove("rm", "--restorable", "-v", "old")
    engine.docker("rm", "-fv", "web")
    engine.docker("rmi", "-f", IMAGE)
    with stopped(engine) as data:
        for record in (data / "images").glob("*.json"):
            if record.name != "references.json":
                record.unlink()
    failed = engine.cove("bin", "restore", "old", check=False)
    assert f"its image {IMAGE} (" in failed.stderr
    assert "is gone; make or restore that first" in failed.stderr
    assert names(engine) == ["old"]


def test_emptying_prunes_and_time_delete_for_good(own_engine: NativeEngine) -> None:
    engine = own_engine

    def delete(container: str, volume: str) -> None:
        engine.docker("create", "--name", container, *QUIET, IMAGE)
        engine.docker("volume", "create", volume)
        engine.cove("rm", "--restorable", container)
        engine.cove("volume", "rm", "--restorable", volume)

    delete("one", "data")
    engine.docker("container", "prune", "-f", "--filter", "label=none")
    engine.docker("volume", "prune", "-f")  # of volumes without a name
    assert names(engine) == ["data", "one"]
    engine.docker("container", "prune", "-f")
    assert names(engine) == ["data"]
    reclaimed = engine.docker("volume", "prune", "-f", "-a").stdout
    assert names(engine) == []
    assert "Total reclaimed space" in reclaimed
    delete("two", "data")
    engine.cove("bin", "rm", "two")
    assert names(engine) == ["data"]
    assert engine.cove("bin", "empty", "-f").stdout.startswith("Deleted: 1, total reclaimed space: ")
    assert names(engine) == []
    assert "nothing deleted is known as two" in engine.cove("bin", "rm", "two", check=False).stderr
    delete("three", "data")
    delete("four", "more")
    with stopped(engine) as data:
        for path in (data / "bin").glob("*/entry.json"):
            record = json.loads(path.read_text())
            if record["name"] in ("three", "data"):
                record["at_ns"] -= 24 * 3600 * 10**9
                path.write_text(json.dumps(record))
    wait_until(lambda: names(engine) == ["more", "four"])
    wait_until(lambda: len(list((engine.root / "data" / "bin").iterdir())) == 2)


@pytest.mark.parametrize("state", ["exited", "removing"])
def test_an_engine_that_was_killed_before_the_move_has_deleted_nothing_for_good(
    own_engine: NativeEngine, state: str
) -> None:
    engine = own_engine
    container = run(engine, "web")
    engine.docker("kill", "web")
    engine.docker("wait", "web")
    with stopped(engine) as data:
        entry = data / "bin" / "0123456789ab"
        (entry / "volumes").mkdir(parents=True)
        record = {"schema": 1, "id": entry.name, "kind": "container", "subject": container, "name": "web", "at_ns": 1}
        (entry / "entry.json").write_text(json.dumps({**record, "image": IMAGE, "image_id": ""}))
        (data / "bin" / "ba9876543210" / "volumes").mkdir(parents=True)  # an entry without a record yet
        path = data / "containers" / container / "state.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "status": state}))
    if state == "removing":  # the deletion goes on
        wait_until(lambda: names(engine) == ["web"])
        engine.cove("bin", "restore", "web")
    wait_until(lambda: list((engine.root / "data" / "bin").iterdir()) == [])
    check_whole(engine, "web")
    engine.docker("rm", "-fv", "web")


def _is_done(done: list[int], wanted: int) -> bool:
    return done[0] >= wanted


def test_engines_that_are_killed_at_any_moment_lose_nothing(own_engine: NativeEngine, tmp_path: Path) -> None:
    """A container, a volume and an image are deleted and brought back again and again, while engines are killed."""
    engine, chance = own_engine, random.Random(17)
    container = run(engine, "web")
    engine.docker("volume", "create", "data")
    engine.docker("run", "--rm", *QUIET, "-v", "data:/v", IMAGE, "sh", "-c", "echo data > /v/file")
    image = imported(engine, tmp_path, "kept:1", "kept:2")
    stop, done = threading.Event(), [0]

    def tried(call: Callable[[EngineClient], object]) -> None:
        try:
            with engine.client() as client:
                call(client)
                done[0] += 1
        except (ApiError, ConnectionFailed, ProtocolError, OSError):
            pass  # it was killed, or the last try was carried out without a reply

    def work() -> None:
        while not stop.is_set():
            tried(lambda client: bin.remove_container(client, "web", force=True, volumes=True))
            tried(lambda client: bin.remove_volume(client, "data"))
            tried(lambda client: bin.remove_image(client, image, force=True))
            tried(lambda client: bin.restore(client, container))
            tried(lambda client: bin.restore(client, "data"))
            tried(lambda client: bin.restore(client, image))
            tried(lambda client: client.start(container))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(5):
            wanted = done[0] + chance.randrange(1, 8)
            wait_until(partial(_is_done, done, wanted))
            kill(engine, "cove-engine")
    finally:
        stop.set()
        worker.join()
    found = names(engine)
    assert sorted([*listed(engine, "ps", "-a", "--format", "{{.Names}}"), *found]).count("web") == 1
    assert (image in listed(engine, "images", "-q", "--no-trunc")) != ("kept:1" in found)
    for name in found:
        engine.cove("bin", "restore", name)
    assert tags(engine) == {"kept:1", "kept:2"}
    engine.docker("kill", "web", check=False)
    engine.docker("wait", "web")
    logged = engine.docker("logs", "web").stdout
    engine.docker("start", "web")
    wait_until(lambda: len(engine.docker("logs", "web").stdout) > len(logged))
    assert engine.docker("exec", "web", "cat", "/own", "/anon/file").stdout == "mine\nkept\n"
    assert engine.docker("run", "--rm", *QUIET, "-v", "data:/v", IMAGE, "cat", "/v/file").stdout == "data\n"
    assert inspect(engine, "web")["Id"] == container
    assert engine.cove("system", "check").stdout.startswith("All is well")
    engine.docker("rm", "-fv", "web")
    engine.docker("rmi", "-f", image)


RECORD = {"schema": 1, "id": "0123456789ab", "kind": "container", "subject": "c", "name": "n", "at_ns": 1}


@pytest.mark.logs("bin.unreadable")
@pytest.mark.parametrize(
    "record",
    [
        '"text"',
        "[1]",
        "{",
        "{}",
        json.dumps({**RECORD, "at_ns": "soon"}),
        json.dumps({**RECORD, "kind": "image"}),
        json.dumps({**RECORD, "id": "ba9876543210"}),
        json.dumps({**RECORD, "subject": "../v"}),
        json.dumps({**RECORD, "more": ""}),
        json.dumps({**RECORD, "schema": 2}),
    ],
)
def test_a_damaged_entry_is_left_as_it_is_and_keeps_no_engine_from_starting(tmp_path: Path, record: str) -> None:
    store = BinStore(tmp_path / "bin", tmp_path / "trash")
    assert store.load() == ([], [])
    good = Entry(id="ba9876543210", kind="volume", subject="v", name="v", at_ns=1)
    store.begin(good)
    store.volume(good, "v").mkdir()
    damaged = tmp_path / "bin" / "0123456789ab"
    (damaged / "container").mkdir(parents=True)
    (damaged / "entry.json").write_text(record)
    assert store.load() == ([good], [])
    assert (damaged / "entry.json").read_text() == record


def test_an_entry_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    store = BinStore(tmp_path / "bin", tmp_path / "trash")
    store.load()
    monkeypatch.setattr("vmagent.engine.binstore.publish", full)
    with pytest.raises(OSError, match="No space left"):
        store.begin(Entry(id="0123456789ab", kind="volume", subject="v", name="v", at_ns=1))
    assert os.listdir(tmp_path / "bin") == []


def test_the_bytes_of_an_entry_are_counted_once_by_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lists meanwhile waits for that count: the engine's few disk threads are there for all requests."""
    data_root, bus, background = DataRoot(tmp_path), EventBus(), Background()
    tidying = Tidying(data_root, background, ContainerEvents(bus))
    images = Store(data_root, ExecRoot(tmp_path / "exec"), hosts=RegistryHosts())
    made = Bin(data_root, background, tidying, bus, images)
    data_root.trash.mkdir()
    counted: list[str] = []
    at_once: list[int] = []
    count = BinStore.size_bytes

    def noted(store: BinStore, entry: Entry) -> int:
        at_once.append(1)
        counted.append(entry.id)
        size = count(store, entry)
        assert len(at_once) == 1
        at_once.clear()
        return size

    monkeypatch.setattr(BinStore, "size_bytes", noted)

    async def main() -> None:
        await made.open()
        for name in ("one", "two"):
            async with made.taking("volume", name, name) as entry:
                folder = made.store.volume(entry, name)
                folder.mkdir()
                (folder / "file").write_bytes(bytes(8192))
                (folder / "again").hardlink_to(folder / "file")
        shown = await asyncio.gather(*(made.shown() for _ in range(4)))
        record_bytes = 4096
        assert [entry["size_bytes"] - 8192 <= record_bytes for found in shown for entry in found] == [True] * 8
        assert sorted(counted) == sorted(entry.id for entry in made.entries())
        first = made.entries()[0]
        gone, shown_now = await asyncio.gather(made.delete(first), made.shown())
        assert gone >= 8192
        assert first.id not in [entry["id"] for entry in await made.shown()]
        assert made._sizes.keys() == {entry.id for entry in made.entries()}, shown_now
        await background.end_tasks()
        background.close()

    asyncio.run(main())


def test_a_restore_that_fails_in_the_middle_leaves_the_entry_whole(own_engine: NativeEngine) -> None:
    engine = own_engine
    container = run(engine, "web")
    [anonymous] = volumes(engine)
    engine.cove("rm", "--restorable", "-fv", "web")
    in_the_way = engine.root / "data" / "containers" / container
    (in_the_way / "left").mkdir(parents=True)
    failed = engine.cove("bin", "restore", "--name", "other", "web", check=False)
    assert failed.returncode == 1
    assert "web was not brought back: there is one already" in failed.stderr
    assert (names(engine), volumes(engine), listed(engine, "ps", "-aq")) == (["web"], [], [])
    with engine.client() as client:
        [entry] = bin.entries(client) or []
    assert entry.volumes == (anonymous,)
    shutil.rmtree(in_the_way)
    engine.docker("volume", "prune", "-f", "--filter", "label!=none")  # takes no part of what is in the bin
    kill(engine, "cove-engine")
    assert engine.cove("bin", "restore", container).stdout.strip() in ("web", container)
    assert listed(engine, "ps", "-a", "--format", "{{.Names}}") == ["web"], "not by the name of the attempt"
    check_whole(engine, "web")
    engine.docker("rm", "-fv", "web")


# images --------------------------------------------------------------------------------------------------------------


def imported(engine: NativeEngine, tmp_path: Path, *tags: str, size: int = 500_000) -> str:
    """An image of one layer, with these names; returns its id."""
    path = tmp_path / "layer.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("file")
        info.size = size
        archive.addfile(info, io.BytesIO(random.Random(size).randbytes(size)))
    made = engine.docker("import", str(path), tags[0]).stdout.strip()
    for tag in tags[1:]:
        engine.docker("tag", tags[0], tag)
    return made


def tags(engine: NativeEngine) -> set[str]:
    return set(listed(engine, "images", "--format", "{{.Repository}}:{{.Tag}}")) - {IMAGE, "cove/hello:latest"}


def sizes(engine: NativeEngine) -> dict[str, int]:
    with engine.client() as client:
        return {entry.name: entry.size_bytes for entry in bin.entries(client) or ()}


def layers_size(engine: NativeEngine) -> int:
    with engine.client() as client:
        return int(client.json_object("GET", "/system/df")["LayersSize"])


def test_an_image_comes_back_with_its_names_and_what_is_shared_counts_once(
    own_engine: NativeEngine, tmp_path: Path
) -> None:
    engine = own_engine
    image = imported(engine, tmp_path, "one:1", "other:2")
    (tmp_path / "Dockerfile").write_text('FROM one:1\nENV A=b\nCMD ["x"]\n')
    engine.docker("build", "-q", "-t", "child:1", str(tmp_path))
    engine.docker("builder", "prune", "-af")
    before = layers_size(engine)
    assert engine.cove("rmi", "--restorable", "one:1").stdout == "Untagged: one:1\n"
    assert sizes(engine) == {"one:1": 0}, "the image itself is still there"
    told = engine.cove("rmi", "--restorable", "other:2").stdout
    assert told.startswith(f"Untagged: other:2\nDeleted: {image}")
    assert tags(engine) == {"child:1"}
    assert names(engine) == ["other:2", "one:1"]
    assert sizes(engine) == {"one:1": 0, "other:2": 0}, "all of its layers are the child's, too"
    engine.cove("rmi", "--restorable", "child:1")
    assert sum(sizes(engine).values()) >= 500_000
    assert len([size for size in sizes(engine).values() if size]) == 1, "one layer, once"
    assert layers_size(engine) == before
    with stopped(engine):
        pass
    assert names(engine) == ["child:1", "other:2", "one:1"]
    assert engine.cove("bin", "ls", "--format", "{{.Type}} {{.Name}}").stdout.splitlines()[0] == "image child:1"
    for name in ("one:1", "other:2", "child:1"):
        engine.cove("bin", "restore", name)
    assert tags(engine) == {"one:1", "other:2", "child:1"}
    assert engine.docker("images", "-q", "--no-trunc", "other:2").stdout.strip() == image
    assert names(engine) == []
    engine.docker("create", "--name", "of-it", "child:1")
    engine.docker("cp", "of-it:/file", str(tmp_path / "copied"))
    assert (tmp_path / "copied").stat().st_size == 500_000
    engine.docker("rm", "of-it")
    assert engine.cove("system", "check").stdout.startswith("All is well")
    engine.docker("rmi", "one:1", "other:2", "child:1")
    wait_until(lambda: layers_size(engine) < before)
    assert names(engine) == [], "docker's own rmi is final"


def test_an_image_whose_name_is_taken_stays_in_the_bin_and_gets_another_name(
    own_engine: NativeEngine, tmp_path: Path
) -> None:
    engine = own_engine
    first = imported(engine, tmp_path, "app:1")
    engine.cove("rmi", "--restorable", first)
    second = imported(engine, tmp_path, "app:1", size=300_000)
    refused = engine.cove("bin", "restore", "app:1", check=False)
    assert refused.returncode == 1
    assert "image app:1 was not brought back: there is an image app:1 now" in refused.stderr
    assert names(engine) == ["app:1"]
    engine.cove("bin", "restore", "--name", "app:old", first.removeprefix("sha256:")[:12])
    assert engine.docker("images", "-q", "--no-trunc", "app:old").stdout.strip() == first
    assert engine.docker("images", "-q", "--no-trunc", "app:1").stdout.strip() == second
    engine.docker("rmi", "app:1", "app:old")


def test_a_refused_removal_leaves_nothing_in_the_bin(own_engine: NativeEngine, tmp_path: Path) -> None:
    engine = own_engine
    run(engine, "web")
    refused = engine.cove("rmi", "--restorable", IMAGE, check=False)
    assert refused.returncode == 1
    assert "is using its referenced image" in refused.stderr
    assert names(engine) == []
    assert list((engine.root / "data" / "bin").iterdir()) == []
    image = imported(engine, tmp_path, "kept:1")
    with stopped(engine) as data:  # as a kill before the names went leaves it
        entry = data / "bin" / "0123456789ab"
        (entry / "volumes").mkdir(parents=True)
        record = {"schema": 1, "id": entry.name, "kind": "image", "subject": image, "name": "kept:1", "at_ns": 1}
        lost = {"docker.io/library/kept:1": [image, ""]}
        (entry / "entry.json").write_text(json.dumps({**record, "names": lost, "images": [image]}))
    wait_until(lambda: list((engine.root / "data" / "bin").iterdir()) == [])
    assert tags(engine) == {"kept:1"}
    engine.docker("rmi", "kept:1")
    engine.docker("rm", "-fv", "web")


def test_a_prune_of_images_empties_the_bin_of_images(own_engine: NativeEngine, tmp_path: Path) -> None:
    engine = own_engine
    before = layers_size(engine)
    imported(engine, tmp_path, "named:1")
    nameless = imported(engine, tmp_path, "short-lived:1", size=200_000)
    imported(engine, tmp_path, "short-lived:1", size=100_000)  # the one before has no name now
    engine.cove("rmi", "--restorable", nameless)
    engine.cove("rmi", "--restorable", "named:1", "short-lived:1")
    assert names(engine) == ["short-lived:1", "named:1", nameless.removeprefix("sha256:")[:12]]
    engine.docker("image", "prune", "-f", "--filter", "label=none")
    assert len(names(engine)) == 3, "a filter would have to be asked of what is in the bin"
    told = engine.docker("image", "prune", "-f").stdout
    assert f"deleted: {nameless}" in told
    assert "Total reclaimed space: 200kB" in told
    assert names(engine) == ["short-lived:1", "named:1"]
    pruned = engine.docker("image", "prune", "-af").stdout
    assert names(engine) == []
    assert "deleted: sha256:" in pruned
    assert layers_size(engine) <= before
