"""The kernel shows of an index what unpacking the tar makes, whatever is in it."""

from __future__ import annotations

import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.images.kit import Driver, Entry, folder, hard_link, symlink, tar_of
from tests.images.test_layers import tree_of
from vmagent.images.layer import Kind

NewStore = Callable[..., Driver]
LETTERS = "!+-.0aZ_~é "


def _name(chance: random.Random, used: set[str]) -> str:
    """A new name; some are as long as they may be, some come before `.` in the order of bytes."""
    while True:
        length = chance.choice([1, 2, 3, 8, 30, 120])
        name = "".join(chance.choices(LETTERS, k=length))
        if name not in used | {".", ".."} and not name.startswith(".wh."):
            used.add(name)
            return name


def _attributes(chance: random.Random) -> dict[str, str]:
    count = chance.choice([0, 0, 0, 1, 3])
    return {f"user.{number}{'n' * chance.randrange(40)}": "v" * chance.randrange(300) for number in range(count)}


def _some_members(chance: random.Random, count: int) -> list[Entry]:
    folders, made = [""], [folder("./")]
    files: list[str] = []
    used: dict[str, set[str]] = {"": set()}
    for _ in range(count):
        above = chance.choice(folders[-8:])
        path = above + _name(chance, used[above])
        owner: dict[str, Any] = {
            "uid": chance.choice([0, 1000, 70_000]),
            "gid": chance.choice([0, 50]),
            "mtime": chance.randrange(2**32),
        }
        kind = chance.randrange(12)
        if kind == 0 and path.count("/") < 12:
            folders.append(path + "/")
            used[path + "/"] = set()
            made.append(folder(path, mode=chance.choice([0o755, 0o2770, 0o1777]), xattrs=_attributes(chance), **owner))
        elif kind == 1:
            made.append(symlink(path, "t" * chance.choice([1, 100, 440, 447, 448, 449, 511, 512, 600, 4095])))
        elif kind == 2 and files:
            made.append(hard_link(path, chance.choice(files)))
        elif kind == 3:
            device = (chance.randrange(4096), chance.randrange(1 << 20))
            made.append(Entry(path, type=chance.choice([tarfile.CHRTYPE, tarfile.BLKTYPE]), device=device, **owner))
        elif kind == 4:
            made.append(Entry(path, type=tarfile.FIFOTYPE, **owner))
        else:
            size = chance.choice([0, 1, 511, 512, 513, 4096, 70_000])
            files.append(path)
            made.append(Entry(path, chance.randbytes(size), xattrs=_attributes(chance), mode=0o4711, **owner))
    return made


@pytest.mark.usefixtures("with_erofs")
@pytest.mark.parametrize("seed", range(4))
def test_an_index_shows_what_unpacking_makes(new_store: NewStore, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    tar = tar_of(*_some_members(chance, 700))
    trees, kinds = [], []
    for kind in Kind:
        driver = new_store(tmp_path / kind, kind)
        image = driver.store.resolve(driver.import_(tar))
        [lower] = driver.lowers(image)
        kinds.append(driver.store.layers[image.layers[0]].kind)
        trees.append(tree_of(Path(lower)))
    assert kinds == [Kind.DIR, Kind.TAR], "the second one was unpacked"
    unpacked, shown = trees
    assert shown == unpacked


@pytest.mark.usefixtures("with_erofs")
def test_a_folder_of_many_names_finds_each_of_them(new_store: NewStore) -> None:
    """Its entries fill hundreds of blocks, which the kernel searches by halves."""
    names = {f"{number:x}{LETTERS[number % 9]}" for number in range(5000)}
    driver = new_store(kind=Kind.TAR)
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar_of(*(Entry(f"d/{name}") for name in names)))))
    assert set(os.listdir(Path(lower) / "d")) == names
    missing = [name for name in names if not (Path(lower) / "d" / name).is_file()]
    assert missing == []
    assert not (Path(lower) / "d" / "fff").exists()


@pytest.mark.usefixtures("with_erofs")
def test_fractions_of_a_second_are_kept(new_store: NewStore) -> None:
    driver = new_store(kind=Kind.TAR)
    [lower] = driver.lowers(driver.store.resolve(driver.import_(tar_of(Entry("f", mtime=1_700_000_000.5)))))
    assert (Path(lower) / "f").stat().st_mtime_ns == 1_700_000_000_500_000_000
