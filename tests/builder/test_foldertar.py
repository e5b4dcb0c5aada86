"""COPY of a folder without a file on the way to the layer's tar: the same layer as by the copy through an overlay."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.builder.cases import CAPABILITY
from vmagent.builder import worker
from vmagent.builder.trees import TreeFault
from vmagent.images import erofs, flush, ingest
from vmagent.images.layer import DIFF, TAR, Kind, Layer
from vmagent.images.treetar import TreeTar

FEW = flush.FEW
OLD, NEWER = 1_000_000_000, 1_100_000_000


@pytest.fixture(autouse=True)
def _with_erofs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Layers of kind tar, unless this machine's kernel cannot mount them."""
    if not erofs.usable(tmp_path, tmp_path / "trial.json"):
        pytest.skip("this kernel mounts no EROFS from files here")
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)  # what the worker keeps for its life
    monkeypatch.setattr(worker._Namespace, "home_fd", home)
    for module in (worker, ingest):
        monkeypatch.setattr(module, "FEW", 0)  # else no folder here has enough entries for a tar
    yield
    os.close(home)


class Copying:
    """One tree to copy from and one to copy to, each a folder. `layer`: what the worker makes, by either way."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.target = folder, folder / "source", folder / "target"
        self.source.mkdir()
        self.target.mkdir()
        self._count = 0

    def fill(self) -> None:
        """Of all kinds that a folder can have."""
        (self.source / "sub" / "deep").mkdir(parents=True)
        (self.source / "empty").mkdir()
        for name, text in {"a": "a\n", "none": "", "sub/b.log": "b", "sub/deep/ü": "ü" * 700_000, "z": "z"}.items():
            (self.source / name).write_text(text)
        (self.source / "z").chmod(0o4750)
        (self.source / "sub").chmod(0o2711)
        os.chown(self.source / "a", 12, 34)
        os.link(self.source / "a", self.source / "sub" / "again")
        (self.source / "sub" / "link").symlink_to("../a")
        os.mkfifo(self.source / "pipe", 0o600)
        os.mknod(self.source / "null", 0o640 | stat.S_IFCHR, os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(self.source):
            made.bind("socket")
        os.setxattr(self.source / "z", "security.capability", CAPABILITY)
        for path in self.source.rglob("*"):
            os.utime(path, (NEWER, NEWER), follow_symlinks=False)

    def made(self, destination: str, **more: Any) -> Path:
        """The layer's folder."""
        self._count += 1
        place = self.folder / f"ingest{self._count}"
        for name in ("upper", "work"):
            (place / name).mkdir(parents=True)
        source = {"root": {"folder": str(self.source)}, "paths": ["."], "is_context": False, "exclude": []}
        job = {
            "op": "copy",
            "ingest": str(place),
            "kind": "tar",
            "place": str(place / "root"),
            "target": {"lowers": [str(self.target)], "upper": str(place / "upper"), "work": str(place / "work")},
            "epoch": None,
            "chown": "",
            "chmod": "",
            "parents": False,
            "destination": destination,
            "sources": [source | {"unpacks": False} | more.pop("source", {})],
        }
        with contextlib.chdir(self.folder):  # the worker leaves its process at the root: setns(2)
            worker.run(job | more, [], lambda _: None)
        [made] = (place / "layers").iterdir()
        return made

    def layer(self, destination: str, **more: Any) -> tuple[list[tuple[object, ...]], set[str]]:
        """Its members with all that is to be equal, and the names of overlayfs' own marks."""
        made = self.made(destination, **more)
        assert (made / TAR).exists(), "the layer was unpacked"
        with tarfile.open(made / TAR) as tar:
            members = [
                (
                    *(one.name, one.type, one.mode, one.uid, one.gid, one.linkname, one.devmajor, one.devminor),
                    one.mtime if one.mtime in (OLD, NEWER) else "now",
                    sorted(one.pax_headers.items()),
                    tar.extractfile(one).read() if one.isreg() else b"",  # type: ignore[union-attr]  # a file
                )
                for one in tar.getmembers()
            ]
        marks = {str(one[0]) for one in members if str(one[0]).endswith(".wh..wh..opq")}
        return [one for one in members if one[0] not in marks], marks


@pytest.fixture
def copying(tmp_path: Path) -> Copying:
    return Copying(tmp_path)


@contextlib.contextmanager
def through_an_overlay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(worker._Work, "_packed", lambda *_: None)
        yield


@pytest.mark.parametrize(
    ("destination", "more"),
    [
        ("/new/folder/", {}),
        ("/", {"source": {"is_context": True}}),
        ("/there/inner", {"chown": "7:8", "chmod": "u+w,g-x"}),
        ("/there", {"chown": "known", "epoch": OLD}),
        ("/sub/..", {"source": {"exclude": ["**/*.log", "none"]}}),
        ("/there", {"source": {"paths": ["sub"]}}),
    ],
)
def test_the_layer_is_the_same(
    copying: Copying, destination: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    copying.fill()
    (copying.target / "there" / "inner").mkdir(parents=True)
    (copying.target / "there" / "kept").write_text("kept")
    (copying.target / "there" / "a").write_text("replaced")
    (copying.target / "sub").mkdir(0o700)
    (copying.target / "sub" / "link").write_text("replaced")
    (copying.target / "etc").mkdir()
    (copying.target / "etc" / "passwd").write_text("known:x:70:71::/:\n")
    os.chown(copying.target / "there", 5, 6)
    os.setxattr(copying.target / "there", "user.note", b"kept")
    for path in copying.target.rglob("*"):
        os.utime(path, (OLD, OLD))
    members, marks = copying.layer(destination, **more)
    assert marks == set(), "nothing is hidden by a new folder"
    with through_an_overlay(monkeypatch):
        expected, _ = copying.layer(destination, **more)
    assert members == expected
    assert len(members) > 3


@pytest.mark.parametrize(
    ("there", "destination"), [("f/", "/"), ("d=", "/"), ("x=", "/x/y")], ids=["folder", "file", "on-the-way"]
)
def test_what_can_t_be_replaced_is_refused_in_the_same_words(
    copying: Copying, there: str, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copying.source / "f").write_text("file")
    (copying.source / "d").mkdir()
    if there.endswith("/"):
        (copying.target / there).mkdir()
    else:
        (copying.target / there[:-1]).write_text("file")
    said: list[str] = []
    for way in (contextlib.nullcontext(), through_an_overlay(monkeypatch)):
        with way, pytest.raises(TreeFault) as caught:
            copying.layer(destination)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "cannot" in said[0]


@pytest.mark.parametrize("names", [[".wh.hidden"], ["sub/.wh..wh..opq", "f"]])
def test_names_of_whiteouts_take_the_other_way(
    copying: Copying, names: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        (copying.source / name).parent.mkdir(exist_ok=True)
        (copying.source / name).write_text("content")
    found = copying.layer("/d")
    with through_an_overlay(monkeypatch):
        assert found == copying.layer("/d")


def test_a_link_on_the_way_is_followed(copying: Copying) -> None:
    (copying.source / "f").write_text("file")
    (copying.target / "real").mkdir()
    (copying.target / "link").symlink_to("/real")
    members, _ = copying.layer("/link/new")
    assert [one[0] for one in members] == ["real", "real/new", "real/new/f"]


@pytest.mark.parametrize("more", [0, 1])
def test_a_few_entries_stay_a_folder(copying: Copying, more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layer's digest is that of the tar that would be made of it, whichever of the two it is."""
    for module in (worker, ingest):
        monkeypatch.setattr(module, "FEW", FEW)
    for number in range(FEW - 1 + more):
        (copying.source / f"f{number}").write_text(f"{number}")
    made = copying.made("/d")  # which is an entry, too
    layer = Layer.read(made)
    assert layer.kind == (Kind.TAR if more else Kind.DIR)
    assert (made / DIFF).is_dir() == (not more)
    content = (made / TAR).read_bytes() if more else b"".join(TreeTar().blocks(str(made / DIFF)))
    assert layer.diff_id == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert layer.size == sum(len(str(number)) for number in range(FEW - 1 + more))
