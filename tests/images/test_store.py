"""The store's other verbs: names, removal, holds, save and load, push, commit, and what survives a reopening."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.images.kit import BadRegistry, Driver, Entry, MadeImage, chunks, digest, folder, snapshot, tar_of
from tests.support.limits import HANG_S
from vmagent.engine.checking.finding import Finding
from vmagent.engine.checking.images import ImagesCheck
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.images import archiving, records
from vmagent.images.changes import apply_changes
from vmagent.images.layer import Kind
from vmagent.images.reference import Reference
from vmagent.images.removal import ImageUser
from vmagent.images.roots import Reachable
from vmagent.images.uses import LayerUses

NewStore = Callable[..., Driver]

BASE = tar_of(folder("etc"), Entry("etc/os", b"base"), Entry("keep", b"kept" * 500))
TOP = tar_of(Entry("etc/os", b"top"), Entry("new", b"n"))


@pytest.mark.parametrize(
    ("typed", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/a/b:1", "docker.io/a/b:1", "a/b:1"),
        ("docker.io/library/x", "docker.io/library/x:latest", "x:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("Host/x", "Host/x:latest", "Host/x:latest"),
        ("127.0.0.1:5000/a/b_c:T-1", "127.0.0.1:5000/a/b_c:T-1", "127.0.0.1:5000/a/b_c:T-1"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("a/b:1@sha256:" + "0" * 64, "docker.io/a/b@sha256:" + "0" * 64, "a/b@sha256:" + "0" * 64),
    ],
)
def test_a_reference_has_one_full_spelling_and_a_short_one(typed: str, full: str, familiar: str) -> None:
    reference = Reference.parse(typed).with_default_tag()
    assert (reference.key, reference.familiar) == (full, familiar)
    assert Reference.parse(full).key == full


@pytest.mark.parametrize(
    "typed", ["", "a b", "a//b", "-x", "x:", "x:-t", "x@sha256:12", "http://x", "x" * 300, "f" * 64]
)
def test_what_is_no_reference_is_refused(typed: str) -> None:
    with pytest.raises(BadRequest):
        Reference.parse(typed)


def test_upper_case_is_refused_in_dockers_words() -> None:
    with pytest.raises(
        BadRequest, match=r"invalid reference format: repository name \(library/BAD\) must be lowercase"
    ):
        Reference.parse("BAD")


def test_changes_are_dockerfile_words() -> None:
    made = apply_changes(
        {"Env": ["A=1", "B=2"], "WorkingDir": "/srv"},
        [
            'CMD ["sh", "-c"]', "ENTRYPOINT run me", "ENV B=3 C='4 5'", "env D the rest", "ENV E=$A$D",
            'LABEL a="b c" d=$E', "EXPOSE 80-81 53/udp",
            'VOLUME ["/v", "/w x"]', "USER 1:2", "WORKDIR sub", "STOPSIGNAL SIGINT", "ONBUILD RUN $x",
            "HEALTHCHECK --interval=1m30s --retries=2 CMD curl x",
        ],
    )  # fmt: skip
    assert made == {
        "Env": ["A=1", "B=3", "C=4 5", "D=the rest", "E=1the rest"],
        "WorkingDir": "/srv/sub",
        "Cmd": ["sh", "-c"],
        "Entrypoint": ["/bin/sh", "-c", "run me"],
        "Labels": {"a": "b c", "d": "1the rest"},
        "ExposedPorts": {"80/tcp": {}, "81/tcp": {}, "53/udp": {}},
        "Volumes": {"/v": {}, "/w x": {}},
        "User": "1:2",
        "StopSignal": "SIGINT",
        "OnBuild": ["RUN $x"],
        "Healthcheck": {"Test": ["CMD-SHELL", "curl x"], "Interval": 90 * 10**9, "Retries": 2},
    }
    assert apply_changes({"Cmd": ["a"]}, []) == {"Cmd": ["a"]}
    assert apply_changes({}, ["WORKDIR //x//y/"]) == {"WorkingDir": "/x/y"}


def test_a_changed_entrypoint_drops_the_command_before_it() -> None:
    assert apply_changes({"Cmd": ["a"]}, ['ENTRYPOINT ["b"]']) == {"Entrypoint": ["b"]}
    assert apply_changes({"Cmd": ["a"]}, ["CMD c", 'ENTRYPOINT ["b"]'])["Cmd"] == ["/bin/sh", "-c", "c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("RUN x", "RUN is not a valid change command"),
        ('shell ["a"]', "shell is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("USER", "USER requires exactly one argument"),
        ("ONBUILD ONBUILD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("STOPSIGNAL NOPE", "invalid signal: NOPE"),
        ("EXPOSE 99999", "invalid containerPort: 99999"),
        ("# nothing", "file with no instructions"),
    ],
)
def test_a_wrong_change_is_refused_in_dockers_words(change: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        apply_changes({}, [change])
    assert str(caught.value) == message


def test_images_are_found_by_id_name_and_prefix(new_store: NewStore) -> None:
    driver = new_store()
    one = driver.import_(BASE, "one:1")
    find = driver.store.resolve
    assert {find(ref).id for ref in (one, one[7:], one[7:19], one[:19], "one:1", f"one:1@{one}"[:5])} == {one}
    for ref, words in (
        ("none", "No such image: none:latest"),
        ("one", "No such image: one:latest"),
        ("0" * 64, "No such"),
    ):
        with pytest.raises(NotFound, match=words):
            find(ref)
    driver.import_(TOP, "cafe")
    assert find("cafe").id != one  # a name beats a prefix


def test_who_leaves_while_an_image_is_published_leaves_a_whole_one(
    new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = new_store()
    is_writing, goes_on = threading.Event(), threading.Event()
    write_image = records.write_image

    def slowly(*args: Any) -> None:
        is_writing.set()
        assert goes_on.wait(HANG_S)
        write_image(*args)

    monkeypatch.setattr(records, "write_image", slowly)

    async def leave() -> None:
        lines = driver.images.import_(chunks(BASE), repo="left:1")
        task = asyncio.ensure_future(anext(lines))
        await asyncio.to_thread(is_writing.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        await asyncio.wait([task])
        assert task.cancelled()

    driver.run(leave())
    monkeypatch.setattr(records, "write_image", write_image)
    assert driver.tags() == ["left:1"]
    assert driver.left()["ingest"] == []
    driver.run(driver.images.close())
    again = new_store()
    assert again.tags() == ["left:1"]
    assert again.lowers(again.store.resolve("left:1"))


def test_an_image_that_two_remove_at_once_goes_once(new_store: NewStore) -> None:
    driver = new_store()
    image_id = driver.import_(BASE, "one:1")

    async def both() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return await asyncio.gather(driver.images.remove(image_id), driver.images.remove(image_id))

    said = [item for items in driver.run(both()) for item in items]
    assert said.count({"Deleted": image_id}) == 1
    assert driver.tags() == []


def test_the_last_name_takes_the_image_with_it(new_store: NewStore) -> None:
    driver = new_store()
    fresh = driver.left()
    image_id = driver.import_(BASE, "a:1")
    run, images = driver.run, driver.images
    run(images.tag("a:1", repo="a", tag="2"))
    run(images.tag("a:1", repo="b"))
    assert driver.tags() == ["a:1", "a:2", "b:latest"]
    with pytest.raises(
        Conflict, match=f"conflict: unable to delete {image_id[7:19]} .must be forced. - image is referen"
    ):
        run(images.remove(image_id))
    assert run(images.remove("a:2")) == [{"Untagged": "a:2"}]
    run(images.remove("b"))
    removed = run(images.remove("a:1"))
    assert removed == [{"Untagged": "a:1"}, {"Deleted": image_id}, {"Deleted": digest(BASE)}]
    assert driver.left() == fresh
    assert [event[0] for event in driver.events] == ["import", "tag", "tag", "untag", "untag", "untag", "delete"]


def test_an_image_in_use_is_kept_for_its_user(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    run, store, images = driver.run, driver.store, driver.images
    fresh = driver.left()
    image_id = driver.import_(BASE)
    hold = store.hold(image_id)
    driver.users = [ImageUser(image_id, "c" * 64, is_running=True)]
    with pytest.raises(Conflict, match=f"cannot be forced. - image is being used by running container {'c' * 12}"):
        run(images.remove(image_id, force=True))
    with pytest.raises(Conflict, match=r'unable to remove repository reference "x" .must force.'):
        run(images.remove("x"))
    driver.users = [ImageUser(image_id, "c" * 64, is_running=False)]
    with pytest.raises(Conflict, match=r"must be forced. - image is being used by stopped container"):
        run(images.remove(image_id))
    assert {"Deleted": image_id} in run(images.remove("x", force=True))
    with pytest.raises(NotFound):
        store.resolve(image_id)
    [lower] = driver.lowers(store.image(image_id))  # a stopped container can still start
    assert (Path(lower) / "keep").is_file()

    driver.close()
    driver.__init__(driver.root.path.parent, kind)  # type: ignore[misc] # the same data root, opened again
    hold = driver.store.hold(image_id)
    driver.run(driver.store.collect())
    [lower] = driver.lowers(driver.store.image(image_id))
    assert (Path(lower) / "keep").is_file()

    async def release() -> None:
        hold.release()

    driver.run(release())
    assert driver.left() == fresh


def test_a_layer_stays_as_long_as_any_named_root_reaches_it(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    run, store = driver.run, driver.store
    fresh = driver.left()
    image_id = driver.import_(BASE)
    cached = set(store.image(image_id).layers)
    store.roots.add("cache", lambda: Reachable.of(cached))
    with pytest.raises(ValueError, match="a root named cache already"):
        store.roots.add("cache", Reachable.of)
    blobs = set(driver.left()["blobs"]) - set(fresh["blobs"]) - {image_id[7:]}
    assert {"Deleted": digest(BASE)} not in run(driver.images.remove("x"))
    left = driver.left()
    assert set(store.layers) > cached
    assert set(left["blobs"]) - set(fresh["blobs"]) == blobs  # the layer's own blob stays with it; the config is gone
    cached.clear()
    run(store.collect())
    assert driver.left() == fresh


def test_lists_filter_and_prunes_take_what_has_no_name(new_store: NewStore) -> None:
    driver = new_store()
    run, store, images = driver.run, driver.store, driver.images
    driver.import_(BASE, "a/x:1", changes=["LABEL tier=web"])
    old = driver.import_(TOP, "b:1")
    driver.import_(tar_of(Entry("other")), "b:1")

    def ids(**filters: Any) -> set[str]:
        return {shape["Id"] for shape in run(images.list({key: [value] for key, value in filters.items()}))}

    assert ids(dangling="true") == {old}
    assert ids(label="tier=web") == ids(reference="a/*") == {store.resolve("a/x:1").id}
    assert ids(reference="*") == {store.resolve("b:1").id}  # no slash is crossed
    with pytest.raises(BadRequest, match="invalid filter 'x'"):
        ids(x="y")
    driver.users = [ImageUser(old, "c" * 64, is_running=False)] * 2
    assert {shape["Id"]: shape["Containers"] for shape in run(images.list())}[old] == 2
    answer = run(images.prune({}))
    assert answer == {"ImagesDeleted": None, "SpaceReclaimed": 0}
    used = store.resolve("a/x:1").id
    driver.users = [ImageUser(used, "c" * 64, is_running=True)]
    answer = run(images.prune({}))
    assert answer["ImagesDeleted"][0] == {"Deleted": old}
    assert answer["SpaceReclaimed"] == 4
    answer = run(images.prune({"dangling": ["false"]}))
    assert {"Untagged": "b:1"} in answer["ImagesDeleted"]
    assert driver.tags() == ["a/x:1"]


def test_what_changes_between_a_finding_and_its_repair_is_kept(new_store: NewStore) -> None:
    driver = new_store()
    gone = driver.import_(BASE, "gone:1")
    driver.import_(TOP, "kept:1")
    records.image_path(driver.root, gone).unlink()
    (driver.root.images / records.REFERENCES).write_text("{")
    found = [one for one in driver.all(ImagesCheck(driver.store).findings()) if isinstance(one, Finding)]
    driver.run(driver.images.remove("gone:1"))
    driver.run(driver.images.tag("kept:1", repo="kept", tag="2"))
    assert len(found) == 2

    async def repair() -> None:
        for one in found:
            assert one.mend is not None
            await one.mend()

    driver.run(repair())
    assert driver.tags() == ["kept:1", "kept:2"]
    assert new_store().tags() == ["kept:1", "kept:2"]


def test_a_folder_that_a_layers_tar_does_not_name_is_no_damage(new_store: NewStore) -> None:
    """It has the time of its unpacking."""
    driver = new_store()
    driver.import_(TOP, "x:1")
    os.utime(driver.root.layers / digest(TOP).removeprefix("sha256:") / "diff" / "etc", (1, 1))
    found = driver.all(ImagesCheck(driver.store).findings())
    assert not [one for one in found if isinstance(one, Finding)]


def test_a_layer_is_used_or_replaced_but_not_both() -> None:
    uses = LayerUses()

    async def use(over: asyncio.Event, *layers: str) -> None:
        async with uses.using(layers):
            await over.wait()

    async def both() -> None:
        over = asyncio.Event()
        using = [asyncio.create_task(use(over, "a", "b")), asyncio.create_task(use(over, "b"))]
        await asyncio.sleep(0)
        with pytest.raises(Conflict, match="being read or mounted"), uses.replacing("b"):
            pass
        over.set()
        await asyncio.gather(*using)
        with uses.replacing("b"):
            waiting = asyncio.create_task(use(over, "a", "b"))
            await asyncio.sleep(0)
            assert not waiting.done()
            await use(over, "a")  # another layer
        await waiting
        uses.add(lambda: {"c"})
        with pytest.raises(Conflict, match="a container runs on it"), uses.replacing("c"):
            pass

    asyncio.run(both())


def _make_deep(top: Path) -> None:
    """Thousands of folders, each in the one before, as a container or a build's step can make them."""
    top.mkdir()
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("dd", dir_fd=fd)
        below = os.open("dd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_thousands_of_folders_one_in_another_leave_the_trash(new_store: NewStore) -> None:
    driver = new_store()
    top = driver.root.ingest / "deep"
    _make_deep(top)
    driver.run(driver.store.put_away([top]))
    assert driver.left()["trash"] == []


def test_thousands_of_folders_one_in_another_go_with_their_job(new_store: NewStore) -> None:
    driver = new_store()

    async def job() -> None:
        async with driver.store.ingest() as folder:
            _make_deep(folder)

    driver.run(job())
    assert driver.left()["ingest"] == []


def test_a_job_gets_no_layer_that_is_being_replaced(new_store: NewStore) -> None:
    driver = new_store()
    store, layers = driver.store, driver.store.images[driver.import_(BASE, "x:1")].layers

    async def replace() -> None:
        with store.uses.replacing(layers[0]):
            waiting = asyncio.create_task(store.stack_lowers(layers))
            await asyncio.sleep(0)
            assert not waiting.done()
        assert len(await waiting) == len(layers)

    driver.run(replace())


def test_a_layer_that_comes_again_in_other_packing_leaves_no_second_blob(
    kind: Kind, bad: BadRegistry, new_store: NewStore
) -> None:
    driver = new_store(kind=kind)
    bad.add(MadeImage(BASE))
    driver.pull(f"{bad.address}/x:latest")
    before = set(driver.left()["blobs"])
    image_id = driver.import_(BASE, "again:1")
    assert set(driver.left()["blobs"]) - before == {image_id.removeprefix("sha256:")}
    assert [one for one in driver.all(ImagesCheck(driver.store).findings()) if isinstance(one, Finding)] == []


def test_everything_is_there_again_after_a_reopening(new_store: NewStore, tmp_path: Path) -> None:
    driver = new_store()
    image_id = driver.import_(BASE, "x:1", message="from a tar")
    shape, history = driver.run(driver.images.inspect("x:1")), driver.run(driver.images.history("x:1"))
    again = new_store()
    again.run(again.store.collect())
    assert again.run(again.images.inspect("x:1")) == shape
    assert again.run(again.images.history("x:1")) == history
    assert history[0] == {
        "Id": image_id, "Created": history[0]["Created"], "CreatedBy": "", "Tags": ["x:1"], "Size": 2004,
        "Comment": "from a tar",
    }  # fmt: skip
    hello = again.store.resolve("cove/hello")
    assert hello.defaults["Cmd"] == ["/hello"]
    assert (Path(again.lowers(hello)[0]) / "hello").stat().st_mode & 0o111


def test_saved_images_load_here_and_in_other_tools(kind: Kind, new_store: NewStore, tmp_path: Path) -> None:
    driver = new_store(tmp_path / "a", kind)
    image_id = driver.import_(BASE, "one:1")
    config = dict(driver.store.resolve(image_id).config)
    changes = snapshot(tmp_path / "upper", etc__os=b"top", new=b"n")
    top = driver.run(driver.images.commit(changes, parent=image_id, config=config, repo="two", tag="2"))
    driver.run(driver.images.tag("two:2", repo="127.0.0.1:5000/other/two", tag="x"))
    archive = driver.save("one:1", "two:2", "127.0.0.1:5000/other/two:x")
    path = tmp_path / "saved.tar"
    path.write_bytes(archive)

    other = new_store(tmp_path / "b", kind)
    said = [line["stream"] for line in other.load(gzip.compress(archive))]
    assert sorted(said) == [f"Loaded image: {name}\n" for name in ("127.0.0.1:5000/other/two:x", "one:1", "two:2")]
    assert (other.store.resolve("one:1").id, other.store.resolve("two:2").id) == (image_id, top)
    assert other.store.resolve("two:2").layers == driver.store.resolve("two:2").layers
    lowers = [Path(lower) for lower in other.lowers(other.store.resolve("two:2"))]
    assert (lowers[0] / "etc/os").read_bytes() == b"top"
    progress = other.load(archive, quiet=False)  # every layer is known, so none has a status line
    assert all("stream" in line for line in progress)

    for source in (f"docker-archive:{path}:two:2", f"oci-archive:{path}:2"):
        subprocess.run(
            ["skopeo", "copy", "-q", "--insecure-policy", source, f"dir:{tmp_path / 'out'}"], check=True, timeout=HANG_S
        )
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
        assert manifest["config"]["digest"] == top
    subprocess.run(
        [
            "skopeo",
            "copy",
            "-q",
            "--insecure-policy",
            f"docker-archive:{path}:two:2",
            f"docker-archive:{tmp_path}/sk.tar:n:3",
        ],
        check=True,
        timeout=HANG_S,
    )
    third = new_store(tmp_path / "c", kind)
    lines = third.load((tmp_path / "sk.tar").read_bytes(), quiet=False)
    assert lines[-1] == {"stream": "Loaded image: n:3\n"}
    assert any(line.get("status") == "Loading layer" for line in lines)
    assert third.store.resolve("n:3").id == top


def test_a_bad_archive_is_refused_and_leaves_nothing(new_store: NewStore) -> None:
    driver = new_store()
    fresh = driver.left()
    image = MadeImage(BASE, pack=bytes)
    entry = {"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["layer.tar"]}

    def archive(layer: bytes, config: bytes = image.config, **changed: Any) -> bytes:
        manifest = json.dumps([{**entry, **changed}]).encode()
        return tar_of(Entry("manifest.json", manifest), Entry("config.json", config), Entry("layer.tar", layer))

    for bad, words in (
        (b"no tar at all" * 100, "invalid tar"),
        (tar_of(Entry("x", b"y")), "neither manifest.json nor index.json"),
        (archive(TOP), "layer verification failed"),
        (archive(BASE)[:-12_000], "unexpected end"),
        (archive(BASE, Layers=["../../etc/passwd"]), "leads out of the layer"),
        (archive(BASE, Layers=["missing"]), "it has no missing"),
        (archive(BASE, Layers=[]), "0 layers for 1 diff_ids"),
        (archive(BASE, config=b"{}"), "invalid image config"),
        (archive(BASE, config=b"[" * 100_000), "invalid image config"),
        (archive(BASE, config=image.config.replace(b'["/bin/sh"]', b'{"a": 1}')), "of another type than the schema's"),
        (archive(BASE, RepoTags=["BAD"]), "must be lowercase"),
    ):
        with pytest.raises(EngineError, match=words):
            driver.load(bad)
        assert driver.left() == fresh, words
    driver.load(archive(BASE))
    assert driver.tags() == ["x:1"]


def test_a_client_that_does_not_read_how_a_load_goes_fills_no_memory(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "MAX_WAITING", 3)
    driver = new_store()
    image = MadeImage(*(tar_of(Entry("x", b"%d" % number)) for number in range(20)), pack=bytes)
    names = [f"{number}.tar" for number in range(20)]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": ["x:1"], "Layers": names}]).encode()
    layers = [Entry(name, data) for name, data in zip(names, image.packed, strict=True)]
    archive = tar_of(Entry("manifest.json", manifest), Entry("config.json", image.config), *layers)

    async def late() -> list[str]:
        lines = driver.images.load(chunks(archive), quiet=False)
        shown = [await anext(lines)]
        [work] = [task for task in asyncio.all_tasks() if task.get_name() == "load an image"]
        await asyncio.wait([work])
        return [str(line.get("status", line.get("stream"))) for line in [*shown, *[line async for line in lines]]]

    assert driver.run(late()) == [*["Loading layer"] * 4, "Loaded image: x:1\n"]
    assert driver.tags() == ["x:1"]


def test_an_upload_that_breaks_off_makes_no_image(new_store: NewStore) -> None:
    driver = new_store()
    fresh = driver.left()

    async def broken() -> Any:
        yield BASE[:1024]  # one whole member: a tar without an end looks like this too
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        driver.all(driver.images.import_(broken(), repo="x"))
    assert driver.left() == fresh


def test_what_was_pushed_can_be_pulled_and_keeps_its_digest(registry: str, kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    content = tar_of(Entry("own", str(kind).encode() * 100))  # not at the registry yet
    image_id = driver.import_(content, "x")
    repository, mounted_at = f"pushed/{kind}", f"{registry}/mounted/{kind}"
    ref = f"{registry}/{repository}:1"
    driver.run(driver.images.tag("x", repo=ref))
    lines = driver.all(driver.images.push(f"{registry}/{repository}", tag="1"))
    assert lines[0] == {"status": f"The push refers to repository [{registry}/{repository}]"}
    layer = [line["status"] for line in lines if line.get("id") == digest(content)[7:19]]
    assert (layer[0], layer[-1]) == ("Preparing", "Pushed")
    pushed = lines[-1]["aux"]
    assert lines[-2] == {"status": f"1: digest: {pushed['Digest']} size: {pushed['Size']}"}
    assert driver.run(driver.images.inspect(ref))["RepoDigests"] == [f"{registry}/{repository}@{pushed['Digest']}"]
    again = driver.all(driver.images.push(f"{registry}/{repository}", tag="1"))
    assert "Layer already exists" in [line["status"] for line in again if "status" in line]
    assert again[-1]["aux"] == pushed
    driver.run(driver.images.tag("x", repo=mounted_at, tag="1"))
    mounted = driver.all(driver.images.push(mounted_at, tag="1"))
    assert f"Mounted from {repository}" in [line["status"] for line in mounted if "status" in line]

    driver.run(driver.images.remove(image_id, force=True))
    assert driver.tags() == []
    driver.pull(ref)
    assert driver.store.resolve(ref).id == image_id
    driver.run(driver.images.tag(ref, repo=f"{registry}/third/{kind}", tag="1"))
    assert driver.all(driver.images.push(f"{registry}/third/{kind}", tag="1"))[-1]["aux"]["Digest"] == pushed["Digest"]
    with pytest.raises(NotFound, match="does not exist locally with the tag"):
        driver.all(driver.images.push(f"{registry}/fourth/x"))


def test_a_whole_saved_tar_is_plain_enough_for_any_reader(new_store: NewStore) -> None:
    driver = new_store()
    driver.import_(BASE, "x:1")
    archive = driver.save("x")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
        layer = tar.extractfile(f"blobs/sha256/{digest(BASE)[7:]}")
        assert layer is not None
        assert layer.read() == BASE
    assert {"manifest.json", "index.json", "oci-layout"} < set(names)


def test_the_engine_s_own_image_is_saved_as_its_layer_s_digest_says(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    image = driver.store.resolve("cove/hello")
    (diff_id,) = image.layers
    assert driver.store.layers[diff_id].kind is Kind.DIR
    archive = driver.save("cove/hello")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        layer = tar.extractfile(f"blobs/sha256/{diff_id.removeprefix('sha256:')}")
        assert layer is not None
        content = layer.read()
    assert digest(content) == diff_id
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        assert [(member.name, member.mode) for member in files] == [("hello", 0o755)]


def test_the_engines_process_loads_no_library_of_the_workers() -> None:
    """Blob bytes never pass through it, so it needs none of the libraries that handle them."""
    script = "import sys, vmagent.serving; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert not {"requests", "urllib3", "isal", "zstandard", "tarfile"} & set(loaded)


def test_only_what_talks_to_a_registry_loads_http() -> None:
    """HTTP takes two thirds of the time in which a worker starts."""
    script = "import sys, vmagent.images.worker; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert not {"requests", "urllib3"} & set(loaded)
