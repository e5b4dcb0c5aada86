"""SIGINT and SIGTERM as events of Qt's loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support.limits import HANG_S

PROGRAM = """
import os, signal, sys
from PySide6.QtCore import QCoreApplication
from desktop.ui.shell.signals import EndingSignals
app = QCoreApplication([])
signals = EndingSignals()
signals.asked.connect(app.quit)
if sys.argv[1] == "before":
    os.kill(os.getpid(), int(sys.argv[2]))
else:
    print("waits", flush=True)
status = app.exec()
signals.close()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
print("ended")
sys.exit(status)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_before_the_loop_runs_ends_it(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "before", str(int(number))],
        capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_loop_in_which_nothing_happens(number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, "within", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        os.kill(process.pid, number)
        assert process.stdout.read() == "ended\n"
    assert process.returncode == 0
