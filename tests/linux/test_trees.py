"""Removal of whole trees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vmagent.linux.trees import remove_tree, remove_whole_tree


def test_a_tree_is_removed_and_what_its_links_lead_to_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "in it").mkdir(parents=True)
    (kept / "file").touch()
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "closed").mkdir(mode=0)
    (tree / os.fsdecode(b"\xff\n")).touch()
    os.mkfifo(tree / "a" / "fifo")
    (tree / "a" / "to a folder").symlink_to(kept)
    (tree / "a" / "to a file").symlink_to(kept / "file")
    (tree / "a" / "to nothing").symlink_to("missing")
    os.link(kept / "file", tree / "second name")
    remove_tree(str(tree))
    remove_tree(str(tree))  # it may be missing
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert sorted(path.name for path in kept.iterdir()) == ["file", "in it"]


@pytest.mark.parametrize(("depth", "name_bytes"), [(40, 200), (3000, 2)])  # 3000: more than Python's calls in calls
def test_a_tree_deeper_than_the_longest_path_is_removed(tmp_path: Path, depth: int, name_bytes: int) -> None:
    name = "d" * name_bytes
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd))
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(str(tmp_path / name))
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_mounted_in_a_tree_stays(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "mounted").mkdir(parents=True)
    (tree / "a" / "gone").mkdir()
    (tree / "z").touch()
    subprocess.run(["mount", "-t", "tmpfs", "cvt", tree / "a" / "mounted"], check=True)
    try:
        (tree / "a" / "mounted" / "kept").touch()
        remove_tree(str(tree))
        left = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
        assert left == ["a", "a/mounted", "a/mounted/kept"]
        with pytest.raises(OSError, match="busy"):
            remove_whole_tree(str(tree))
    finally:
        subprocess.run(["umount", tree / "a" / "mounted"], check=True)
    remove_whole_tree(str(tree))
    assert not tree.exists()
    remove_whole_tree(str(tree))  # it may be missing
