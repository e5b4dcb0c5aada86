"""`cove cp` unpacks nothing outside the destination folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from desktop.cli.untar import OutsideError, unpack


def archive(*members: tuple[str, bytes, str]) -> tarfile.TarFile:
    """Of (name, type, link name or content), read as a stream as `cove cp` does."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o4777 if kind == tarfile.REGTYPE else 0o555
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = text
                tar.addfile(info)
            else:
                info.size = len(text) if kind == tarfile.REGTYPE else 0
                tar.addfile(info, io.BytesIO(text.encode()))
    made.seek(0)
    return tarfile.open(fileobj=made, mode="r|")


@pytest.mark.parametrize(
    "members",
    [
        [("../out", tarfile.REGTYPE, "x")],
        [("a/../../out", tarfile.REGTYPE, "x")],
        [("link", tarfile.SYMTYPE, ".."), ("link/out", tarfile.REGTYPE, "x")],
        [("link", tarfile.LNKTYPE, "../secret")],
    ],
)
def test_a_member_that_would_land_outside_is_refused(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    (tmp_path / "secret").write_text("kept")
    folder = tmp_path / "in"
    folder.mkdir()
    with archive(*members) as tar, pytest.raises(OutsideError):
        unpack(tar, folder, lambda member: member)
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "in"}
    assert (tmp_path / "secret").read_text() == "kept"


def test_an_absolute_name_lands_below_the_folder(tmp_path: Path) -> None:
    with archive(("/etc/file", tarfile.REGTYPE, "x")) as tar:
        unpack(tar, tmp_path, lambda member: member)
    assert (tmp_path / "etc" / "file").read_text() == "x"


def test_a_read_only_folder_is_filled_and_no_set_id_bit_comes_out(tmp_path: Path) -> None:
    with archive(("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, "x")) as tar:
        unpack(tar, tmp_path, lambda member: member)
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o555
    assert (tmp_path / "d" / "f").stat().st_mode & 0o7777 == 0o755
