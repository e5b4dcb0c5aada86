"""What strangers write in manifests, configs, archives and lists of tags: refused in words; the store stays clean."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.images.kit import INDEX, MANIFEST, BadRegistry, Driver, Entry, MadeImage, digest, symlink, tar_of
from vmagent.api.messages import dump_json
from vmagent.engine.checking.finding import Finding
from vmagent.engine.checking.images import ImagesCheck
from vmagent.errors import EngineError
from vmagent.images import tarwriter
from vmagent.images.config import MAX_LAYERS
from vmagent.images.tarstream import SYMLINK

NewStore = Callable[..., Driver]
LAYER = tar_of(Entry("f", b"content"))
IMAGE = MadeImage(LAYER)
MANY = 100_000


@pytest.fixture
def driver(new_store: NewStore) -> Iterator[Driver]:
    """A store; at the end, a check of it finds nothing."""
    made = new_store()
    yield made
    assert [one for one in made.all(ImagesCheck(made.store).findings()) if isinstance(one, Finding)] == []


def with_manifest(**changed: Any) -> bytes:
    return json.dumps({**json.loads(IMAGE.manifest), **changed}).encode()


def with_layer(**changed: Any) -> bytes:
    [layer] = json.loads(IMAGE.manifest)["layers"]
    return with_manifest(layers=[{**layer, **changed}])


def layers(number: int) -> MadeImage:
    """An image that names one layer so often."""
    made = MadeImage(LAYER, diff_ids=[digest(LAYER)] * number)
    read = json.loads(made.manifest)
    made.manifest = json.dumps({**read, "layers": read["layers"] * number}).encode()
    return made


def index(kind: str, of: bytes) -> bytes:
    entry = {"mediaType": kind, "digest": digest(of), "size": len(of), "platform": {"os": "linux"}}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()


MANIFESTS = {
    "deeper than a parser goes": (b'{"mediaType":"x","a":' + b"[" * MANY, "is no JSON"),
    "a list": (b'[{"mediaType": "x"}]', "is no JSON object"),
    "no UTF-8": (with_manifest(note="\xff").replace(b"\\u00ff", b"\xff"), "is no JSON"),
    "layers that are no list": (with_manifest(layers={"a": 1}), "no list of objects"),
    "no config": (with_manifest(config=None), "the config is no descriptor"),
    "a path for a digest": (with_layer(digest="sha256:../../../../../etc/passwd"), "no sha256 digest and size"),
    "a digest in capitals": (with_layer(digest=f"sha256:{'A' * 64}"), "no sha256 digest and size"),
    "a digest of another kind": (with_layer(digest=f"md5:{'0' * 32}"), "no sha256 digest and size"),
    "a digest with a line after it": (with_layer(digest=f"sha256:{'0' * 64}\n"), "no sha256 digest and size"),
    "a size below nothing": (with_layer(size=-1), "no sha256 digest and size"),
    "a size that no number has": (with_layer(size=1 << 70), "its manifest says"),
    "a size in words": (with_layer(size="7"), "no sha256 digest and size"),
    "a size that is true": (with_layer(size=True), "no sha256 digest and size"),
    "a config that fills the memory": (
        with_manifest(config={**json.loads(IMAGE.manifest)["config"], "size": 1 << 40}),
        "too large for what it is",
    ),
    "another schema": (with_manifest(schemaVersion=1), "unsupported manifest of schema 1"),
    "more layers than descriptors fit": (layers(MANY).manifest, "is larger than 4194304 bytes"),
}


def test_a_hostile_manifest_is_refused_and_leaves_nothing(bad: BadRegistry, driver: Driver) -> None:
    fresh = driver.left()
    bad.add(IMAGE)
    for case, (manifest, words) in MANIFESTS.items():
        bad.manifests["latest"] = manifest
        bad.media_type = MANIFEST
        with pytest.raises(EngineError, match=words):
            driver.pull(f"{bad.address}/x:latest")
        assert driver.left() == fresh, case


def test_an_image_of_more_layers_than_can_be_mounted_is_refused(bad: BadRegistry, driver: Driver) -> None:
    fresh = driver.left()
    for number in (MAX_LAYERS + 1, 10_000):
        bad.add(layers(number), "many")
        with pytest.raises(EngineError, match=f"max depth exceeded: {number} layers, 499 can be mounted"):
            driver.pull(f"{bad.address}/x:many")
        assert driver.left() == fresh, f"{number} layers"
    bad.add(layers(MAX_LAYERS), "most")
    driver.pull(f"{bad.address}/x:most")
    changes = {"module": "vmagent.engine.snapshotting", "upper": str(driver.root.ingest)}
    with pytest.raises(EngineError, match="max depth exceeded"):
        driver.run(driver.images.commit(changes, parent=f"sha256:{layers(MAX_LAYERS).id[7:]}", config={}))
    driver.run(driver.images.remove(f"{bad.address}/x:most"))
    assert driver.left() == fresh, "a commit"


def test_an_index_of_indexes_is_refused(bad: BadRegistry, driver: Driver) -> None:
    fresh = driver.left()
    inner = index(MANIFEST, IMAGE.manifest)
    for kind in (INDEX, MANIFEST):
        bad.manifests[digest(inner)] = inner
        bad.manifests["latest"] = index(kind, inner)
        with pytest.raises(EngineError, match=r"unsupported manifest|no matching manifest"):
            driver.pull(f"{bad.address}/x:latest")
        assert driver.left() == fresh, kind


def test_a_list_of_tags_without_an_end_is_refused(bad: BadRegistry, driver: Driver) -> None:
    fresh = driver.left()
    bad.tags, bad.more_tags = ["1"], True
    with pytest.raises(EngineError, match="its list of tags has no end after 1000 tags"):
        driver.all(driver.images.pull(f"{bad.address}/x"))
    assert driver.left() == fresh, "no end"
    bad.more_tags = False
    for tag in ("../../x", "a\nb", "x" * 129, {"a": 1}, None):
        bad.tags = [tag]
        with pytest.raises(EngineError, match=r"invalid|not all tags are texts"):
            driver.all(driver.images.pull(f"{bad.address}/x"))
        assert driver.left() == fresh, repr(tag)


def test_a_length_that_is_no_number_is_refused(bad: BadRegistry, driver: Driver) -> None:
    fresh = driver.left()
    bad.add(IMAGE)
    bad.announce = {digest(IMAGE.packed[0]): "many"}  # type: ignore[dict-item]  # a registry may send anything
    with pytest.raises(EngineError, match="has many bytes at the registry, its manifest says"):
        driver.pull(f"{bad.address}/x:latest")
    assert driver.left() == fresh, "a length"


def test_half_a_surrogate_pair_in_a_config_reaches_no_client(bad: BadRegistry, driver: Driver) -> None:
    """One such image must not keep all of them from being listed. Go's reader makes it U+FFFD."""
    image = MadeImage(LAYER)
    config = image.config.replace(b'"made": "here"', b'"made": "\\ud83d\\ude00 \\ud800 \\uDC80"')
    assert config != image.config
    manifest = json.loads(image.manifest)
    manifest["config"].update(digest=digest(config), size=len(config))
    bad.add(image)
    bad.blobs[digest(config)] = config
    bad.manifests["latest"] = json.dumps(manifest).encode()
    driver.pull(f"{bad.address}/x:latest")
    for shape in (driver.run(driver.images.list()), driver.run(driver.images.inspect(f"{bad.address}/x"))):
        assert "\U0001f600 \ufffd \ufffd".encode() in dump_json(shape)


def archive(config: bytes = IMAGE.config, **changed: Any) -> bytes:
    entry = {"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["layer.tar"], **changed}
    return tar_of(
        Entry("manifest.json", json.dumps([entry]).encode()), Entry("config.json", config), Entry("layer.tar", LAYER)
    )


def many_links() -> bytes:
    links = (tarwriter.header(f"{number}", SYMLINK, link="x") for number in range(MANY + 1))
    return b"".join(links) + tarwriter.END


CYCLE = tar_of(symlink("manifest.json", "a"), symlink("a", "b"), symlink("b", "a"))
LAYER_CYCLE = tar_of(
    Entry("manifest.json", json.dumps([{"Config": "config.json", "Layers": ["l"]}]).encode()),
    *(Entry("config.json", IMAGE.config), symlink("l", "m"), symlink("m", "l")),
)
ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "more layers than can be mounted": (
        lambda: archive(layers(MANY).config, Layers=["layer.tar"] * MANY),
        "max depth exceeded: 100000 layers",
    ),
    "more links than files": (many_links, "too many files"),
    "a cycle of links": (lambda: CYCLE, "neither manifest.json nor index.json"),
    "a layer in a cycle of links": (lambda: LAYER_CYCLE, "it has no l|it has no m"),
    "names that are a number": (lambda: archive(RepoTags=5), "invalid archive"),
    "names that are no list": (lambda: archive(RepoTags={"x:1": 1}), "invalid archive"),
    "a name that is a list": (lambda: archive(RepoTags=[["x:1"]]), "invalid"),
    "a name that leads out": (lambda: archive(RepoTags=["../../x:1"]), "invalid reference format"),
    "a name with a line after it": (lambda: archive(RepoTags=["x:1\n"]), "invalid reference format"),
    "a name without an end": (lambda: archive(RepoTags=["x" * 10_000]), "invalid|must not be more"),
    "layers that are a word": (lambda: archive(Layers="layer.tar"), "invalid archive"),
    "layers that are a number": (lambda: archive(Layers=5), "invalid archive"),
    "a config that is a list": (lambda: archive(Config=["config.json"]), "it has no"),
    "entries that are words": (lambda: tar_of(Entry("manifest.json", b'["x"]')), "no list of images"),
    "a bomb that breaks off": (lambda: gzip.compress(bytes(64 << 20))[:-8], "gzip|invalid tar"),
}


def test_a_hostile_archive_is_refused_and_leaves_nothing(driver: Driver) -> None:
    fresh = driver.left()
    for case, (make, words) in ARCHIVES.items():
        with pytest.raises(EngineError, match=words):
            driver.load(make())
        assert driver.left() == fresh, case
    driver.load(archive())
    assert driver.tags() == ["x:1"]


def test_names_of_files_are_bytes_of_any_kind(driver: Driver, new_store: NewStore, tmp_path: Path) -> None:
    names = [b"a\nb", b"\xff\xfe", b" ", b"-rf", b"\x1b[31m", "\u202e".encode(), b"n" * 255]
    driver.import_(tar_of(*(Entry(os.fsdecode(name), b"x") for name in names)), "x:1")
    [lower] = driver.lowers(driver.store.resolve("x:1"))
    assert sorted(os.listdir(os.fsencode(lower))) == sorted(names)
    again = new_store(tmp_path / "other")
    again.load(driver.save("x:1"))
    [lower] = again.lowers(again.store.resolve("x:1"))
    assert sorted(os.listdir(os.fsencode(lower))) == sorted(names)
    fresh = driver.left()
    with pytest.raises(EngineError, match="File name too long"):
        driver.import_(tar_of(Entry("n" * 256, b"x")), "y:1")
    assert driver.left() == fresh, "a long name"
