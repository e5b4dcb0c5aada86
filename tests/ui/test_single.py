"""A second `cove-desktop` for the same home and engine wakes the first and ends."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from desktop.paths import host_paths
from desktop.ui.shell.single import SingleWindow, hand_over


def test_a_second_start_hands_its_wish_to_the_first(qtbot: QtBot, tmp_path: Path) -> None:
    paths = host_paths({"COVE_HOME": str(tmp_path)}, "linux")
    assert not hand_over(paths, "unix:///a", "open")
    first = SingleWindow(paths, "unix:///a")
    with qtbot.waitSignal(first.wished) as told:
        assert hand_over(paths, "unix:///a", "quick-run")
    assert told.args == ["quick-run"]
    assert not hand_over(paths, "unix:///b", "open")
    first.close()
    assert not hand_over(paths, "unix:///a", "open")
