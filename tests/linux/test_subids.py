"""Subordinate ids for --userns-remap: subuid(5), and what no user namespace may be filled with."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmagent.linux import subids
from vmagent.linux.idmaps import inside, outside


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """/etc/subuid and /etc/subgid of the test's own; `nobody` (65534) is on every system."""
    found = tmp_path / "subuid", tmp_path / "subgid"
    monkeypatch.setattr(subids, "SUBUID", found[0])
    monkeypatch.setattr(subids, "SUBGID", found[1])
    found[1].write_text("nobody:1000:5\n")
    return found


def test_the_ranges_of_name_and_number_follow_one_another(files: tuple[Path, Path]) -> None:
    files[0].write_text("daemon:1:9\nnobody:100000:10\n\n65534:300000:5\nnobody2:7:7\n")
    for text in ("nobody", "65534", "nobody:nogroup", "65534:65534"):
        maps = subids.look_up(text)
        assert maps == ([[0, 100000, 10], [10, 300000, 5]], [[0, 1000, 5]])
        assert maps.root == (100000, 1000)
    assert [outside(number, maps.uids) for number in (0, 9, 10, 14, 15)] == [100000, 100009, 300000, 300004, 65534]
    assert [inside(number, maps.uids) for number in (0, 100009, 300000, 300005)] == [65534, 9, 10, 65534]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "no subuid ranges found"),
        ("nobody:100000\n", "cannot parse"),
        ("nobody:-5:10\n", "cannot parse"),
        ("nobody:0:65536\n", "is no range of unprivileged ids"),
        ("nobody:100000:0\n", "is no range of unprivileged ids"),
        ("nobody:4294967290:10\n", "is no range of unprivileged ids"),
        ("nobody:100000:10\nnobody:100009:10\n", "overlaps another range"),
        ("".join(f"nobody:{start}:1\n" for start in range(1000, 1341)), "more than 340 ranges"),
    ],
)
def test_what_no_namespace_may_have_is_refused(files: tuple[Path, Path], lines: str, words: str) -> None:
    files[0].write_text(lines)
    with pytest.raises(ValueError, match=words):
        subids.look_up("nobody")


def test_without_the_files_nobody_has_ranges(files: tuple[Path, Path]) -> None:
    files[0].write_text("nobody:100000:10\n")
    files[1].unlink()
    with pytest.raises(ValueError, match="no subgid ranges found"):
        subids.look_up("nobody")
