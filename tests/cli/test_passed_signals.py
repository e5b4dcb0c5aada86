"""Signals that `cove run` and `cove attach` pass on to the container."""

from __future__ import annotations

import os
import select
import signal
import threading
from pathlib import Path

from desktop.cli import streams
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until

_FUTEX = "202"  # where a thread waits for the interpreter's lock: proc_pid_syscall(5), on x86-64


def _signal_while_waits(other: int) -> None:
    """Send ourselves SIGUSR1 once the thread `other` waits in a system call."""
    syscall = Path(f"/proc/self/task/{other}/syscall")
    wait_until(lambda: syscall.read_text().split()[0] not in ("running", _FUTEX))
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)


def test_a_signal_is_passed_on_while_the_main_thread_waits_for_output() -> None:
    """It comes in another thread, so the main thread's wait goes on: as if it came just before that began."""
    reader, writer = os.pipe()

    def send(name: str) -> None:
        os.write(writer, name.encode())

    before = signal.getsignal(signal.SIGUSR1)
    try:
        with streams.proxying_signals(send):
            other = threading.Thread(target=_signal_while_waits, args=(threading.get_native_id(),))
            other.start()
            ready, _, _ = select.select([reader], [], [], HANG_S)
            assert ready, "the signal was kept until the wait ended"
            assert os.read(reader, 100) == b"SIGUSR1"
            other.join()
    finally:
        os.close(reader)
        os.close(writer)
    assert signal.getsignal(signal.SIGUSR1) == before
