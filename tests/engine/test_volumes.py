"""Volumes on disk and through the engine's volume verbs."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.test_states import container
from vmagent.containers.live import Live
from vmagent.containers.model import MountKind, MountPoint
from vmagent.engine.background import Background
from vmagent.engine.bin import Bin
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.events import EventBus
from vmagent.engine.registry import Registry
from vmagent.engine.tidying import Tidying
from vmagent.engine.volumes import Volumes
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.images.hosts import RegistryHosts
from vmagent.images.store import Store
from vmagent.paths import DataRoot, ExecRoot
from vmagent.volumes.store import VolumeStore


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[tuple[Registry, EventBus, Volumes]]:
    data_root, bus, background = DataRoot(root), EventBus(), Background()
    registry = Registry(data_root)
    tidying = Tidying(data_root, background, ContainerEvents(bus))
    images = Store(data_root, ExecRoot(root / "exec"), hosts=RegistryHosts())
    volumes = Volumes(data_root, registry, bus, background, tidying, Bin(data_root, background, tidying, bus, images))
    try:
        await volumes.open()
        yield registry, bus, volumes
    finally:
        await background.end_tasks()
        background.close()


def use(registry: Registry, container_id: str, volume: str) -> None:
    """Register a container that uses the volume."""
    record = container(container_id)
    record.mounts = [MountPoint(kind=MountKind.VOLUME, source="", destination="/data", volume=volume)]
    registry.add(Live(record))


def write(volume: dict[str, Any], data: bytes) -> None:
    Path(volume["Mountpoint"], "file").write_bytes(data)


def read(volume: dict[str, Any]) -> bytes:
    return Path(volume["Mountpoint"], "file").read_bytes()


def test_a_volume_is_made_once_and_survives_a_restart(tmp_path: Path) -> None:
    async def first() -> None:
        async with opened(tmp_path) as (_registry, bus, volumes):
            stream = bus.subscribe(since_ns=0)
            made = await volumes.create({"Name": "data", "Labels": {"k": "v"}})
            again = await volumes.create({"Name": "data", "Labels": {"k": "other"}})
            assert made == again
            assert (await anext(stream)).action == "create"
            write(made, b"here")

    async def second() -> None:
        async with opened(tmp_path) as (*_, volumes):
            found = await volumes.inspect("data")
            assert found["Labels"] == {"k": "v"}
            assert read(found) == b"here"
            claimed = await volumes.claim("data")
            assert claimed.path == Path(found["Mountpoint"])

    asyncio.run(first())
    asyncio.run(second())


def test_fifty_claims_at_once_make_one_volume(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            claims = await asyncio.gather(*(volumes.claim("shared") for _ in range(50)))
            assert len({claim.path for claim in claims}) == 1  # a second make would fail: its folder is there

    asyncio.run(main())


def test_a_used_volume_is_kept_and_a_claimed_one_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (registry, _bus, volumes):
            claimed = await volumes.claim("held")
            with pytest.raises(Conflict, match="being created"):
                await volumes.remove("held", force=True)
            use(registry, "c" * 64, "held")
            claimed.release()
            with pytest.raises(Conflict, match=r"volume is in use - \[c{64}\]"):
                await volumes.remove("held", force=False)
            assert (await volumes.prune({}, anonymous_only=False))["VolumesDeleted"] is None
            registry.clear()
            await volumes.remove("held", force=False)
            assert not (tmp_path / "volumes" / "held").exists()
            with pytest.raises(NotFound, match="get held: no such volume"):
                await volumes.remove("held", force=False)
            await volumes.remove("held", force=True)

    asyncio.run(main())


def test_anonymous_volumes_go_with_their_last_container(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (registry, _bus, volumes):
            claimed = await volumes.claim("")
            use(registry, "one", claimed.name)
            use(registry, "two", claimed.name)
            claimed.release()
            await volumes.remove_anonymous("one", [claimed.name])
            assert (await volumes.inspect(claimed.name))["Labels"] == {"com.docker.volume.anonymous": ""}
            registry.remove(registry.find("one").record)
            await volumes.remove_anonymous("two", [claimed.name])
            assert await volumes.list({}) == []

    asyncio.run(main())


def test_prune_spares_named_volumes_unless_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            named = await volumes.create({"Name": "named"})
            write(named, b"x" * 10_000)
            nameless = (await volumes.create({}))["Name"]
            assert (await volumes.prune({}, anonymous_only=True))["VolumesDeleted"] == [nameless]
            pruned = await volumes.prune({"label!": ["keep"]}, anonymous_only=False)
            assert pruned["VolumesDeleted"] == ["named"]
            assert pruned["SpaceReclaimed"] >= 10_000

    asyncio.run(main())


def test_lists_filter_by_name_label_and_use(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (registry, _bus, volumes):
            for name in ("alpha", "beta"):
                await volumes.create({"Name": name, "Labels": {"is": name}})
            use(registry, "one", "alpha")

            async def names(**filters: list[str]) -> list[str]:
                return [volume["Name"] for volume in await volumes.list(filters)]

            assert await names(name=["lph"]) == ["alpha"]
            assert await names(label=["is=beta"]) == ["beta"]
            assert await names(dangling=["true"]) == ["beta"]
            assert await names(dangling=["false"]) == ["alpha"]
            assert await names(driver=["local"]) == ["alpha", "beta"]

    asyncio.run(main())


@pytest.mark.parametrize("name", ["a", "../x", "a/b", ".hidden", "a" * 300, "a\0b"])
def test_names_that_are_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            with pytest.raises(BadRequest):
                await volumes.create({"Name": name})

    asyncio.run(main())


def test_options_bind_a_folder_or_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            options = {"type": "none", "o": "bind", "device": "/srv"}
            await volumes.create({"Name": "bound", "DriverOpts": options})
            assert volumes.path_of("bound") == Path("/srv")
            with pytest.raises(BadRequest, match="missing required option"):
                await volumes.create({"Name": "nfs", "DriverOpts": {"type": "nfs", "o": "addr=x"}})
            with pytest.raises(BadRequest, match='plugin "other" not found'):
                await volumes.create({"Name": "foreign", "Driver": "other"})

    asyncio.run(main())


@pytest.mark.logs("volume.unreadable")
def test_what_a_crash_left_is_swept_and_what_is_damaged_is_left_alone(tmp_path: Path) -> None:
    store = VolumeStore(tmp_path / "volumes", tmp_path / "trash")
    store.load()
    store.create("good", {}, {})
    (tmp_path / "volumes" / ".half" / "_data").mkdir(parents=True)
    damaged = tmp_path / "volumes" / "damaged"
    (damaged / "_data").mkdir(parents=True)
    (damaged / "volume.json").write_text("{")
    newer = tmp_path / "volumes" / "newer"
    (newer / "_data").mkdir(parents=True)
    (newer / "volume.json").write_text(json.dumps({"schema": 99}))
    assert [volume.name for volume in store.load()] == ["good"]
    assert not (tmp_path / "volumes" / ".half").exists()
    assert damaged.exists()
    assert newer.exists()
    with pytest.raises(FileExistsError):
        store.create("damaged", {}, {})


def test_a_removal_waits_for_a_short_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            await volumes.create({"Name": "data"})
            async with volumes.opened("data"):
                removing = asyncio.create_task(volumes.remove("data", force=False))
                await asyncio.sleep(0)
                assert not removing.done()
            await removing
            assert await volumes.list({}) == []

    asyncio.run(main())


def test_a_rename_is_whole_also_where_the_engine_was_killed_before_the_record_was_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmagent.engine.volumes.FILES_LIMIT_S", 0.01)

    async def first() -> None:
        async with opened(tmp_path) as (*_, volumes):
            write(await volumes.create({"Name": "old", "Labels": {"k": "v"}}), b"kept")
            await volumes.create({"Name": "taken"})
            with pytest.raises(Conflict, match="volume taken exists already"):
                await volumes.rename("old", "taken")
            with pytest.raises(NotFound):
                await volumes.rename("nobody", "new")
            with pytest.raises(BadRequest):
                await volumes.rename("old", "../out")
            async with volumes.opened("old"):
                with pytest.raises(Conflict, match="its files are being copied"):
                    await volumes.rename("old", "new")
                with pytest.raises(Conflict, match="its files are being copied"):
                    await volumes.remove("old", force=False)
            await volumes.rename("old", "new")
            assert read(await volumes.inspect("new")) == b"kept"
            assert [volume["Name"] for volume in await volumes.list({})] == ["taken", "new"]
        (tmp_path / "volumes" / "new").rename(tmp_path / "volumes" / "newer")  # a kill between rename and record

    async def second() -> None:
        async with opened(tmp_path) as (*_, volumes):
            found = await volumes.inspect("newer")
            assert (found["Labels"], read(found)) == ({"k": "v"}, b"kept")
            with pytest.raises(NotFound):
                await volumes.inspect("new")

    asyncio.run(first())
    asyncio.run(second())


def test_a_copy_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            await volumes.create({"Name": "old", "Labels": {"k": "v"}})

            async def half(folder: Path) -> None:
                (folder / "file").write_bytes(b"half")
                raise EngineError("no space")

            async def whole(folder: Path) -> None:
                (folder / "file").write_bytes(b"whole")

            async with volumes.opened("old") as volume:
                with pytest.raises(EngineError, match="no space"):
                    await volumes.copy(volume, "new", half)
                assert os.listdir(tmp_path / "volumes") == ["old"]
                await volumes.copy(volume, "new", whole)
            made = await volumes.inspect("new")
            assert (made["Labels"], read(made)) == ({"k": "v"}, b"whole")

    asyncio.run(main())


def _full(path: Path, data: bytes, **_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.logs("volume.record_has_old_name")
def test_a_volume_is_known_by_its_folder_where_its_record_cannot_be_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            write(await volumes.create({"Name": "old", "Labels": {"k": "v"}}), b"kept")
            await volumes.create({"Name": "deleted"})
            aside = tmp_path / "aside"
            VolumeStore(tmp_path / "volumes", tmp_path / "trash").move_out("deleted", aside)
            await volumes.open()
            monkeypatch.setattr("vmagent.volumes.store.publish", _full)
            await volumes.rename("old", "new")
            await volumes.bring_back(aside, "back")
            assert sorted(volume["Name"] for volume in await volumes.list({})) == ["back", "new"]
            found = await volumes.inspect("new")
            assert (found["Labels"], read(found)) == ({"k": "v"}, b"kept")

    asyncio.run(main())


def test_a_volume_whose_record_is_damaged_keeps_its_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            write(await volumes.create({"Name": "old"}), b"kept")
            (tmp_path / "volumes" / "old" / "volume.json").write_text("{")
            with pytest.raises(EngineError, match="damaged"):
                await volumes.rename("old", "new")
            assert read(await volumes.inspect("old")) == b"kept"
            assert os.listdir(tmp_path / "volumes") == ["old"]

    asyncio.run(main())


def test_half_a_copy_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    def dig(folder: Path) -> None:
        """As containers do in volumes: deeper than Python's calls go."""
        fd = os.open(folder, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=fd)
            below = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)

    async def main() -> None:
        async with opened(tmp_path) as (*_, volumes):
            await volumes.create({"Name": "old"})

            async def half(folder: Path) -> None:
                dig(folder)
                raise EngineError("no space")

            async with volumes.opened("old") as volume:
                with pytest.raises(EngineError, match="no space"):
                    await volumes.copy(volume, "new", half)
            assert os.listdir(tmp_path / "volumes") == ["old"]
            left = VolumeStore(tmp_path / "volumes", tmp_path / "trash").begin("new", {}, {})
            dig(left / "_data")
        async with opened(tmp_path):
            assert os.listdir(tmp_path / "volumes") == ["old"]

    asyncio.run(main())
