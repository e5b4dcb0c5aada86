"""What containers take on the disk: the same in `ps -s`, `inspect -s` and `system df`, and right to the byte.

And the whole data root: a layer is kept once, and nothing stays of what was removed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.images.kit import Entry, MadeImage, digest, tar_of
from tests.support.checking import findings
from tests.support.engine import NativeEngine, native_engine
from tests.support.waiting import wait_until
from vmagent.images.layer import Kind

LAYER_BYTES = 6 << 20
LEFT_BYTES = 1 << 20

SCRIPT = """
mkdir -p /deep/er; head -c 5000 /dev/zero >/deep/er/file; ln /deep/er/file /deep/again
head -c 70 /dev/zero >/top; ln -s /deep /link; echo more >>/etc/passwd
"""


def test_sizes_of_containers_agree_and_count_an_inode_once(engine: NativeEngine) -> None:
    names = [f"size-{os.getpid()}-{number}" for number in range(2)]
    client = engine.client()
    for name, script in zip(names, (SCRIPT, "true"), strict=True):
        engine.docker("run", "--name", name, "busybox", "sh", "-c", script)
    try:
        passwd = len(engine.docker("run", "--rm", "busybox", "cat", "/etc/passwd").stdout) + len("more\n")
        wanted = 5000 + 70 + len("/deep") + passwd
        image = client.image_inspect("busybox")["Size"]
        used = client.json_object("GET", "/system/df")["Containers"]
        by_df = {entry["Names"][0].strip("/"): (entry["SizeRw"], entry["SizeRootFs"]) for entry in used}
        listed = client.containers(True, size=True)
        by_list = {entry["Names"][0].strip("/"): (entry["SizeRw"], entry["SizeRootFs"]) for entry in listed}
        for name, own in zip(names, (wanted, 0), strict=True):
            shown = client.inspect(name, size=True)
            assert (shown["SizeRw"], shown["SizeRootFs"]) == (own, own + image)
            assert by_df[name] == by_list[name] == (own, own + image)
        assert all("SizeRw" not in entry for entry in client.containers(True))
    finally:
        engine.docker("rm", *names)
        client.close()


def taken(folder: Path) -> int:
    """Bytes on the disk of all that lies in a folder, each inode once: as du(1)."""
    seen = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                info = os.lstat(f"{place}/{name}")
            except FileNotFoundError:  # it is being removed
                continue
            seen[info.st_ino] = info.st_blocks * 512
    return sum(seen.values())


@pytest.mark.parametrize("kind", Kind)
def test_a_layer_is_kept_once_and_nothing_stays_of_what_was_removed(
    kind: Kind,
    registry: str,
    busybox_tar: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COVE_LAYERS", kind)
    shared = tar_of(Entry("large", os.urandom(LAYER_BYTES)))
    one, two = MadeImage(shared), MadeImage(shared, tar_of(Entry("small", b"x")))
    names = [f"{registry}/kept-once/{kind}:{number}" for number in (1, 2)]
    one.put(registry, f"kept-once/{kind}", "1")
    two.put(registry, f"kept-once/{kind}", "2")
    tar, archive = tmp_path / "shared.tar", tmp_path / "saved.tar"
    tar.write_bytes(shared)
    (tmp_path / "Dockerfile").write_text(f"FROM {names[1]}\nCOPY saved.tar /copied\n")
    with native_engine() as engine:
        data, docker = engine.root / "data", engine.docker
        empty = taken(data)
        docker("import", "-c", "ENV PATH=/bin", str(busybox_tar), "busybox")
        docker("pull", names[0])
        layer = data / "layers" / digest(shared).removeprefix("sha256:")
        assert kind in (layer / "layer.json").read_text()
        first = taken(data)
        assert first - empty >= LAYER_BYTES * 2, "the layer, and the blob that it came as"
        docker("pull", names[1])
        docker("save", "-o", str(archive), *names)
        docker("load", "-i", str(archive))
        docker("import", str(tar), "imported")
        docker("run", "--name", "user", "-v", "cvt-taken:/v", "busybox", "sh", "-c", "head -c 3000000 /dev/zero >/v/f")
        docker("commit", "user", "committed")
        wait_until(lambda: taken(data) - first < LAYER_BYTES)
        assert [path.name for path in (data / "layers").iterdir()].count(layer.name) == 1
        docker("build", "-t", "built", str(tmp_path))
        docker("run", "-d", "--name", "runs", "busybox", "sleep", "1000")

        docker("rm", "-f", "user", "runs")
        docker("rmi", "-f", *{*docker("images", "-q").stdout.split()})
        docker("system", "prune", "-af", "--volumes")
        docker("volume", "prune", "-af")
        docker("builder", "prune", "-af")
        wait_until(lambda: taken(data) - empty <= LEFT_BYTES)
        assert findings(engine) == []
