"""A layer's tar gives the same tree in both kinds of layer, and no tar writes outside its layer."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import json
import lzma
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.images.kit import Driver, Entry, folder, hard_link, symlink, tar_of
from vmagent.errors import EngineError
from vmagent.images import erofs, flush
from vmagent.images.compression import Gzip, decompress
from vmagent.images.faults import ImageFault
from vmagent.images.ingest import Job
from vmagent.images.layer import RECORD, TAR, UNFLUSHED, Blob, Compression, Kind, Layer, hex_of
from vmagent.images.links import Links, clamped
from vmagent.images.tarstream import ByteSource, members
from vmagent.linux.files import start_writeback
from vmagent.linux.mounts import open_in_root
from vmagent.paths import DataRoot

NewStore = Callable[..., Driver]

TREE = tar_of(
    folder("./", mode=0o711, mtime=1_600_000_000),
    folder("bin", mode=0o755, mtime=1_500_000_000),
    Entry("bin/tool", b"#!/bin/sh\n" * 1000, mode=0o4755, uid=1, gid=2, mtime=1_400_000_000),
    hard_link("bin/same", "bin/tool"),
    symlink("bin/up", "../etc"),
    symlink("abs", "/etc/passwd"),
    Entry("implied/deep/file", b"x", mode=0o600),
    Entry("/etc/absolute", b"name", uid=1000, gid=1000),
    folder("sticky", mode=0o1777),
    Entry("null", type=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
    Entry("pipe", type=tarfile.FIFOTYPE, mode=0o640),
    Entry("caps", b"c", xattrs={"user.note": "kept"}),
    Entry("long/" + "n" * 180 + "/" + "é" * 60, b"long"),
    folder("opaque"),
    Entry("opaque/.wh..wh..opq"),
    Entry("opaque/new", b"1"),
    Entry("sub/.wh.gone"),
)


def tree_of(root: Path) -> dict[str, object]:
    """What a process would see: mode, owner, size or target, time, content, attributes; hard links by name."""
    seen: dict[tuple[int, int], str] = {}
    tree: dict[str, object] = {}
    # Path.rglob of some versions of Python follows each link to see whether it leads to a folder.
    names = [Path(above, name) for above, folders, files in os.walk(root) for name in (*folders, *files)]
    for path in [root, *sorted(names)]:
        name = str(path.relative_to(root))
        info = path.lstat()
        implied = name in ("implied", "implied/deep", "etc", "sub", "long") or name.endswith("n" * 180)
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
            content = (seen.setdefault((info.st_dev, info.st_ino), name), content)
        elif stat.S_ISCHR(info.st_mode):
            content = info.st_rdev
        xattrs = {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        }
        mode = info.st_mode if not path.is_symlink() else stat.S_IFLNK  # a link's own mode means nothing
        is_mark = stat.S_ISCHR(info.st_mode) and info.st_rdev == 0
        if is_mark:
            mode = stat.S_IFCHR
        time = None if implied or is_mark else info.st_mtime_ns
        tree[name] = (oct(mode), info.st_uid, info.st_gid, time, content, xattrs)
    return tree


@pytest.mark.usefixtures("with_erofs")
def test_both_kinds_show_the_tree_that_the_tar_describes(new_store: NewStore, tmp_path: Path) -> None:
    trees = {}
    for kind in Kind:
        driver = new_store(tmp_path / kind, kind)
        [lower] = driver.lowers(driver.store.resolve(driver.import_(TREE)))
        assert driver.store.layers[driver.store.resolve("x").layers[0]].kind is kind
        trees[kind] = tree_of(Path(lower))
    tree = trees[Kind.DIR]
    assert tree == trees[Kind.TAR]
    assert tree["."][:4] == ("0o40711", 0, 0, 1_600_000_000 * 10**9)  # type: ignore[index]
    assert tree["bin"][3] == 1_500_000_000 * 10**9  # type: ignore[index] # set after its files were made
    assert tree["bin/tool"][:4] == ("0o104755", 1, 2, 1_400_000_000 * 10**9)  # type: ignore[index]
    assert tree["implied/deep"][0] == "0o40755"  # type: ignore[index]
    assert tree["sub/gone"][4] == 0  # type: ignore[index] # overlayfs' whiteout: character device 0/0
    assert tree["opaque"][5] == {"trusted.overlay.opaque": b"y"}  # type: ignore[index]
    assert tree["caps"][5] == {"user.note": b"kept"}  # type: ignore[index]


OUT = "leads out of the layer"
NO_FILE = "no such file in this layer"
LOOP = "too many levels of symbolic links"
ATTACKS = {
    "a parent in the name": ([Entry("../escaped", b"x")], OUT),
    "a parent deep in the name": ([Entry("a/../../escaped", b"x")], OUT),
    "a hard link out": ([hard_link("a", "../../../../../../../OUTSIDE/secret")], NO_FILE),
    "a hard link to an absolute path": ([hard_link("a", "/OUTSIDE/secret")], NO_FILE),
    "a hard link through a link out": ([symlink("a", "/OUTSIDE"), hard_link("b", "a/secret")], NO_FILE),
    "a hard link to nothing": ([hard_link("b", "missing/secret")], NO_FILE),
    "a hard link to the root": ([hard_link("b", "/..")], NO_FILE),
    "a whiteout outside": ([Entry("../.wh.secret")], OUT),
    "a whiteout of the parent": ([Entry(".wh...")], OUT),
    "a whiteout of the folder itself": ([Entry("a/.wh..")], OUT),
    "an opaque mark outside": ([Entry("../.wh..wh..opq")], OUT),
    "a loop of links": ([symlink("a", "b"), symlink("b", "a"), Entry("a/x", b"x")], LOOP),
    "a link into itself": ([symlink("a", "a/b"), Entry("a/x", b"x")], LOOP),
    "a root that is a file": ([Entry(".", b"x")], "not a name in the layer"),
    "a bottomless folder": ([Entry("a/" * 600 + "x", b"x")], "folders deep"),
    "a bottomless link": ([symlink("a", "b/" * 500), Entry("a/" + "c/" * 20 + "x", b"x")], "folders deep"),
}


@pytest.mark.spec("OCI image-spec, layer.md, Applying Changesets")
def test_a_tar_that_reaches_outside_is_refused_and_leaves_nothing(
    kind: Kind, new_store: NewStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("untouched")
    before = (tree_of(outside), os.stat(tmp_path).st_mode)
    driver = new_store(kind=kind)
    fresh = driver.left()
    for attack, (entries, words) in ATTACKS.items():
        aimed = [replace(entry, link=entry.link.replace("/OUTSIDE", str(outside))) for entry in entries]
        with pytest.raises(EngineError, match=words):
            driver.import_(tar_of(*aimed))
        assert driver.left() == fresh, attack
        assert (tree_of(outside), os.stat(tmp_path).st_mode) == before, attack
        assert not list(tmp_path.rglob("escaped")), attack


# Members of a tar, and the paths in the image's root after it: a file's content, None for a folder.
INSIDE: dict[str, tuple[list[Entry], dict[str, bytes | None]]] = {
    "an absolute link": ([folder("run"), symlink("v", "/run"), Entry("v/x", b"1")], {"run/x": b"1"}),
    "an absolute link to nothing yet": ([symlink("v", "/OUTSIDE"), Entry("v/x", b"1")], {"OUTSIDE/x": b"1"}),
    "a link that climbs too far": (
        [folder("a/b"), symlink("a/b/c", "../../../../run"), Entry("a/b/c/x", b"1")],
        {"run/x": b"1"},
    ),
    "a link that climbs out and back by name": ([symlink("a", "../OUTSIDE"), Entry("a/x", b"1")], {"OUTSIDE/x": b"1"}),
    "a link to the root": ([symlink("a", "/.."), Entry("a/x", b"1")], {"x": b"1"}),
    "a link to a link": ([symlink("a", "b"), symlink("b", "/OUTSIDE"), Entry("a/x", b"1")], {"OUTSIDE/x": b"1"}),
    "a folder swapped for a link": (
        [folder("a"), Entry("a/in", b"1"), symlink("a", "/OUTSIDE"), Entry("a/x", b"2")],
        {"OUTSIDE/x": b"2"},
    ),
    "a link swapped for a folder": (
        [symlink("a", "/b"), Entry("a/x", b"1"), folder("a"), Entry("a/x", b"2")],
        {"a/x": b"2", "b/x": b"1"},
    ),
    "a link whose target is swapped": (
        [folder("b"), symlink("a", "/b"), Entry("a/x", b"1"), symlink("b", "c"), Entry("a/y", b"2")],
        {"c/y": b"2"},
    ),
    "a link's other name": ([symlink("a", "/b"), hard_link("c", "a"), Entry("c/x", b"1")], {"b/x": b"1"}),
    "a folder through a link": ([symlink("a", "/OUTSIDE"), folder("a/sub")], {"OUTSIDE/sub": None}),
    "a hard link to an absolute path": (
        [folder("bin"), Entry("bin/x", b"1"), hard_link("y", "/bin/x")],
        {"bin/x": b"1", "y": b"1"},
    ),
    "a hard link that climbs too far": (
        [folder("bin"), Entry("bin/x", b"1"), hard_link("bin/y", "../../../bin/x")],
        {"bin/x": b"1", "bin/y": b"1"},
    ),
    "a hard link through an absolute link": (
        [folder("run"), symlink("v", "/run"), Entry("run/y", b"1"), hard_link("run/x", "v/y")],
        {"run/x": b"1", "run/y": b"1"},
    ),
    "a hard link below a link that climbs too far": (
        [folder("run"), symlink("v", "../../run"), Entry("y", b"1"), hard_link("v/x", "../y")],
        {"run/x": b"1", "y": b"1"},
    ),
}


@pytest.mark.parametrize("case", INSIDE)
def test_links_are_resolved_in_the_images_root(case: str, kind: Kind, new_store: NewStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    driver = new_store(kind=kind)
    entries, expected = INSIDE[case]
    aimed = [replace(entry, link=entry.link.replace("OUTSIDE", str(outside)[1:])) for entry in entries]
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar_of(*aimed))))
    for name, content in expected.items():
        path = Path(lower, name.replace("OUTSIDE", str(outside)[1:]))
        assert not path.is_symlink()
        assert path.is_dir() if content is None else path.read_bytes() == content
    assert os.listdir(outside) == []


def test_a_whiteout_through_an_absolute_link_hides_a_name_in_the_images_root(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    tar = tar_of(folder("run"), symlink("v", "/run"), Entry("v/.wh.gone"), Entry("v/.wh..wh..opq"))
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar)))
    assert Path(lower, "run", "gone").stat().st_rdev == 0
    assert os.getxattr(Path(lower, "run"), "trusted.overlay.opaque") == b"y"


def test_a_hard_link_between_folders_of_many_is_made_in_its_own(new_store: NewStore) -> None:
    driver = new_store()
    files = [Entry(f"{number}/f", b"%d" % number) for number in range(257)]  # one more than are held open
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar_of(*files, hard_link("1/link", "0/f")))))
    assert Path(lower, "1", "link").read_bytes() == b"0"


NAMES = st.sampled_from(("a", "b", "c", "..", ".", ""))
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)


@given(st.dictionaries(st.sampled_from(("a", "b", "c", "a/b", "b/c", "a/b/c")), PATHS), PATHS)
def test_links_resolve_as_the_kernel_resolves_them(made: dict[str, str], path: str) -> None:
    links = Links()
    path = "/".join(clamped(path, "path"))
    with tempfile.TemporaryDirectory() as folder:
        for name, target in sorted(made.items()):
            place = Path(folder, name)
            if any(str(parent) in links for parent in Path(name).parents):
                continue  # a link's own path leads through no link
            place.parent.mkdir(parents=True, exist_ok=True)
            if target:
                place.symlink_to(target)
                links.add(name, target)
        root = os.open(folder, os.O_PATH)
        try:
            fd = open_in_root(root, path or ".", os.O_PATH)
        except OSError as e:
            if e.errno == errno.ELOOP:
                with pytest.raises(ImageFault, match=LOOP):
                    links.folder(path)
            return
        finally:
            os.close(root)
        shown = os.readlink(f"/proc/self/fd/{fd}")
        os.close(fd)
        assert Path(folder, links.folder(path)).resolve() == Path(shown)


def test_overlays_own_attributes_are_not_a_layers_to_set(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    entry = Entry("d/f", b"x", xattrs={"trusted.overlay.redirect": "/etc", "user.overlay.metacopy": "", "user.a": "1"})
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar_of(entry))))
    assert os.listxattr(Path(lower) / "d" / "f") == ["user.a"]


def test_numbers_past_what_a_kernel_takes_are_cut_or_refused(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    header = bytearray(tar_of(Entry("f"))[:512])

    def tar(at: int, field: bytes) -> bytes:
        head = bytearray(header)
        head[at : at + len(field)] = field
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        return bytes(head) + bytes(1024)

    far = b"\x80" + b"\xff" * 11  # base-256: 2**87 and more
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar(136, far))))
    assert (Path(lower) / "f").is_file()
    for at, field, words in ((124, far, "larger than any file"), (108, b"\x80" + b"\xff" * 7, "bad owner")):
        with pytest.raises(EngineError, match=words):
            driver.import_(tar(at, field))


def test_an_attribute_that_a_file_cannot_carry_is_left_out(new_store: NewStore) -> None:
    driver = new_store()
    link = Entry("l", type=tarfile.SYMTYPE, link="x", xattrs={"user.a": "1"})  # user.* on links: EPERM
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar_of(link, Entry("f", xattrs={"bad.a": "1"})))))
    assert (Path(lower) / "l").is_symlink()
    assert os.listxattr(Path(lower) / "f") == []


def test_later_members_replace_earlier_ones(kind: Kind, new_store: NewStore) -> None:
    driver = new_store(kind=kind)
    tar = tar_of(
        folder("a"), Entry("a/in", b"1"), Entry("a", b"a file now"),
        Entry("b", b"1"), folder("b"), Entry("b/in", b"2"),
        Entry(".wh.c"), folder("c"), Entry("c/in", b"3"),
        Entry("d", b"old"), hard_link("e", "d"), Entry("d", b"new"),
        Entry("f", b"kept"), Entry(".wh.f"), Entry(".wh..wh.aufs", b"aufs' own"),
    )  # fmt: skip
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar)))
    root = Path(lower)
    assert (root / "a").read_bytes() == b"a file now"
    assert (root / "b" / "in").read_bytes() == b"2"
    assert (root / "c" / "in").read_bytes() == b"3"
    assert os.getxattr(root / "c", "trusted.overlay.opaque") == b"y"  # what lies below is hidden all the same
    assert ((root / "d").read_bytes(), (root / "e").read_bytes()) == (b"new", b"old")
    assert (root / "f").read_bytes() == b"kept"
    assert sorted(path.name for path in root.iterdir()) == ["a", "b", "c", "d", "e", "f"]


def test_sparse_files_have_their_holes_and_their_data(kind: Kind, new_store: NewStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with (source / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(3 << 20)
        file.write(b"middle" * 1000)
        file.truncate(5 << 20)
    driver = new_store(kind=kind)
    posix = [f"posix --sparse-version={version}" for version in ("0.0", "0.1", "1.0")]
    for number, form in enumerate(["gnu", *posix]):
        tar = tmp_path / "sparse.tar"
        assert os.system(f"tar -C {source} -S --format={form} -cf {tar} sparse") == 0
        assert tar.stat().st_size < 1 << 20
        [lower] = driver.lowers(driver.store.resolve(driver.import_(tar.read_bytes(), repo=f"s{number}")))
        assert (Path(lower) / "sparse").read_bytes() == (source / "sparse").read_bytes()


PACKERS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.NONE: bytes,
    Compression.GZIP: gzip.compress,
    Compression.ZSTD: zstandard.compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
}


@given(st.binary(max_size=5000), st.integers(1, 700), st.sampled_from(list(Compression)), st.integers(1, 3))
def test_any_cut_of_a_packed_stream_unpacks_to_the_same(
    data: bytes, step: int, compression: Compression, parts: int
) -> None:
    packed = b"".join(PACKERS[compression](data) for _ in range(parts))  # several members, as pigz -i makes
    blocks = (packed[at : at + step] for at in range(0, len(packed), step))
    assert b"".join(decompress(compression, blocks)) == data * parts


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.ZSTD, Compression.BZIP2, Compression.XZ])
def test_a_packed_stream_without_its_end_is_refused(compression: Compression) -> None:
    packed = PACKERS[compression](os.urandom(100_000))
    for missing in (1, 9, 50_000):
        with pytest.raises(ImageFault, match="unexpected end"):
            list(decompress(compression, [packed[:-missing]]))


def test_a_bomb_comes_in_bounded_pieces() -> None:
    for compression in (Compression.GZIP, Compression.ZSTD):
        packed = PACKERS[compression](bytes(64 << 20))
        assert max(map(len, decompress(compression, [packed]))) <= 1 << 20


@given(st.lists(st.integers(1, 3000), max_size=20))
def test_our_gzip_does_not_depend_on_how_its_input_is_cut(cuts: list[int]) -> None:
    data = b"0123456789abcdef" * 2000
    whole, cut = Gzip(), Gzip()
    expected = b"".join(whole.write(data)) + whole.finish()
    got, at = b"", 0
    for size in cuts:
        got += b"".join(cut.write(data[at : at + size]))
        at += size
    got += b"".join(cut.write(data[at:])) + cut.finish()
    assert got == expected
    assert gzip.decompress(got) == data


def test_a_tar_cut_anywhere_is_refused_or_a_whole_beginning() -> None:
    whole = [member.name for member in members(ByteSource([TREE]))]
    for end in range(0, len(TREE), 97):
        try:
            names = [member.name for member in members(ByteSource([TREE[:end]]))]
        except ImageFault:
            assert end % 512 or names_before(TREE[:end])
        else:
            assert names == whole[: len(names)]


def names_before(data: bytes) -> bool:
    """A cut between two blocks is refused only inside a member or between a member and its extension."""
    return len(data) >= 512


@given(st.binary(min_size=512, max_size=2048))
def test_no_bytes_make_the_reader_fail_otherwise(data: bytes) -> None:
    source = ByteSource([data])
    try:
        for _ in members(source):
            pass
    except ImageFault:
        pass


@pytest.mark.usefixtures("with_erofs")
def test_a_trial_of_erofs_that_went_well_is_not_repeated_for_the_same_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "trial.json"
    assert erofs.usable(tmp_path, record)
    found = record.read_text()
    with monkeypatch.context() as changed:
        changed.setattr(erofs, "_try", lambda *_: False)
        assert erofs.usable(tmp_path, record)
        record.write_text(found.replace("[", '["another kernel", ', 1))
        assert not erofs.usable(tmp_path, record)


@pytest.mark.parametrize("kind", Kind)
def test_the_disk_works_on_a_layer_while_it_comes(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last megabytes of the blob and of the tar are on their way when they are flushed."""
    begun: dict[int, list[tuple[int, int]]] = {}

    def start(fd: int, offset: int, length: int) -> None:
        start_writeback(fd, offset, length)
        begun.setdefault(os.fstat(fd).st_ino, []).append((offset, length))

    monkeypatch.setattr(flush, "start_writeback", start)
    data = gzip.compress(tar_of(Entry("large", os.urandom(30 << 20))), 0)
    with contextlib.closing(Job(tmp_path / "job", kind)) as job:
        layer = job.add_layer([data[at : at + 100_000] for at in range(0, len(data), 100_000)])
        job.flush()
    assert layer.blob is not None
    files = [job.blobs / hex_of(layer.blob.digest)]
    if kind is Kind.TAR:
        files.append(job.layers / hex_of(layer.diff_id) / TAR)
    assert sorted(begun) == sorted(file.stat().st_ino for file in files)
    for file in files:
        ranges = begun[file.stat().st_ino]
        assert [offset for offset, _ in ranges] == [0, *(sum(each) for each in ranges[:-1])], ranges
        assert sum(ranges[-1]) > file.stat().st_size - (9 << 20), ranges
    assert files[0].read_bytes() == data


SOUND = Layer(diff_id="sha256:" + "a" * 64, kind=Kind.DIR, size=1, tar_size=2, blob=None).to_json()
BLOB = Blob("sha256:" + "b" * 64, 3, Compression.GZIP).to_json()
DAMAGED = {
    "empty": b"",
    "zeros": bytes(200),
    "not text": b"\xff{}",
    "half": json.dumps(SOUND).encode()[:40],
    "nested": b"[" * 100_000,
    "a list": b"[1]",
    "a number": b"7",
    "a text": b'"schema"',
    "nothing": b"null",
    "of a newer engine": json.dumps({**SOUND, "schema": 2}).encode(),
    "of another layer": json.dumps({**SOUND, "diff_id": "sha256:" + "c" * 64}).encode(),
    "of no kind": json.dumps({**SOUND, "kind": ["dir"]}).encode(),
    "a number for a digest": json.dumps({**SOUND, "diff_id": 7}).encode(),
    "a text for a size": json.dumps({**SOUND, "size": "1"}).encode(),
    "a text for a blob": json.dumps({**SOUND, "blob": "x"}).encode(),
    "a list for a compression": json.dumps({**SOUND, "blob": {**BLOB, "compression": ["gzip"]}}).encode(),
    "a blob without a size": json.dumps({**SOUND, "blob": {**BLOB, "size": None}}).encode(),
    **{f"without {key}": json.dumps({**SOUND, key: None} if key != "blob" else {}).encode() for key in SOUND},
}


@pytest.mark.logs("layer.unreadable")
@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_a_value_error_and_keeps_no_store_closed(
    damage: bytes, tmp_path: Path, new_store: NewStore
) -> None:
    place = tmp_path / ("a" * 64)
    place.mkdir()
    for name in (RECORD, UNFLUSHED):
        (place / RECORD).unlink(missing_ok=True)
        (place / name).write_bytes(json.dumps({**SOUND, "blob": BLOB}).encode())
        assert Layer.read(place).size == 1
        (place / name).write_bytes(damage)
        with pytest.raises(ValueError):  # noqa: PT011 — of several kinds
            Layer.read(place)
        assert Layer.find(place) is None
    lost = DataRoot(tmp_path / "data").layers / place.name
    lost.mkdir(parents=True)
    (lost / RECORD).write_bytes(damage)
    assert f"sha256:{place.name}" not in new_store().store.layers


def test_a_pipe_has_no_writeback() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="sync_file_range"):
            start_writeback(writer, 0, 1)
    finally:
        os.close(reader)
        os.close(writer)
