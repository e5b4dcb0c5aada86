"""Pulling: from a real registry, from one that misbehaves, on a disk too small, and killed half-way."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import random
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.images.kit import (
    BadRegistry,
    Driver,
    Entry,
    MadeImage,
    bad_registry,
    digest,
    folder,
    index_of,
    symlink,
    tar_of,
)
from tests.support.limits import HANG_S
from vmagent.errors import EngineError, NotFound, Unauthorized
from vmagent.images.layer import Kind
from vmagent.images.registry import BLOCK
from vmagent.linux import mounts

NewStore = Callable[..., Driver]

BASE = tar_of(folder("etc"), Entry("etc/os", b"base"), Entry("etc/gone", b"x"), Entry("keep", b"kept" * 5000))
TOP = tar_of(Entry("etc/os", b"top"), Entry("etc/.wh.gone"), symlink("link", "etc/os"))


def seen_through_overlay(driver: Driver, ref: str, tmp_path: Path) -> dict[str, bytes]:
    """Files of an image as a container gets them."""
    target = tmp_path / "merged"
    target.mkdir(exist_ok=True)
    lowers = driver.lowers(driver.store.resolve(ref))
    mounts.mount("overlay", str(target), "overlay", mounts.MS_RDONLY, f"lowerdir={':'.join(lowers)}")
    try:
        return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    finally:
        mounts.umount(str(target))


def statuses(lines: list[dict[str, Any]], blob: bytes) -> list[str]:
    """One layer's statuses, repeats of a moving one left out."""
    short = digest(blob).removeprefix("sha256:")[:12]
    found = [line["status"] for line in lines if line.get("id") == short]
    assert all("progressDetail" in line for line in lines if line.get("id") == short)
    return list(dict.fromkeys(found))


def test_a_pull_brings_the_image_and_says_so_in_dockers_words(
    registry: str, kind: Kind, new_store: NewStore, tmp_path: Path
) -> None:
    image = MadeImage(BASE, TOP)
    image.put(registry, "some/image", "1")
    driver = new_store(kind=kind)
    fresh = driver.left()
    ref = f"{registry}/some/image:1"
    lines = driver.pull(ref)
    assert lines[0] == {"status": "Pulling from some/image", "id": "1"}
    assert lines[-2:] == [
        {"status": f"Digest: {digest(image.manifest)}"},
        {"status": f"Status: Downloaded newer image for {ref}"},
    ]
    for blob in image.packed:
        said = statuses(lines, blob)
        assert said[0] == "Pulling fs layer"
        assert said[-4:] == ["Verifying Checksum", "Download complete", "Extracting", "Pull complete"]
    files = seen_through_overlay(driver, ref, tmp_path)
    assert files == {"etc/os": b"top", "keep": b"kept" * 5000, "link": b"top"}
    shape = driver.run(driver.images.inspect(ref))
    assert (shape["Id"], shape["RepoTags"]) == (image.id, [ref])
    assert shape["RepoDigests"] == [f"{registry}/some/image@{digest(image.manifest)}"]
    assert shape["RootFS"]["Layers"] == [digest(BASE), digest(TOP)]
    assert driver.left()["ingest"] == []

    again = driver.pull(ref)
    assert again[-1] == {"status": f"Status: Image is up to date for {ref}"}
    assert statuses(again, image.packed[0]) == ["Already exists"]

    by_digest = f"{registry}/some/image@{digest(image.manifest)}"
    driver.run(driver.images.remove(ref))
    assert driver.left() == fresh
    assert driver.pull(by_digest)[-1]["status"].startswith("Status: Downloaded newer image for")
    assert driver.store.resolve(by_digest).id == image.id
    assert [event[:2] for event in driver.events if event[0] == "pull"][:1] == [("pull", ref)]


def test_a_tag_that_moved_moves_here_too_and_shared_layers_are_kept(registry: str, new_store: NewStore) -> None:
    old, new = MadeImage(BASE), MadeImage(BASE, TOP)
    driver = new_store()
    driver.run(driver.images.remove("cove/hello"))
    ref = f"{registry}/moving:1"
    old.put(registry, "moving", "1")
    driver.pull(ref)
    new.put(registry, "moving", "1")
    lines = driver.pull(ref)
    assert statuses(lines, new.packed[0]) == ["Already exists"]
    assert lines[-1]["status"] == f"Status: Downloaded newer image for {ref}"
    assert driver.store.resolve(ref).id == new.id
    assert driver.run(driver.images.inspect(old.id))["RepoTags"] == []
    driver.run(driver.images.remove(old.id))
    assert driver.left()["layers"] == sorted(digest(tar).removeprefix("sha256:") for tar in (BASE, TOP))


def test_an_index_gives_the_image_for_the_platform(bad: BadRegistry, new_store: NewStore) -> None:
    amd, arm = MadeImage(BASE), MadeImage(TOP, platform=("linux", "arm64"))
    bad.add(amd)
    bad.add(arm)
    bad.manifests["multi"] = index_of(amd, arm)
    driver = new_store()
    driver.pull(f"{bad.address}/x:multi", platform="linux/arm64")
    assert driver.store.resolve(f"{bad.address}/x:multi").id == arm.id
    found = driver.run(driver.images.inspect(f"{bad.address}/x:multi"))
    assert found["RepoDigests"] == [f"{bad.address}/x@{digest(bad.manifests['multi'])}"]
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x in the manifest list entries"):
        driver.pull(f"{bad.address}/x:multi", platform="linux/s390x")
    bad.add(arm, "single")
    with pytest.raises(NotFound, match=r"was found but.* does not match the specified platform"):
        driver.pull(f"{bad.address}/x:single", platform="linux/amd64")


def test_what_the_registry_does_not_have_is_refused_before_the_first_line(registry: str, new_store: NewStore) -> None:
    MadeImage(BASE).put(registry, "present", "1")
    driver = new_store()
    with pytest.raises(NotFound, match=f"manifest for {registry}/present:9 not found: manifest unknown: manifest unk"):
        driver.pull(f"{registry}/present:9")
    with pytest.raises(NotFound, match="not found"):
        driver.pull(f"{registry}/absent:1")
    with pytest.raises(EngineError, match="connection refused") as failed:
        driver.pull("127.0.0.1:1/x/y:1")
    assert failed.value.status == 500
    assert driver.left()["ingest"] == []


def test_a_registry_with_passwords_takes_the_right_one_only(guarded: str, new_store: NewStore) -> None:
    image = MadeImage(BASE)
    image.put(guarded, "own/x", "1", auth="ann:secret")
    driver = new_store()
    with pytest.raises(EngineError, match=r'Get "http://.*/own/x/manifests/1": no basic auth credentials') as failed:
        driver.pull(f"{guarded}/own/x:1")
    assert failed.value.status == 500
    with pytest.raises(Unauthorized):
        driver.pull(f"{guarded}/own/x:1", auth={"username": "ann", "password": "wrong"})
    driver.pull(f"{guarded}/own/x:1", auth={"username": "ann", "password": "secret"})
    assert driver.store.resolve(f"{guarded}/own/x:1").id == image.id


def test_a_bearer_token_is_fetched_with_the_password_and_used(bad: BadRegistry, new_store: NewStore) -> None:
    image = MadeImage(BASE)
    bad.add(image, "1")
    bad.token, bad.users = "t0k3n", {"ann": "secret"}
    driver = new_store()
    driver.pull(f"{bad.address}/own/x:1", auth={"username": "ann", "password": "secret"})
    [(asked, _)] = bad.asked  # once, for all workers
    assert "scope=repository%3Aown%2Fx%3Apull" in asked
    assert "service=s" in asked
    with pytest.raises(Unauthorized, match="incorrect username or password"):
        driver.pull(f"{bad.address}/own/x:1", auth={"username": "ann", "password": "wrong"})


def damage_digest(bad: BadRegistry, image: MadeImage) -> None:
    blob = image.packed[1]
    bad.blobs[digest(blob)] = blob[:-20] + b"\0" + blob[-19:]


def damage_short(bad: BadRegistry, image: MadeImage) -> None:
    bad.blobs[digest(image.packed[1])] = image.packed[1][:-100]


def damage_cut(bad: BadRegistry, image: MadeImage) -> None:
    bad.announce[digest(image.packed[1])] = len(image.packed[1])
    damage_short(bad, image)


def damage_long(bad: BadRegistry, image: MadeImage) -> None:
    bad.blobs[digest(image.packed[1])] += b"more"


def damage_config(bad: BadRegistry, image: MadeImage) -> None:
    bad.blobs[image.id] = image.config.replace(b"/bin/sh", b"/bin/no")


def damage_manifest(bad: BadRegistry, image: MadeImage) -> None:
    for name, manifest in list(bad.manifests.items()):
        if name.startswith("sha256:"):
            bad.manifests["latest"] = index_of(image)
            bad.manifests[name] = manifest.replace(b'"schemaVersion": 2', b'"schemaVersion":  2')


NOISE = os.urandom(300_000)
BIG = tar_of(Entry("big", NOISE))
DAMAGE: dict[str, tuple[Callable[..., MadeImage], Callable[[BadRegistry, MadeImage], None] | None, str]] = {
    "another blob than its digest": (MadeImage, damage_digest, "verification failed|gzip"),
    "a shorter blob than announced": (MadeImage, damage_short, "its manifest says"),
    "a blob that breaks off each time": (MadeImage, damage_cut, "broke off at"),
    "a longer blob than announced": (MadeImage, damage_long, "its manifest says"),
    "another config": (MadeImage, damage_config, "verification failed for digest"),
    "another manifest": (MadeImage, damage_manifest, "manifest verification failed|bytes, its index says"),
    "gzip without an end": (
        lambda *layers: MadeImage(*layers, pack=lambda tar: gzip.compress(tar)[:-8]),
        None,
        "gzip: unexpected end",
    ),
    "a tar without an end": (
        lambda base, top: MadeImage(base, top[: 512 + 100_000]),
        None,
        "invalid tar: unexpected end",
    ),
    "other content than the config says": (
        lambda base, top: MadeImage(base, top, diff_ids=[digest(base), digest(b"")]),
        None,
        "layer verification failed",
    ),
    "no gzip and no tar": (lambda base, top: MadeImage(base, NOISE, pack=bytes), None, "invalid tar"),
}


@pytest.mark.spec("OCI image-spec, descriptor.md, Digests: Verification")
def test_what_is_not_whole_is_refused_and_leaves_nothing(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    fresh = driver.left()
    for damage, (make, spoil, words) in DAMAGE.items():
        with bad_registry() as bad:
            image = make(BASE, BIG)
            bad.add(image)
            if spoil is not None:
                spoil(bad, image)
            with pytest.raises(EngineError, match=words):
                driver.pull(f"{bad.address}/x:latest")
        assert driver.left() == fresh, damage
    assert driver.tags() == []


def test_a_download_goes_on_where_it_broke_off(bad: BadRegistry, new_store: NewStore) -> None:
    image = MadeImage(BIG)
    bad.add(image)
    bad.cut_at[digest(image.packed[0])] = bad_at = 200_000
    driver = new_store()
    driver.pull(f"{bad.address}/x:latest")
    assert bad.ranges == [f"bytes={bad_at}-"]
    assert driver.store.resolve(f"{bad.address}/x").id == image.id


def many_members(tar: bytes) -> bytes:
    return b"".join(gzip.compress(tar[at : at + 3000]) for at in range(0, len(tar), 3000))


def test_layers_come_plain_as_zstd_and_as_many_gzip_members(
    bad: BadRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    driver = new_store()
    for pack in (bytes, zstandard.compress, many_members):
        bad.add(MadeImage(BASE, TOP, pack=pack))
        driver.pull(f"{bad.address}/x:latest")
        assert seen_through_overlay(driver, f"{bad.address}/x", tmp_path)["etc/os"] == b"top"
        driver.run(driver.images.remove(f"{bad.address}/x"))


def test_a_client_that_leaves_ends_the_pull_and_nothing_stays(bad: BadRegistry, new_store: NewStore) -> None:
    image = MadeImage(BASE, BIG)
    bad.add(image)
    bad.stalled[digest(image.packed[1])] = threading.Event()
    driver = new_store()
    fresh = driver.left()

    async def leave() -> None:
        async with (
            asyncio.timeout(20),
            contextlib.aclosing(driver.images.pull(f"{bad.address}/x", tag="latest")) as lines,
        ):
            async for line in lines:
                if line["status"] == "Pull complete":
                    break

    driver.run(leave())
    assert driver.left() == fresh


KILLED = """
import asyncio, sys
from pathlib import Path
from vmagent.images.imagestore import ImageStore
from vmagent.images.store import Store
from vmagent.images.layer import Kind
from vmagent.paths import DataRoot, ExecRoot
async def main():
    root = Path(sys.argv[1])
    store = Store(DataRoot(root / "data"), ExecRoot(root / "exec"), kind=Kind(sys.argv[2]))
    images = ImageStore(store, None)
    await images.open()
    async for line in images.pull(sys.argv[3], tag="latest"):
        if line["status"] == "Pull complete":
            print("one layer", flush=True)
asyncio.run(main())
"""


def test_an_engine_killed_in_a_pull_leaves_nothing_to_the_next_one(
    kind: Kind, bad: BadRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    image = MadeImage(BASE, BIG)
    bad.add(image)
    bad.stalled[digest(image.packed[1])] = threading.Event()
    engine = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path, kind, f"{bad.address}/x"], stdout=subprocess.PIPE, text=True
    )
    with engine:
        assert engine.stdout is not None
        assert "one layer\n" in iter(engine.stdout.readline, "")  # lines of the log come before
        assert bad.reached.wait(HANG_S)
        children = Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text().split()
        workers = [os.pidfd_open(int(pid)) for pid in children]
        engine.kill()
    for worker in workers:
        assert is_gone(worker)
        os.close(worker)
    assert list((tmp_path / "data" / "ingest").iterdir())
    driver = new_store(kind=kind)
    left = driver.left()
    assert left["ingest"] == left["trash"] == []
    assert driver.tags() == []
    driver.run(driver.store.collect())
    hello = driver.store.resolve("cove/hello")
    assert driver.left()["layers"] == [diff_id.removeprefix("sha256:") for diff_id in hello.layers]
    bad.stalled.popitem()[1].set()  # the registry's thread ends; the next request gets the whole blob
    driver.pull(f"{bad.address}/x:latest")
    assert driver.store.resolve(f"{bad.address}/x").id == image.id


def is_gone(pidfd: int) -> bool:
    """Whether the process ends soon, as it does when its parent has died."""
    return bool(select.select([pidfd], [], [], 10)[0])


def test_a_full_disk_is_said_and_leaves_nothing(kind: Kind, registry: str, new_store: NewStore, tmp_path: Path) -> None:
    image = MadeImage(BASE, tar_of(*(Entry(f"f{n}", os.urandom(1 << 20)) for n in range(8))))
    image.put(registry, "large", "1")
    small = tmp_path / "small"
    disk = tmp_path / "disk"
    small.mkdir()
    with disk.open("wb") as file:
        file.truncate(12 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True, stdin=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", disk, small], check=True)
    try:
        driver = new_store(small, kind)
        fresh = driver.left()
        with pytest.raises(EngineError, match="no space left on device"):
            driver.pull(f"{registry}/large:1")
        assert driver.left() == fresh
        tar = tar_of(Entry("f", os.urandom(11 << 20)))
        with pytest.raises(EngineError, match="no space left on device"):
            driver.import_(tar)
        assert driver.left() == fresh
        driver.import_(BASE)  # the store still works
        driver.run(driver.images.close())
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_pull_without_a_tag_brings_all_of_them(registry: str, new_store: NewStore) -> None:
    images = [MadeImage(BASE), MadeImage(TOP)]
    for number, image in enumerate(images):
        image.put(registry, "all", str(number))
    driver = new_store()
    lines = driver.all(driver.images.pull(f"{registry}/all"))
    assert sorted(line["id"] for line in lines if line["status"] == "Pulling from all") == ["0", "1"]
    assert {driver.store.resolve(f"{registry}/all:{n}").id for n in (0, 1)} == {image.id for image in images}
    assert json.loads(images[0].manifest)["schemaVersion"] == 2


@pytest.fixture
def cut_short(bad: BadRegistry, new_store: NewStore) -> tuple[MadeImage, Driver]:
    """A client that left while half of the second layer was there, and a store that was opened since."""
    image = MadeImage(BASE, tar_of(Entry("noise", random.Random(7).randbytes(4 * BLOCK))))
    bad.add(image)
    first, last = map(digest, image.packed)
    bad.stalled[last] = threading.Event()
    driver = new_store()
    files = [driver.root.downloads / name.removeprefix("sha256:") for name in (first, last)]

    async def pull() -> None:
        async with contextlib.aclosing(driver.images.pull(f"{bad.address}/x", tag="latest")) as lines:
            async for _ in lines:
                pass

    async def leave() -> None:
        pulling = asyncio.create_task(pull())
        wanted = [len(image.packed[0]), len(image.packed[1]) // 2 // BLOCK * BLOCK]
        async with asyncio.timeout(HANG_S):
            while True:
                if [path.stat().st_size if path.exists() else 0 for path in files] == wanted:
                    break
                await asyncio.sleep(0.01)  # no event says what is in the files
        pulling.cancel()
        await asyncio.wait([pulling])

    driver.run(leave())
    bad.stalled[last].set()
    return image, new_store()


def test_a_pull_that_was_cut_short_goes_on_after_a_restart(
    bad: BadRegistry, cut_short: tuple[MadeImage, Driver]
) -> None:
    image, driver = cut_short
    driver.pull(f"{bad.address}/x:latest")
    assert bad.sent[digest(image.packed[0])] == len(image.packed[0])
    assert bad.sent[digest(image.packed[1])] <= len(image.packed[1]) + BLOCK
    assert driver.store.resolve(f"{bad.address}/x").id == image.id
    assert list(driver.root.downloads.iterdir()) == []


def test_what_a_power_cut_has_left_of_a_download_is_fetched_anew(
    bad: BadRegistry, cut_short: tuple[MadeImage, Driver]
) -> None:
    image, driver = cut_short
    for path in driver.root.downloads.iterdir():
        path.write_bytes(bytes(path.stat().st_size))  # as ext4 leaves a file whose data was not written
    driver.pull(f"{bad.address}/x:latest")
    assert driver.store.resolve(f"{bad.address}/x").id == image.id


def test_a_prune_of_images_removes_what_cut_pulls_have_left(cut_short: tuple[MadeImage, Driver]) -> None:
    image, driver = cut_short
    freed = driver.run(driver.images.prune())["SpaceReclaimed"]
    assert freed == len(image.packed[0]) + len(image.packed[1]) // 2 // BLOCK * BLOCK
    assert list(driver.root.downloads.iterdir()) == []
