"""Indexes (manifest lists): kept whole, with the platforms that were asked for, and freed with their last name."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.images.kit import BadRegistry, Driver, Entry, MadeImage, digest, index_of, tar_of, upload
from tests.support.limits import HANG_S
from tests.support.registry import registry
from vmagent.builder.indexing import store_index
from vmagent.builder.result import BuiltImage
from vmagent.errors import Conflict, EngineError, NotFound
from vmagent.images.holds import Hold
from vmagent.images.layer import Kind, hex_of
from vmagent.images.platforms import Platform
from vmagent.images.records import Target
from vmagent.images.removal import ImageUser, affected

NewStore = Callable[..., Driver]
HOST = Platform.host()
FOREIGN = Platform("linux", "s390x")
OTHER = Platform("linux", "riscv64")
_ATTESTATION = {"predicateType": "https://slsa.dev/provenance/v0.2"}


class Attested:
    """An attestation of an image, as BuildKit stores it."""

    def __init__(self, image: MadeImage) -> None:
        self.layer = json.dumps(_ATTESTATION).encode()
        self.config = json.dumps(
            {"os": "unknown", "architecture": "unknown", "rootfs": {"type": "layers", "diff_ids": [digest(self.layer)]}}
        ).encode()
        config = {"mediaType": "application/vnd.oci.image.config.v1+json"}
        layer = {"mediaType": "application/vnd.in-toto+json"}
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {**config, "digest": digest(self.config), "size": len(self.config)},
                "layers": [{**layer, "digest": digest(self.layer), "size": len(self.layer)}],
            }
        ).encode()
        self.entry = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(self.manifest),
            "size": len(self.manifest),
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": digest(image.manifest),
            },
        }
        self.blobs = {digest(data): data for data in (self.layer, self.config)}


class Two:
    """An index of this machine's platform and a foreign one, with a layer in common."""

    def __init__(self, mark: str = "") -> None:
        common = tar_of(Entry("common", b"common" * 100))
        self.images = [
            MadeImage(
                common,
                tar_of(Entry("own", f"{platform}{mark}".encode())),
                platform=(platform.os, platform.architecture),
            )
            for platform in (HOST, FOREIGN)
        ]
        self.own, self.foreign = self.images
        self.index = index_of(*self.images)
        self.digest = digest(self.index)

    def serve(self, bad: BadRegistry, tag: str = "1") -> str:
        for image in self.images:
            bad.blobs.update(image.blobs)
            bad.manifests[digest(image.manifest)] = image.manifest
        bad.manifests[tag] = bad.manifests[self.digest] = self.index
        return f"{bad.address}/x:{tag}"

    def put(self, address: str, tag: str) -> None:
        """Into a real registry."""
        for image in self.images:
            image.put(address, "x", digest(image.manifest))
        kind = json.loads(self.index)["mediaType"]
        upload(address, "PUT", f"/v2/x/manifests/{tag}", self.index, kind=kind)


@pytest.fixture
def two(bad: BadRegistry) -> Two:
    made = Two()
    made.serve(bad)
    return made


@pytest.fixture
def name(bad: BadRegistry) -> str:
    return f"{bad.address}/x:1"


@pytest.fixture
def real(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry(folder) as address:
        yield address


def rows(driver: Driver) -> list[dict[str, Any]]:
    listed = driver.run(driver.images.list(manifests=True))
    return [row for row in listed if row["RepoTags"] != ["cove/hello:latest"]]


def available(row: dict[str, Any]) -> dict[str, bool]:
    return {
        one["ImageData"]["Platform"]["architecture"]: one["Available"] for one in row["Manifests"] if "ImageData" in one
    }


def test_a_pull_of_one_platform_keeps_the_index(new_store: NewStore, two: Two, name: str, kind: Kind) -> None:
    driver = new_store(kind=kind)
    lines = driver.pull(name)
    assert {"status": f"Digest: {two.digest}"} in lines
    [row] = rows(driver)
    assert (row["Id"], row["RepoTags"]) == (two.own.id, [name])
    assert row["RepoDigests"] == [f"{name.removesuffix(':1')}@{two.digest}"]
    assert row["Descriptor"]["digest"] == two.digest
    assert available(row) == {HOST.architecture: True, FOREIGN.architecture: False}
    assert [one["ID"] for one in row["Manifests"]] == [digest(image.manifest) for image in two.images]
    assert (driver.root.blobs / hex_of(two.digest)).read_bytes() == two.index
    shape = driver.run(driver.images.inspect(name))
    assert (shape["Id"], shape["Descriptor"]["size"]) == (two.own.id, len(two.index))


def test_a_second_platform_is_added_to_the_name(new_store: NewStore, two: Two, name: str, kind: Kind) -> None:
    driver = new_store(kind=kind)
    driver.pull(name)
    single = rows(driver)[0]["Size"]
    lines = driver.pull(name, platform=str(FOREIGN))
    assert lines[-1]["status"] == f"Status: Downloaded newer image for {name}"
    assert [line["status"] for line in lines].count("Already exists") == 1  # the layer in common
    [row] = rows(driver)
    assert row["Id"] == two.own.id
    assert single < row["Size"] < 2 * single
    assert available(row) == {HOST.architecture: True, FOREIGN.architecture: True}
    assert driver.store.resolve(name).id == two.own.id
    assert driver.store.resolve(name, FOREIGN).id == two.foreign.id
    shape = driver.run(driver.images.inspect(name, FOREIGN))
    assert (shape["Id"], shape["Architecture"]) == (two.foreign.id, FOREIGN.architecture)
    assert (shape["RepoTags"], shape["Descriptor"]["digest"]) == ([name], digest(two.foreign.manifest))
    assert driver.pull(name, platform=str(FOREIGN))[-1]["status"] == f"Status: Image is up to date for {name}"


def test_the_platform_of_this_machine_is_meant_once_it_is_there(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    driver.pull(name, platform=str(FOREIGN))
    assert [row["Id"] for row in rows(driver)] == [two.foreign.id]
    driver.pull(name)
    assert [row["Id"] for row in rows(driver)] == [two.own.id]


def test_a_platform_that_is_not_here_is_refused_in_dockers_words(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    driver.pull(name)
    words = f"image with reference {name} was found but does not provide the specified platform ({FOREIGN})"
    for call in (
        lambda: driver.run(driver.images.inspect(name, FOREIGN)),
        lambda: driver.run(driver.images.history(name, FOREIGN)),
        lambda: driver.save(name, platforms=[FOREIGN]),
        lambda: driver.all(driver.images.push(name, platform=FOREIGN)),
        lambda: driver.run(driver.images.remove(name, platforms=[FOREIGN])),
    ):
        with pytest.raises(NotFound) as failed:
            call()
        assert str(failed.value) == words


def test_the_last_name_takes_everything_with_it(new_store: NewStore, two: Two, name: str, kind: Kind) -> None:
    driver = new_store(kind=kind)
    before = driver.left()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    driver.run(driver.images.tag(name, repo="other", tag="2"))
    assert {item.get("Untagged") for item in driver.run(driver.images.remove(name))} == {
        name,
        f"{name.removesuffix(':1')}@{two.digest}",
    }
    assert available(rows(driver)[0]) == {HOST.architecture: True, FOREIGN.architecture: True}
    removed = driver.run(driver.images.remove("other:2"))
    assert {item["Deleted"] for item in removed if "Deleted" in item} >= {two.own.id, two.foreign.id}
    assert driver.left() == before


def test_an_id_or_a_digest_of_the_list_stands_for_its_image(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    before = driver.left()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    assert driver.store.resolve(two.digest).id == two.own.id
    assert driver.store.resolve(hex_of(digest(two.foreign.manifest))[:12]).id == two.foreign.id
    driver.run(driver.images.tag(two.own.id, repo="whole"))
    assert driver.store.references["docker.io/library/whole:latest"].index == two.digest
    driver.run(driver.images.remove("whole"))
    driver.run(driver.images.remove(two.own.id))
    assert driver.left() == before


def test_one_platform_can_be_removed(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    before = driver.left()
    driver.pull(name, platform=str(FOREIGN))
    only_foreign = driver.left()
    driver.pull(name)
    removed = driver.run(driver.images.remove(name, platforms=[HOST]))
    assert removed[0] == {"Deleted": two.own.id}
    assert driver.left() == only_foreign
    assert [(row["Id"], row["RepoTags"]) for row in rows(driver)] == [(two.foreign.id, [name])]
    driver.pull(name)
    driver.run(driver.images.remove(two.foreign.id))
    assert available(rows(driver)[0]) == {HOST.architecture: True, FOREIGN.architecture: False}
    driver.run(driver.images.remove(name, platforms=[HOST]))  # the last one takes the name with it
    assert driver.left() == before


def test_a_container_of_any_platform_keeps_its_image(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    driver.run(driver.images.remove("cove/hello"))
    before = driver.left()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    hold = driver.store.hold(two.foreign.id)
    driver.users.append(ImageUser(two.foreign.id, "c" * 64, is_running=True))
    assert rows(driver)[0]["Containers"] == 1
    with pytest.raises(Conflict):
        driver.run(driver.images.remove(name))
    driver.run(driver.images.prune({"dangling": ["false"]}))
    assert available(rows(driver)[0]) == {HOST.architecture: True, FOREIGN.architecture: True}
    driver.run(driver.images.remove(name, force=True))
    assert [(row["Id"], row["RepoTags"]) for row in rows(driver)] == [(two.foreign.id, [])]
    driver.users.clear()
    hold.release()
    driver.run(driver.images.prune({}))
    assert driver.left() == before


def test_a_removed_platform_that_a_container_has_is_no_longer_meant(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    hold = driver.store.hold(two.own.id)
    driver.run(driver.images.remove(name, platforms=[HOST], force=True))
    assert driver.store.resolve(name).id == two.foreign.id
    assert [(row["Id"], row["RepoTags"]) for row in rows(driver)] == [(two.foreign.id, [name])]

    async def end() -> None:
        hold.release()

    driver.run(end())
    assert hex_of(two.own.id) not in driver.left()["blobs"]
    assert driver.store.resolve(name).id == two.foreign.id


def test_of_two_indexes_with_a_platform_in_common_one_can_lose_its_other(
    new_store: NewStore, two: Two, name: str, bad: BadRegistry
) -> None:
    driver = new_store()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    bad.manifests["2"] = index_of(two.foreign)
    second = name.removesuffix("1") + "2"
    driver.pull(second, platform=str(FOREIGN))
    driver.run(driver.images.remove(name, platforms=[HOST]))
    assert driver.store.resolve(name).id == two.foreign.id
    driver.pull(name)
    with pytest.raises(Conflict, match="referenced in multiple repositories"):
        driver.run(driver.images.remove(name, platforms=[FOREIGN]))  # all that the second name has


def test_an_image_that_got_a_name_during_its_removal_stays(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))

    async def at_once() -> None:
        async with driver.store.change:
            removing = asyncio.ensure_future(driver.images.remove(name))
            await asyncio.sleep(0)  # it has chosen what to remove, and waits for the lock
            await driver.store.point({"docker.io/library/new:1": Target(two.foreign.id)})
        await removing

    driver.run(at_once())
    assert [(row["Id"], row["RepoTags"]) for row in rows(driver)] == [(two.foreign.id, ["new:1"])]


def test_a_name_that_moves_on_leaves_its_old_index_by_digest(
    new_store: NewStore, two: Two, name: str, bad: BadRegistry
) -> None:
    driver = new_store()
    before = driver.left()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    newer = Two("newer")
    newer.serve(bad)
    driver.pull(name)
    assert {row["Id"]: available(row) for row in rows(driver)} == {
        newer.own.id: {HOST.architecture: True, FOREIGN.architecture: False},
        two.own.id: {HOST.architecture: True, FOREIGN.architecture: True},
    }
    driver.run(driver.images.remove(name))
    assert [row["Id"] for row in rows(driver)] == [two.own.id]
    driver.run(driver.images.remove(f"{name.removesuffix(':1')}@{two.digest}"))
    assert driver.left() == before


def test_prune_takes_indexes_that_nothing_uses(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    driver.run(driver.images.remove("cove/hello"))
    before = driver.left()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    assert driver.run(driver.images.prune({}))["ImagesDeleted"] is None
    assert driver.run(driver.images.prune({"dangling": ["false"]}))["ImagesDeleted"]
    assert driver.left() == before


def test_a_store_that_is_opened_again_has_its_indexes(new_store: NewStore, two: Two, name: str, tmp_path: Path) -> None:
    driver = new_store()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    driver.run(driver.store.collect())
    shown, left = rows(driver), driver.left()
    driver.run(driver.images.close())
    driver.run(driver.images.open())
    driver.run(driver.store.collect())
    assert (rows(driver), driver.left()) == (shown, left)


def test_an_index_that_is_held_comes_back_with_its_platforms(new_store: NewStore, two: Two, name: str) -> None:
    """As the engine's bin holds it, also over a restart."""
    driver = new_store()
    before = driver.left()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    shown, left = rows(driver), driver.left()
    found = affected(driver.store, name)
    assert set(found.images) == {two.own.id, two.foreign.id}

    def hold() -> list[Hold]:
        return [*map(driver.store.hold, found.images), driver.store.hold_blobs(found.blobs)]

    hold()
    driver.run(driver.images.remove(name))
    assert name not in str(rows(driver))
    driver.run(driver.images.close())
    driver.run(driver.images.open())
    holds = hold()
    driver.run(driver.store.collect())
    driver.run(driver.store.bring_back(found.images, found.names))
    driver.run(release_all(driver, holds))
    assert (rows(driver), driver.left()) == (shown, left)
    holds = hold()
    driver.run(driver.images.remove(name))
    driver.run(release_all(driver, holds))
    assert driver.left() == before


async def release_all(driver: Driver, holds: list[Hold]) -> None:
    for each in holds:
        each.release()
    await driver.store.settle()


def test_a_store_of_before_indexes_opens_unchanged(new_store: NewStore, two: Two, name: str) -> None:
    driver = new_store()
    driver.pull(name)
    driver.run(driver.images.close())
    path = driver.root.images / "references.json"
    old = json.loads(path.read_bytes())
    for pointer in old["references"].values():
        pointer.pop("index", None)
    path.write_text(json.dumps(old))
    (driver.root.blobs / hex_of(two.digest)).unlink()
    driver.run(driver.images.open())
    driver.run(driver.store.collect())
    [row] = rows(driver)
    assert (row["Id"], row["RepoTags"]) == (two.own.id, [name])
    assert row["Descriptor"]["digest"] == digest(two.own.manifest)
    assert driver.store.resolve(name, FOREIGN).id == two.own.id  # the caller sees that it is another platform
    driver.pull(name, platform=str(FOREIGN))
    assert available(rows(driver)[0]) == {HOST.architecture: True, FOREIGN.architecture: True}


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isreg()}  # type: ignore[union-attr]


def test_an_archive_has_the_index_as_it_is(
    new_store: NewStore, two: Two, name: str, kind: Kind, tmp_path: Path
) -> None:
    driver = new_store(kind=kind)
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    archive = driver.save(name)
    files = members(archive)
    [entry] = json.loads(files["index.json"])["manifests"]
    assert entry["digest"] == two.digest
    assert json.loads(files["manifest.json"])[0]["Config"] == f"blobs/sha256/{hex_of(two.own.id)}"
    other = new_store(tmp_path / "other", kind=kind)
    before = other.left()
    assert other.load(archive) == [{"stream": f"Loaded image: {name}\n"}]
    assert available(rows(other)[0]) == {HOST.architecture: True, FOREIGN.architecture: True}
    assert rows(other)[0]["Descriptor"] == rows(driver)[0]["Descriptor"]
    assert members(other.save(name)) == files
    other.run(other.images.remove(name))
    assert other.left() == before


def test_an_archive_keeps_all_names_of_an_index(new_store: NewStore, two: Two, name: str, tmp_path: Path) -> None:
    driver = new_store()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    driver.run(driver.images.tag(name, repo="other", tag="2"))
    loader = new_store(tmp_path / "other")
    lines = loader.load(driver.save(name, "other:2"))
    assert lines == [{"stream": f"Loaded image: {one}\n"} for one in (name, "other:2")]
    [row] = rows(loader)
    assert (row["RepoTags"], row["Descriptor"]["digest"]) == (sorted([name, "other:2"]), two.digest)


def test_of_an_index_without_a_name_only_the_images_are_kept(
    new_store: NewStore, two: Two, name: str, tmp_path: Path
) -> None:
    driver = new_store()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    driver.run(driver.images.tag(name, repo="other", tag="2"))
    driver.run(driver.images.remove(name))
    loader = new_store(tmp_path / "other")
    lines = loader.load(driver.save(two.own.id))
    assert {row["Id"]: row["RepoTags"] for row in rows(loader)} == {two.own.id: [], two.foreign.id: []}
    assert {line["stream"] for line in lines} == {f"Loaded image ID: {one.id}\n" for one in two.images}
    images = [
        BuiltImage(str(platform), loader.store.configs[image.id], loader.store.images[image.id].layers)
        for platform, image in zip((HOST, FOREIGN), two.images, strict=True)
    ]
    loader.run(store_index(loader.store, images, [], None))
    assert loader.left()["blobs"] == sorted(map(hex_of, loader.store.blob_digests()))


def test_an_archive_may_be_of_one_platform(new_store: NewStore, two: Two, name: str, tmp_path: Path) -> None:
    driver = new_store()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    other = new_store(tmp_path / "other")
    other.load(driver.save(name, platforms=[FOREIGN]))
    assert [(row["Id"], row["RepoTags"]) for row in rows(other)] == [(two.foreign.id, [name])]
    third = new_store(tmp_path / "third")
    third.load(driver.save(name), platform=HOST)
    assert available(rows(third)[0]) == {HOST.architecture: True, FOREIGN.architecture: False}
    with pytest.raises(NotFound, match=r"does not provide the specified platform \(linux/riscv64\)"):
        third.load(driver.save(name), platform=OTHER)


def test_an_index_whose_name_goes_meanwhile_is_pushed_whole(
    new_store: NewStore, two: Two, name: str, real: str
) -> None:
    driver = new_store()
    before = driver.left()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    driver.run(driver.images.tag(name, repo=f"{real}/x", tag="1"))
    driver.run(driver.images.remove(name))

    async def interrupted() -> list[dict[str, Any]]:
        async with contextlib.aclosing(driver.images.push(f"{real}/x", tag="1")) as lines:
            said = []
            async for line in lines:
                if line.get("status") == "Preparing" and driver.store.references.get(f"{real}/x:1"):
                    await driver.images.remove(f"{real}/x:1")
                said.append(line)
            return said

    assert driver.run(interrupted())[-1]["aux"]["Digest"] == two.digest
    assert driver.left() == before
    driver.pull(f"{real}/x:1", platform=str(FOREIGN))


def test_layers_that_came_otherwise_packed_are_saved_with_an_index_of_their_own(
    new_store: NewStore, two: Two, name: str, tmp_path: Path
) -> None:
    driver = new_store()
    driver.import_(tar_of(Entry("common", b"common" * 100)))  # the same layer, with another blob
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    other = new_store(tmp_path / "other")
    other.load(driver.save(name))
    [row] = rows(other)
    assert available(row) == {HOST.architecture: True, FOREIGN.architecture: True}
    assert row["Descriptor"]["digest"] != two.digest


def test_a_whole_index_is_pushed_with_its_digest(new_store: NewStore, two: Two, name: str, real: str) -> None:
    driver = new_store()
    driver.pull(name)
    driver.pull(name, platform=str(FOREIGN))
    driver.run(driver.images.tag(name, repo=f"{real}/y", tag="2"))
    lines = driver.all(driver.images.push(f"{real}/y:2"))
    assert lines[-1]["aux"] == {"Tag": "2", "Digest": two.digest, "Size": len(two.index)}
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{real}/y:2"],
        stdout=subprocess.PIPE,
        check=True,
        timeout=HANG_S,
    )
    assert raw.stdout == two.index
    assert f"{real}/y@{two.digest}" in rows(driver)[0]["RepoDigests"]


def test_of_a_part_of_an_index_one_platform_is_pushed(new_store: NewStore, two: Two, name: str, real: str) -> None:
    driver = new_store()
    driver.pull(name)
    driver.run(driver.images.tag(name, repo=f"{real}/y", tag="2"))
    instead, last = (line["aux"] for line in driver.all(driver.images.push(f"{real}/y:2"))[-2:])
    assert last["Digest"] == digest(two.own.manifest)
    assert instead["originalIndex"]["digest"] == two.digest
    assert instead["selectedManifest"]["digest"] == digest(two.own.manifest)
    driver.pull(name, platform=str(FOREIGN))
    last = driver.all(driver.images.push(f"{real}/y:2", platform=FOREIGN))[-1]["aux"]
    assert last["Digest"] == digest(two.foreign.manifest)


def test_without_this_machines_platform_a_part_of_an_index_needs_to_be_named(
    new_store: NewStore, bad: BadRegistry, real: str
) -> None:
    images = [
        MadeImage(tar_of(Entry("x", str(one).encode())), platform=(one.os, one.architecture))
        for one in (FOREIGN, OTHER, HOST)
    ]
    for image in images:
        bad.add(image, digest(image.manifest))
    bad.manifests["1"] = index_of(*images)
    driver = new_store()
    driver.pull(f"{bad.address}/x:1", platform=str(FOREIGN))
    driver.pull(f"{bad.address}/x:1", platform=str(OTHER))
    driver.run(driver.images.tag(f"{bad.address}/x:1", repo=f"{real}/y", tag="2"))
    with pytest.raises(Conflict, match="multiple matching manifests found but no specific platform requested"):
        driver.all(driver.images.push(f"{real}/y:2"))


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive", "oci"])
def test_archives_of_skopeo_load(new_store: NewStore, two: Two, real: str, tmp_path: Path, form: str) -> None:
    two.put(real, "1")
    path = tmp_path / ("layout" if form == "oci" else "archive.tar")
    target = f"{form}:{path}:docker.io/library/copied:3"
    command = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", f"docker://{real}/x:1", target]
    if form != "docker-archive":
        command.insert(2, "--all")
    subprocess.run(command, check=True, timeout=HANG_S)
    if form == "oci":
        with tarfile.open(tmp_path / "archive.tar", "w") as tar:
            tar.add(path, ".")
    driver = new_store()
    driver.load((tmp_path / "archive.tar").read_bytes())
    [row] = rows(driver)
    assert row["RepoTags"] == ["copied:3"]
    if form != "docker-archive":
        assert row["Descriptor"]["digest"] == two.digest
        assert available(row) == {HOST.architecture: True, FOREIGN.architecture: True}


def test_attestations_come_and_go_with_their_image(new_store: NewStore, two: Two, tmp_path: Path, real: str) -> None:
    attested = Attested(two.own)
    listed = json.loads(two.index)
    listed["manifests"].append(attested.entry)
    index = json.dumps(listed).encode()
    blobs = {**two.own.blobs, **two.foreign.blobs, **attested.blobs}
    blobs |= {digest(data): data for data in (index, attested.manifest, two.own.manifest, two.foreign.manifest)}
    top = {"mediaType": listed["mediaType"], "digest": digest(index), "size": len(index)}
    annotations = {"io.containerd.image.name": f"{real}/att:1"}
    files = {f"blobs/sha256/{hex_of(name)}": data for name, data in blobs.items()}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [{**top, "annotations": annotations}]}).encode()
    archive = tar_of(*(Entry(path, data) for path, data in files.items()))
    driver = new_store()
    before = driver.left()
    driver.load(archive)
    driver.run(driver.images.close())
    driver.run(driver.images.open())
    driver.run(driver.store.collect())
    [row] = rows(driver)
    [shown] = [one for one in row["Manifests"] if one["Kind"] == "attestation"]
    assert shown["Available"]
    assert shown["AttestationData"] == {"For": digest(two.own.manifest)}
    last = driver.all(driver.images.push(f"{real}/att:1"))[-1]["aux"]
    assert last["Digest"] == digest(index)
    driver.run(driver.images.remove(f"{real}/att:1", platforms=[HOST]))
    left = driver.left()["blobs"]
    assert not {hex_of(digest(attested.manifest)), *map(hex_of, attested.blobs)} & set(left)
    driver.run(driver.images.remove(f"{real}/att:1"))
    assert driver.left() == before
    driver.load(archive)
    driver.run(driver.images.remove(f"{real}/att:1"))
    assert driver.left() == before


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:x", "size": 1},
            "digest and size",
        ),
        ({"digest": "sha256:" + "0" * 64, "size": -1}, "digest and size"),
        ({"digest": "sha256:" + "0" * 64, "size": 1, "platform": "linux"}, "no object"),
        ("text", "no list of objects"),
    ],
)
def test_an_index_with_a_wrong_entry_is_refused(
    new_store: NewStore, two: Two, name: str, bad: BadRegistry, entry: Any, words: str
) -> None:
    listed = json.loads(two.index)
    listed["manifests"].append(entry)
    bad.manifests["1"] = json.dumps(listed).encode()
    driver = new_store()
    before = driver.left()
    with pytest.raises(EngineError, match=words):
        driver.pull(name)
    assert driver.left() == before


def test_an_archive_of_another_system_is_refused(new_store: NewStore) -> None:
    image = MadeImage(tar_of(Entry("x", b"x")), platform=("windows", "amd64"))
    files = {f"blobs/sha256/{hex_of(name)}": data for name, data in image.blobs.items()}
    listed = [{"Config": f"blobs/sha256/{hex_of(image.id)}", "RepoTags": ["w:1"], "Layers": []}]
    listed[0]["Layers"] = [f"blobs/sha256/{hex_of(digest(data))}" for data in image.packed]
    driver = new_store()
    before = driver.left()
    with pytest.raises(EngineError, match="cannot load windows image on linux"):
        driver.load(
            tar_of(
                *(Entry(path, data) for path, data in files.items()),
                Entry("manifest.json", json.dumps(listed).encode()),
            )
        )
    assert driver.left() == before
