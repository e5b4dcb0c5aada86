"""`cove system check`: a data root is broken on purpose in each way; the check finds it, and a repair mends no more."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from desktop.client import archives
from desktop.client.archives import Filed
from desktop.client.engine import ApiError
from tests.support.checking import Line, findings
from tests.support.engine import NativeEngine, native_engine
from vmagent.images.layer import Kind
from vmagent.linux.nft import Nft
from vmagent.runtime.cgroups import tree as cgroup_tree


class Broken:
    """An engine with a pulled, an imported and a committed image, a stopped and a running container, a volume."""

    def __init__(self, engine: NativeEngine, pulled: str) -> None:
        self.engine, self.pulled = engine, pulled
        self.data, self.exec = engine.root / "data", engine.root / "exec"

    def check(self, *, repair: bool = False) -> list[Line]:
        return findings(self.engine, repair=repair)

    def find(self, *, repair: bool = False) -> Line:
        """The only finding."""
        found = self.check(repair=repair)
        assert len(found) == 1, found
        return found[0]

    def image(self, name: str) -> Line:
        with self.engine.client() as client:
            return client.image_inspect(name)

    def layer(self, name: str) -> Path:
        """The folder of an image's topmost layer."""
        return self.data / "layers" / str(self.image(name)["RootFS"]["Layers"][-1]).removeprefix("sha256:")

    def blob(self, digest: str) -> Path:
        return self.data / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def record(self, name: str) -> Path:
        return self.data / "images" / f"{str(self.image(name)['Id']).removeprefix('sha256:')}.json"

    def container(self, name: str) -> str:
        with self.engine.client() as client:
            return str(client.inspect(name)["Id"])

    def users_files(self) -> dict[str, bytes]:
        """What users have made: the content of volumes, containers' own layers, names of images."""
        found = {}
        for top in (self.data / "volumes", self.data / "containers"):
            for path in top.rglob("*"):
                if path.is_file() and ("_data" in path.parts or "upper" in path.parts):
                    found[str(path)] = path.read_bytes()
        found["names"] = (self.data / "images" / "references.json").read_bytes()
        return found


@pytest.fixture(scope="module")
def broken(busybox_tar: Path, registry: str) -> Iterator[Broken]:
    with _broken(busybox_tar, registry, Kind.DIR) as found:
        yield found


@pytest.fixture(scope="module")
def broken_tars(busybox_tar: Path, registry: str) -> Iterator[Broken]:
    with _broken(busybox_tar, registry, Kind.TAR) as found:
        if "kind=tar" not in found.engine.log.read_text():
            pytest.skip("no EROFS image can be mounted from TMPDIR")
        yield found


@contextlib.contextmanager
def _broken(busybox_tar: Path, registry: str, kind: Kind) -> Iterator[Broken]:
    pulled = f"{registry}/cvt/check-{kind}:{os.getpid()}"
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("COVE_LAYERS", kind)
        engine = stack.enter_context(native_engine())
        docker = engine.docker
        docker("import", "-c", "ENV PATH=/bin", str(busybox_tar), "busybox:latest")
        docker(
            "run", "--name", "first", "busybox:latest", "sh", "-c", "mkdir /d; echo text >/d/text; ln /d/text /d/same"
        )
        docker("commit", "first", pulled)
        docker("push", pulled)
        docker("rm", "first")
        docker("rmi", pulled)
        docker("pull", pulled)
        script = "echo own >/own; echo kept >/v/kept"
        docker("run", "--name", "stopped", "-v", "cvt-check:/v", pulled, "/bin/sh", "-c", script)
        docker("commit", "stopped", "made:latest")
        docker("run", "-d", "--name", "runs", "-p", "127.0.0.1:0:80", "busybox:latest", "sleep", "100000")
        made = Broken(engine, pulled)
        assert made.check() == []
        yield made
        docker("rm", "-f", "runs", "stopped")
        docker("volume", "rm", "cvt-check")


Way = Callable[[Broken], None]


def _changed_file(b: Broken) -> None:
    (b.layer(b.pulled) / "diff" / "d" / "text").write_text("other")


def _changed_mode(b: Broken) -> None:
    (b.layer(b.pulled) / "diff" / "d").chmod(0o700)


def _lost_file(b: Broken) -> None:
    (b.layer(b.pulled) / "diff" / "d" / "same").unlink()


def _changed_tar(b: Broken) -> None:
    _change(b.layer(b.pulled) / "layer.tar")


def _changed_index(b: Broken) -> None:
    _change(b.layer(b.pulled) / "layer.erofs")


def _cut_index(b: Broken) -> None:
    """In the middle of the superblock."""
    os.truncate(b.layer(b.pulled) / "layer.erofs", 1100)


def _lost_index(b: Broken) -> None:
    (b.layer(b.pulled) / "layer.erofs").unlink()


def _change(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _lost_folder(b: Broken) -> None:
    shutil.rmtree(b.layer(b.pulled))


def _torn_layer_record(b: Broken) -> None:
    (b.layer("made:latest") / "layer.json").write_text('{"schema"')


def _damaged_manifest(b: Broken) -> None:
    b.blob(json.loads(b.record(b.pulled).read_bytes())["manifest"]).write_bytes(b"{}")


def _stray_blob(b: Broken) -> None:
    b.blob("5" * 64).write_bytes(b"stray")


def _stray_layer(b: Broken) -> None:
    (b.data / "layers" / ("6" * 64) / "diff").mkdir(parents=True)


def _left_ingest(b: Broken) -> None:
    (b.data / "ingest" / "abc").mkdir()


def _temporary_file(b: Broken) -> None:
    (b.data / "images" / ".references.json.12345678.tmp").write_bytes(b"")


def _stale_name(b: Broken) -> None:
    path = b.data / "images" / "references.json"
    names = json.loads(path.read_bytes())
    names["references"]["docker.io/library/stale:1"] = {"id": f"sha256:{'7' * 64}", "at": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps(names))


def _torn_names(b: Broken) -> None:
    (b.data / "images" / "references.json").write_text("{")


def _lost_image_record(b: Broken) -> None:
    b.record("made:latest").unlink()


def _torn_image_record(b: Broken) -> None:
    b.record("made:latest").write_text("{")


def _cache_folder(b: Broken) -> None:
    (b.data / "builds" / "mounts" / ("8" * 64)).mkdir()


def _lost_work_folder(b: Broken) -> None:
    shutil.rmtree(b.data / "containers" / b.container("stopped") / "work")


def _mount(b: Broken) -> None:
    place = b.exec / "containers" / ("9" * 64) / "shm"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "cvt", place], check=True)


def _cgroup(b: Broken) -> None:
    cgroup_tree().create(f"/cove/{b.container('stopped')}", {})


def _interface(b: Broken) -> None:
    ip = ["ip", "link"]
    subprocess.run([*ip, "add", "ve00000000c0fe", "type", "veth", "peer", "name", "cvtpeer"], check=True)
    subprocess.run([*ip, "set", "ve00000000c0fe", "master", _bridge(b)], check=True)


def _bridge(b: Broken) -> str:
    with b.engine.client() as client:
        return str(client.xray("runs")["network"]["interfaces"][0]["bridge"])


def _map(b: Broken) -> tuple[str, str]:
    """(table and map, key) of the published port."""
    with b.engine.client() as client:
        rule = str(client.xray("runs")["network"]["ports"][0]["rule"])
    head, _, element = rule.partition(" { ")
    return head, element.partition(" : ")[0]


def _run_nft(command: str) -> None:
    nft = Nft()
    try:
        nft.run(command)
    finally:
        nft.close()


def _lost_element(b: Broken) -> None:
    head, key = _map(b)
    _run_nft(f"delete element {head} {{ {key} }}")


def _stray_element(b: Broken) -> None:
    head, _ = _map(b)
    _run_nft(f"add element {head} {{ 127.0.0.1 . tcp . 9 : 10.9.9.9 . 9 }}")


WAYS: dict[str, tuple[Way, str, str]] = {
    "a file of a layer is changed": (_changed_file, "images", "its files are not what they were"),
    "a folder's mode is changed": (_changed_mode, "images", "its files are not what they were"),
    "a file of a layer is lost": (_lost_file, "images", "its files are not what they were"),
    "a layer is lost": (_lost_folder, "images", "its files are missing"),
    "a layer's record is torn": (_torn_layer_record, "images", "its record is missing or damaged"),
    "a manifest is damaged": (_damaged_manifest, "images", "the manifest that it was pulled with is damaged"),
    "a blob belongs to nothing": (_stray_blob, "images", "no image and no layer names it"),
    "a layer belongs to nothing": (_stray_layer, "images", "its record can't be read, and no image names it"),
    "a pull has left its folder": (_left_ingest, "images", "no job is writing it"),
    "a crash has left a file": (_temporary_file, "images", "it was left by a crash"),
    "a name leads nowhere": (_stale_name, "images", "docker.io/library/stale:1 name no image"),
    "the names are torn": (_torn_names, "images", "their file is not what the engine knows"),
    "an image's record is lost": (_lost_image_record, "images", "its record is missing or damaged"),
    "an image's record is torn": (_torn_image_record, "images", "its record is missing or damaged"),
    "a folder of the build cache belongs to nothing": (_cache_folder, "build cache", "no record names it"),
    "a container's folder is lost": (_lost_work_folder, "containers", "of its folder work is missing"),
    "a mount belongs to nothing": (_mount, "mounts", "it belongs to no container and no layer"),
    "a cgroup was left": (_cgroup, "cgroups", "it has no process, and its container does not run"),
    "an interface belongs to nothing": (_interface, "network", "and belongs to no container"),
    "the firewall has lost a port": (_lost_element, "network", "the firewall has no element for it"),
    "the firewall has a port too much": (_stray_element, "network", "no container has published that port"),
}


WAYS_OF_TARS: dict[str, Way] = {
    "a bit of its tar is changed": _changed_tar,
    "a bit of its index is changed": _changed_index,
    "its index ends early": _cut_index,
    "its index is lost": _lost_index,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_can_be_repaired_is_found_and_repaired(broken: Broken, way: str) -> None:
    _find_and_repair(broken, *WAYS[way])


@pytest.mark.parametrize("way", WAYS_OF_TARS)
def test_a_layer_that_is_a_tar_is_made_anew(broken_tars: Broken, way: str) -> None:
    _find_and_repair(broken_tars, WAYS_OF_TARS[way], "images", "its files are not what they were")


def _find_and_repair(broken: Broken, breaks: Way, part: str, fault: str) -> None:
    before = broken.users_files()
    breaks(broken)
    found: Line = {}
    try:
        found = broken.find()
        assert (found["part"], found["state"]) == (part, "found")
        assert fault in found["fault"]
    finally:  # whatever was found: the next case must not find it
        repaired = broken.check(repair=True)
    assert {**found, "state": "repaired"} in repaired
    assert {one["state"] for one in repaired} == {"repaired"}
    assert broken.check() == []
    assert broken.users_files() == before
    assert broken.engine.docker("run", "--rm", broken.pulled, "/bin/cat", "/d/same").stdout == "text\n"


def test_what_can_not_be_repaired_is_told_with_what_helps(broken: Broken) -> None:
    layer = json.loads((broken.layer(broken.pulled) / "layer.json").read_bytes())
    config = broken.image(broken.pulled)["Id"]
    ways = {
        broken.blob(layer["blob"]["digest"]): "the blob that it is pushed and saved from is damaged",
        broken.blob(config): "its configuration is damaged on the disk",
        broken.data / "volumes" / "cvt-check" / "volume.json": "its record is missing or can't be read",
    }
    for path, fault in ways.items():
        content = path.read_bytes()
        if path.name == "volume.json":
            path.unlink()
        else:
            path.write_bytes(b"x" * len(content))
        try:
            found = broken.find(repair=True)
            assert (found["state"], found["fault"]) == ("left", fault)
            assert found["remedy"]
        finally:
            path.write_bytes(content)
        assert broken.check() == []


@contextlib.contextmanager
def _running(b: Broken, *, paused: bool = False) -> Iterator[None]:
    b.engine.docker("run", "-d", "--name", "user", b.pulled, "/bin/sleep", "1000")
    try:
        if paused:
            b.engine.docker("pause", "user")
        yield
    finally:
        b.engine.docker("rm", "-f", "user")


@contextlib.contextmanager
def _half_read(opened: contextlib.AbstractContextManager[Iterable[bytes]]) -> Iterator[None]:
    """A stream of the engine whose client reads the first block, and the others at the end."""
    with opened as stream:
        blocks = iter(stream)
        next(blocks)
        yield
        for _ in blocks:
            pass


@contextlib.contextmanager
def _copied_from(b: Broken) -> Iterator[None]:
    """A copy of a stopped container's files is under way: its client does not read on."""
    b.engine.docker("run", "--name", "user", b.pulled, "/bin/sh", "-c", "head -c 20000000 /dev/zero >/big")
    try:
        with b.engine.client() as client, _half_read(archives.get(client, Filed.container("user"), "/")):
            yield
    finally:
        b.engine.docker("rm", "user")


@contextlib.contextmanager
def _saved(b: Broken) -> Iterator[None]:
    """The image is being saved: the client does not read on."""
    b.engine.docker("run", "--name", "user", b.pulled, "/bin/sh", "-c", "head -c 20000000 /dev/urandom >/big")
    b.engine.docker("commit", "user", "large")
    b.engine.docker("rm", "user")
    try:
        with b.engine.client() as client, _half_read(client.save(["large"])):
            yield
    finally:
        b.engine.docker("rmi", "large")


USES: dict[str, tuple[Callable[[Broken], contextlib.AbstractContextManager[None]], str]] = {
    "a container runs on it": (_running, "a container runs on it"),
    "a container on it is paused": (partial(_running, paused=True), "a container runs on it"),
    "a stopped container is copied from": (_copied_from, "it is being read or mounted"),
    "its image is saved": (_saved, "it is being read or mounted"),
}


@pytest.mark.parametrize("use", USES)
def test_a_layer_that_is_used_is_left_alone(broken: Broken, use: str) -> None:
    using, why = USES[use]
    with using(broken):
        _changed_file(broken)
        found = broken.check(repair=True)
    repaired = broken.check(repair=True)
    assert [one["state"] for one in found] == ["left"], found
    assert why in found[0]["remedy"]
    assert repaired == [{**found[0], "state": "repaired", "remedy": "it is unpacked again"}]
    assert broken.check() == []


def test_a_second_check_is_refused(broken: Broken) -> None:
    strays = [broken.data / "blobs" / "sha256" / f"{number:064x}" for number in range(5_000)]
    for path in strays:
        path.touch()
    try:
        with broken.engine.client() as client, client.check() as stream:
            lines = iter(stream)
            next(lines)  # the check waits for this client: it has more to tell than a socket's buffers hold
            with pytest.raises(ApiError, match="a check is already running") as raised:
                broken.check()
            assert raised.value.status == 409
            found = [line["finding"] for line in lines if line["finding"]]
        assert sum(one["subject"].startswith("blob ") for one in found) == len(strays)
    finally:
        for path in strays:
            path.unlink()
    assert broken.check() == []


def test_a_lost_volume_gets_an_empty_folder(broken: Broken) -> None:
    broken.engine.docker("volume", "create", "cvt-lost")
    shutil.rmtree(broken.data / "volumes" / "cvt-lost" / "_data")
    try:
        found = broken.find(repair=True)
        assert (found["subject"], found["state"]) == ("volume cvt-lost", "repaired")
        assert broken.check() == []
    finally:
        broken.engine.docker("volume", "rm", "cvt-lost")


def test_processes_of_others_are_left_alone(broken: Broken) -> None:
    """A cgroup of a container that this engine does not know: another engine's."""
    cgroup = cgroup_tree().create(f"/cove/{'e' * 64}", {})
    try:
        assert broken.check(repair=True) == []
        assert cgroup.exists()
    finally:
        cgroup.remove()


def test_disks_that_a_user_has_mounted_are_left_alone(broken: Broken) -> None:
    places = [broken.data / "builds" / "mounts", broken.exec / "own"]
    places[1].mkdir()
    for place in places:
        subprocess.run(["mount", "-t", "tmpfs", "cvt", place], check=True)
    try:
        assert broken.check(repair=True) == []
        assert all(place.is_mount() for place in places)
    finally:
        for place in places:
            subprocess.run(["umount", place], check=False)


def test_the_command_says_it_and_ends_with_1(broken: Broken) -> None:
    broken.check(repair=True)  # also what killed engines have left on this machine
    done = broken.engine.cove("system", "check")
    assert done.stdout == "All is well: images, build cache, containers, volumes, mounts, cgroups, network.\n"
    _stray_blob(broken)
    broken.check()  # without --repair nothing is changed
    done = broken.engine.cove("system", "check", check=False)
    assert (done.returncode, done.stdout) == (
        1,
        "images: blob 555555555555: no image and no layer names it\n    with --repair: it is removed\n"
        "1 found, 0 repaired, 0 that a repair can't mend.\n"
        "'cove system check --repair' mends what can be mended.\n",
    )
    done = broken.engine.cove("system", "check", "--repair")
    assert "    repaired: it is removed\n1 found, 1 repaired, 0 that a repair can't mend.\n" in done.stdout


@pytest.mark.logs("layer.unreadable", "image.incomplete")
def test_what_an_engine_could_not_read_at_its_start(busybox_tar: Path) -> None:
    """A cache record whose layer is lost is forgotten; the image that needs it has to be built again."""
    with native_engine() as engine:
        engine.docker("import", "-c", "ENV PATH=/bin", str(busybox_tar), "busybox:latest")
        recipe = "FROM busybox:latest\nRUN echo 1 >/one\n"
        folder = engine.root / "context"
        folder.mkdir()
        (folder / "Dockerfile").write_text(recipe)
        engine.docker("build", "-t", "built", str(folder))
        broken = Broken(engine, "built")
        layer = broken.layer("built")
        assert broken.check() == []
        (layer / "layer.json").write_text("{")
        os.kill(engine.pid_of("cove-engine"), signal.SIGKILL)
        engine.wait_until_answering()
        found = broken.check(repair=True)
        assert {(one["part"], one["state"]) for one in found} == {("images", "left"), ("build cache", "repaired")}
        assert layer.is_dir(), "an image on the disk still names it"
        engine.docker("build", "-t", "built", str(folder))
        assert engine.docker("run", "--rm", "built", "/bin/cat", "/one").stdout == "1\n"
        assert broken.check() == [one for one in found if one["state"] == "left"], "it is said until the user acts"


@pytest.mark.logs("layer.unreadable", "image.incomplete")
def test_a_layer_that_cannot_be_read_is_replaced_by_the_same_one_from_elsewhere(busybox_tar: Path) -> None:
    with native_engine() as engine:
        engine.docker("import", "-c", "ENV PATH=/bin", str(busybox_tar), "busybox:latest")
        archive = engine.root / "saved.tar"
        engine.docker("save", "-o", str(archive), "busybox:latest")
        broken = Broken(engine, "busybox:latest")
        (broken.layer("busybox:latest") / "layer.json").write_text("{")
        os.kill(engine.pid_of("cove-engine"), signal.SIGKILL)
        engine.wait_until_answering()
        engine.docker("load", "-i", str(archive))
        assert engine.docker("run", "--rm", "busybox:latest", "echo", "here").stdout == "here\n"
        assert broken.check() == []
