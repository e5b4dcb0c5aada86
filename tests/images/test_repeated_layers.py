"""Images that name one layer more than once: an overlay refuses a repeated lower folder, a plain unpack does not."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.images.kit import Driver, Entry, MadeImage, digest, folder, snapshot, tar_of
from vmagent.images.layer import Kind
from vmagent.linux import mounts

NewStore = Callable[..., Driver]
Tree = dict[str, bytes | None]  # path: a file's content, None for a folder

EMPTY = bytes(1024)


@contextmanager
def merged(lowers: list[str]) -> Iterator[Path]:
    """The overlay of `lowers` (top first), mounted read-only as a container's root is."""
    with tempfile.TemporaryDirectory() as made:
        target, top = Path(made, "target"), Path(made, "top")
        target.mkdir()
        top.mkdir()
        mounts.mount("overlay", str(target), "overlay", 0, "lowerdir=" + ":".join((str(top), *lowers)))
        try:
            yield target
        finally:
            mounts.umount(str(target))


def seen(root: Path) -> Tree:
    tree: Tree = {}
    for path in root.rglob("*"):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:  # where one layer alone has a folder, overlayfs lists whiteouts that hide nothing
            continue
        tree[str(path.relative_to(root))] = None if stat.S_ISDIR(mode) else path.read_bytes()
    return tree


def archive(layers: list[bytes], tag: str = "x:1") -> bytes:
    """A docker archive of one image; a repeated layer is stored once and named as often as the image has it."""
    image = MadeImage(*layers, pack=bytes)
    files = {f"{digest(layer)[7:]}.tar": layer for layer in layers}
    names = [f"{digest(layer)[7:]}.tar" for layer in layers]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]).encode()
    stored = [Entry(name, data) for name, data in files.items()]
    return tar_of(Entry("manifest.json", manifest), Entry("config.json", image.config), *stored)


# --- a plain unpack: OCI image-spec, layer.md, "Applying Changesets"

NAMES = ("a", "b", "c")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
ITEMS = st.tuples(st.sampled_from(("file", "folder", "whiteout", "opaque")), PATHS)


def layer_of(items: list[tuple[str, str]], number: int) -> list[Entry]:
    """Members that contradict neither each other nor themselves; every folder is listed before what lies in it."""
    made: dict[str, str] = {}
    for kind, path in items:
        parents = [path.rsplit("/", depth)[0] for depth in range(1, path.count("/") + 1)]
        if path in made or any(made.get(parent, "folder") not in ("folder", "opaque") for parent in parents):
            continue
        for parent in parents:
            made.setdefault(parent, "folder")
        made[path] = kind
    entries = []
    for path, kind in sorted(made.items()):
        parent, _, base = path.rpartition("/")
        if kind == "whiteout":
            entries.append(Entry(f"{parent}/.wh.{base}" if parent else f".wh.{base}"))
        elif kind == "file":
            entries.append(Entry(path, f"layer {number}".encode()))
        else:
            entries.append(folder(path))
            if kind == "opaque":
                entries.append(Entry(f"{path}/.wh..wh..opq"))
    return entries


def remove(tree: Tree, path: str) -> None:
    for known in [known for known in tree if known == path or known.startswith(f"{path}/")]:
        del tree[known]


def apply(tree: Tree, entries: list[Entry]) -> None:
    """Unpack one layer over `tree`: its whiteouts hide what was there before, never what the layer itself brings."""
    for entry in entries:
        parent, _, base = entry.name.rpartition("/")
        if base == ".wh..wh..opq":
            for known in [known for known in tree if known.startswith(f"{parent}/")]:
                del tree[known]
        elif base.startswith(".wh."):
            remove(tree, f"{parent}/{base[4:]}" if parent else base[4:])
    for entry in entries:
        if entry.name.rpartition("/")[2].startswith(".wh."):
            continue
        is_folder = entry.type == tarfile.DIRTYPE
        if not is_folder or tree.get(entry.name, b"") is not None:
            remove(tree, entry.name)
            tree[entry.name] = None if is_folder else entry.data


def test_a_stack_with_repeats_shows_what_a_plain_unpack_gives(kind: Kind, new_store: NewStore, tmp_path: Path) -> None:
    driver = new_store(kind=kind)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.lists(ITEMS, max_size=5), min_size=1, max_size=3),
        st.lists(st.integers(0, 2), min_size=2, max_size=6),
    )
    def check(described: list[list[tuple[str, str]]], order: list[int]) -> None:
        layers = [layer_of(items, number) for number, items in enumerate(described)]
        stack = [layers[index % len(layers)] for index in order]
        driver.load(archive([tar_of(*entries) for entries in stack]))
        expected: Tree = {}
        for entries in stack:
            apply(expected, entries)
        with merged(driver.lowers(driver.store.resolve("x:1"))) as root:
            assert seen(root) == expected
        driver.run(driver.images.remove("x:1"))

    check()


# --- each way in which such an image is made

LAYER = tar_of(folder("d"), Entry("d/kept", b"1"), Entry("d/gone", b"2"))
HIDE = tar_of(folder("d"), Entry("d/.wh.gone"), Entry("d/kept", b"hidden"))
BACK = {"d": None, "d/kept": b"1", "d/gone": b"2"}  # what LAYER, HIDE, LAYER show


def check_image(driver: Driver, ref: str, expected: Tree, *, count: int) -> None:
    """The image names `count` layers, shows `expected`, and leaves as it came through save and load."""
    image = driver.store.resolve(ref)
    assert len(image.layers) == count
    with merged(driver.lowers(image)) as root:
        assert seen(root) == expected
    shape = driver.run(driver.images.inspect(ref))
    assert shape["RootFS"]["Layers"] == list(image.layers)
    assert shape["Size"] == sum(driver.store.layers[diff_id].size for diff_id in image.layers)
    assert [line for line in driver.run(driver.images.history(ref)) if line["Id"] == image.id]
    saved = driver.save(ref)
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        names = tar.getnames()
        found = tar.extractfile("manifest.json")
        assert found is not None
        assert len(json.loads(found.read())[0]["Layers"]) == count
    assert len(names) == len(set(names))
    driver.run(driver.images.remove(ref))
    driver.load(saved)
    assert driver.store.resolve(ref).id == image.id
    with merged(driver.lowers(driver.store.resolve(ref))) as root:
        assert seen(root) == expected


def test_two_commits_of_no_change_make_an_image_that_mounts(kind: Kind, new_store: NewStore, tmp_path: Path) -> None:
    driver = new_store(kind=kind)
    image_id = driver.import_(LAYER, "x:0")
    for number in (1, 2, 3):
        config = dict(driver.store.resolve(image_id).config)
        image_id = driver.run(
            driver.images.commit(
                snapshot(tmp_path / "upper"), parent=image_id, config=config, repo="x", tag=str(number)
            )
        )
    check_image(driver, "x:3", BACK, count=4)


def test_a_loaded_image_may_name_a_layer_below_and_above_another(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    driver.load(archive([LAYER, HIDE, LAYER]))
    check_image(driver, "x:1", BACK, count=3)
    driver.run(driver.images.remove("x:1"))
    driver.load(archive([HIDE, LAYER, HIDE, EMPTY, EMPTY]))
    check_image(driver, "x:1", {"d": None, "d/kept": b"hidden"}, count=5)


@pytest.mark.parametrize("order", ["ABA", "AEE"])
def test_such_an_image_is_pushed_and_pulled(order: str, registry: str, kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    own = tar_of(folder("d"), Entry("d/kept", b"1"), Entry("d/gone", b"2"), Entry("by", f"{kind} {order}".encode()))
    layers = {"A": own, "B": HIDE, "E": EMPTY}
    ref = f"{registry}/repeated/{kind}-{order.lower()}:1"
    driver.load(archive([layers[name] for name in order], ref))
    image_id = driver.store.resolve(ref).id
    driver.all(driver.images.push(ref.removesuffix(":1"), tag="1"))
    driver.run(driver.images.remove(image_id, force=True))
    assert driver.tags() == []
    driver.pull(ref)
    assert driver.store.resolve(ref).id == image_id
    check_image(driver, ref, {**BACK, "by": f"{kind} {order}".encode()}, count=3)
    driver.run(driver.images.remove(image_id, force=True))
    assert os.listdir(driver.root.ingest) == []
