"""What a container may do here and under dockerd, by a program that tries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security import peers
from tests.security.comparing import NAMED, WEAKER, compare
from tests.support.tools import ROOT


@pytest.mark.skipif(not peers.is_there(), reason="needs Debian's docker.io and root")
def test_a_container_can_do_no_more_than_under_dockerd(tmp_path: Path) -> None:
    """Run, exec, another user, read-only: whatever is not equal is stricter, or is named in docs/side-by-side.md."""
    text = (ROOT / "docs" / "side-by-side.md").read_text()
    for way, (dockers, ours) in peers.reports(tmp_path).items():
        assert len(ours) > 4000, way
        differences = list(compare(dockers, ours))
        assert [one for one in differences if one.verdict == WEAKER] == [], way
        assert {one.reason for one in differences if one.verdict == NAMED and one.reason not in text} == set(), way
