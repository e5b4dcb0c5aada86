"""The tar of a layer's folder."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

from vmagent.images.treetar import TreeTar

DEEP = 600  # folders in folders: more than a recursive walk has frames for


def test_a_tree_may_be_deep(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    (top / "e").write_bytes(b"1")
    try:
        data = b"".join(TreeTar().blocks(str(top)))
    finally:
        subprocess.run(["rm", "-rf", top], check=True)  # shutil.rmtree goes as deep as the tree
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["/".join("d" * depth) for depth in range(1, DEEP + 1)] + ["e"]


def test_a_walk_that_is_given_up_leaves_no_folder_open(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(bytes(3 << 20))
    before = os.listdir("/proc/self/fd")
    blocks = TreeTar().blocks(str(tmp_path))
    next(blocks)
    assert os.listdir("/proc/self/fd") != before
    blocks.close()
    assert os.listdir("/proc/self/fd") == before
