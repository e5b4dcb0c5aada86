"""Foreground mode of `cove-runtime run` and `exec`: forwards signals and the terminal, returns the exit status.

Also the caller's side of a start: reading the child's report and answering its requests.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vmagent.linux import compact_json, terminal
from vmagent.linux.process import pidfd_send_signal
from vmagent.runtime.exposure import is_second_start
from vmagent.runtime.failure import OTHER, LaunchError, launch_error
from vmagent.runtime.launch import Launched, receive_master
from vmagent.runtime.spawner import Spawner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def one_spawner() -> Iterator[Spawner | None]:
    """A spawner for one start; None if its program was not built, or if a spawner has already refused this start."""
    try:
        spawner = None if is_second_start() else Spawner()
    except FileNotFoundError:
        spawner = None
    try:
        yield spawner
    finally:
        if spawner is not None:
            spawner.close()


def read_line(launched: Launched) -> dict[str, Any] | None:
    """The next line of the child's report (JSON); waits for it. None at the end. Raises LaunchError for an error."""
    return read_report(launched.report_fd)


def read_report(fd: int) -> dict[str, Any] | None:
    """As `read_line`, with the read end of the report's pipe."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            return None
        line += byte
    said: dict[str, Any] = compact_json.loads(line.decode("utf-8", "surrogateescape"))
    if "error" in said:
        raise launch_error(said)
    return said


def await_ready(launched: Launched, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Wait until the child has done everything but execve; `answer` gets each of its requests and returns the reply.

    Raises LaunchError if the child has failed or died, and what `answer` raises.
    """
    while (said := read_line(launched)) is not None:
        if "setup_ms" in said:
            return
        os.write(launched.go_fd, compact_json.dumps(answer(said)).encode() + b"\n")
    raise LaunchError(OTHER, "the container's first process was killed while it was set up")


def take_master(launched: Launched) -> int:
    """Receive the descriptor of the terminal's master, which the caller closes. Call it after `await_ready`."""
    try:
        return receive_master(launched.console_fd)
    finally:
        os.close(launched.console_fd)
        launched.console_fd = -1


def close(launched: Launched) -> None:
    """Close every descriptor that is still open."""
    for fd in (launched.report_fd, launched.pidfd, launched.go_fd, launched.console_fd):
        if fd >= 0:
            os.close(fd)


def wait(launched: Launched, master: int = -1) -> int:
    """Wait for the process to end; returns its exit status, 128 + n if signal n has killed it.

    Meanwhile, forward signals that this process receives, and copy between its terminal (`master`) and ours.
    """
    with _signals_to(launched.pidfd, master):
        if master >= 0:
            _copy(master, launched.pidfd)
        _, status = os.waitpid(launched.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


@contextmanager
def _signals_to(pidfd: int, master: int) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        try:
            pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return  # it has ended, and waitpid is about to return

    def resize(_number: int = 0, _frame: FrameType | None = None) -> None:
        if master >= 0 and os.isatty(0):
            size = os.get_terminal_size(0)
            terminal.set_size(master, size.lines, size.columns)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, resize)
    resize()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _copy(master: int, pidfd: int) -> None:
    """Copy between our standard streams and the terminal until it is closed (EIO) or the process has ended."""
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    if saved is not None:
        tty.setraw(0)
    poll = select.poll()
    poll.register(master, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    poll.register(0, select.POLLIN)
    try:
        while True:
            ready = dict(poll.poll())
            if master in ready:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    return  # EIO: every slave is closed
                _write_all(1, data)
            elif pidfd in ready:
                return
            if 0 in ready:
                data = os.read(0, 65536)
                if not data:
                    poll.unregister(0)
                else:
                    _write_all(master, data)
    finally:
        sys.stdout.flush()
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
