"""Processes that end with the tests, also when those are killed: pytest-xdist does so with its workers on Ctrl-C."""

from __future__ import annotations

# Before a command, whose process id stays the same. The signal comes when the thread ends that started the command, so
# that is to be the main thread: PR_SET_PDEATHSIG of prctl(2).
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")
