"""A second `cove-desktop` for the same home and engine wakes the first and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pytestqt.qtbot import QtBot

from desktop.paths import host_paths
from desktop.ui.handover import hand_over
from desktop.ui.shell.single import SingleWindow
from tests.ui.hands import LIMIT_MS


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


SECOND_START = """
import sys
from desktop.ui.main import main
status = main(sys.argv[1:])
print(status, "PySide6" in sys.modules)
"""


def test_a_second_start_loads_no_qt(qtbot: QtBot, tmp_path: Path) -> None:
    engine = f"unix://{tmp_path}/engine.sock"
    paths = host_paths({"COVE_HOME": str(tmp_path)}, "linux")
    first = SingleWindow(paths, engine)
    command = [sys.executable, "-c", SECOND_START, "-H", engine, "--quick-run"]
    with qtbot.waitSignal(first.wished, timeout=LIMIT_MS) as told:
        second = subprocess.Popen(command, env={**os.environ, "COVE_HOME": str(tmp_path)}, stdout=subprocess.PIPE)
    said, _ = second.communicate(timeout=LIMIT_MS / 1000)
    assert told.args == ["quick-run"]
    assert said.split() == [b"0", b"False"]
    first.close()
