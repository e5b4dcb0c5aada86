"""Between this process's stdin, stdout, stderr and a container's: copying, detaching, signals passed on."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum

from desktop.cli import terminal
from desktop.client.engine import ApiError, ConnectionFailed, HijackedStream
from desktop.client.wire import Frame, ProtocolError

_READ = 32 * 1024
Resize = Callable[[int, int], None]  # rows, columns
_FORCED_AFTER = 3  # docker's: the third SIGINT or SIGTERM ends the client itself


class Ended(Enum):
    """How a session ended."""

    OUTPUT = "the container's output is complete"
    DETACHED = "the user typed the detach keys"


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all is written. Raises BrokenPipeError, OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_frame(frame: Frame) -> None:
    """Copy a container's output to ours. Raises ProtocolError for an error that the engine sent in the stream."""
    if frame.stream == 3:
        raise ProtocolError(f"error from daemon in stream: {frame.data.decode(errors='replace')}")
    write_all(2 if frame.stream == 2 else 1, frame.data)


class Session:
    """One attached stream with our stdin (or without), until the output ends or the user detaches."""

    def __init__(self, stream: HijackedStream, *, stdin: bool, tty: bool, detach_keys: bytes) -> None:
        self._stream = stream
        self._stdin = stdin
        self._tty = tty
        self._keys = terminal.DetachKeys(detach_keys if tty else b"")
        self._detached = False

    def run(self) -> Ended:
        """Copy until the end. Raises BrokenPipeError when our output has no reader, ConnectionFailed, ProtocolError."""
        with contextlib.ExitStack() as undo:
            undo.callback(self._stream.close)
            if not self._stdin:
                self._stream.close_write()  # as docker does: the container reads the end of file
            else:
                if self._tty and terminal.is_terminal(0):
                    undo.enter_context(terminal.raw(0))
                # A daemon thread: it may be blocked in read(2) on a terminal when the output ends.
                threading.Thread(target=self._send_stdin, name="stdin", daemon=True).start()
            while (frame := self._stream.read()) is not None:
                write_frame(frame)
        return Ended.DETACHED if self._detached else Ended.OUTPUT

    def _send_stdin(self) -> None:
        try:
            while data := os.read(0, _READ):
                data, is_complete = self._keys.pass_on(data)
                if data:
                    self._stream.write(data)
                if is_complete:
                    self._detached = True
                    self._stream.close()  # wakes the reader
                    return
        except ConnectionFailed:
            return  # the process has ended or closed its stdin; its output may continue
        except OSError:
            pass  # our stdin cannot be read: the container gets the end of file
        self._stream.close_write()


def show_size(resize: Resize, *, redraw: bool = False) -> None:
    """Tell the container our window's size; `redraw` by way of another size, so that a full-screen program repaints.

    Right after a start the container may not be ready for it: docker tries ten times, and so do we.
    """
    size = terminal.size_of(1) or terminal.size_of(0)
    if size is None:
        return
    rows, columns = size
    for attempt in range(10):
        try:
            if redraw:
                resize(rows + 1, columns + 1)
            resize(rows, columns)
            return
        except ApiError:
            threading.Event().wait(0.01 * (attempt + 1))
        except ConnectionFailed:
            return


def following_size(resize: Resize) -> AbstractContextManager[None]:
    """Each change of our window's size becomes the container's."""

    def on_change(rows: int, columns: int) -> None:
        # The container has ended or not started yet. The next change of size is sent again.
        with contextlib.suppress(ApiError, ConnectionFailed, ProtocolError):
            resize(rows, columns)

    return terminal.watching_size(1 if terminal.is_terminal(1) else 0, on_change)


_PROXIED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGTSTP")


@contextmanager
def proxying_signals(send: Callable[[str], None]) -> Iterator[None]:
    """Pass signals on to the container by `send(name)`, in a thread; the third SIGINT or SIGTERM ends us.

    The numbers come by `signal.set_wakeup_fd`: Python runs handlers in the main thread alone, and not before a read
    returns that the thread was about to begin when the signal came. The container may never write again.
    """
    import queue
    import socket

    received: queue.SimpleQueue[int] = queue.SimpleQueue()
    numbers = [getattr(signal, name) for name in _PROXIED if hasattr(signal, name)]

    def listen(arrived: socket.socket) -> None:
        ends = 0
        while data := arrived.recv(64):
            for number in data:
                if number in (signal.SIGINT, signal.SIGTERM):
                    ends += 1
                if ends >= _FORCED_AFTER:
                    os.write(2, b"\ngot 3 SIGTERM/SIGINTs, forcefully exiting\n")
                    os._exit(1)
                if number in numbers:
                    received.put(number)
        received.put(0)

    def forward() -> None:
        while number := received.get():
            # The container may have ended meanwhile, so there is no process to signal.
            with contextlib.suppress(ApiError, ConnectionFailed, ProtocolError):
                send(signal.Signals(number).name)

    arrived, arriving = socket.socketpair()
    arriving.setblocking(False)
    threading.Thread(target=forward, name="signals", daemon=True).start()
    listener = threading.Thread(target=listen, args=(arrived,), name="signals' arrival", daemon=True)
    listener.start()
    wakeup_before = signal.set_wakeup_fd(arriving.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda number, frame: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(wakeup_before)
        arriving.close()
        listener.join()
        arrived.close()


def check_terminal(*, stdin: bool, tty: bool) -> str | None:
    """docker's error message if the container shall have a terminal and our stdin is not one; else None."""
    if stdin and tty and not terminal.is_terminal(0):
        if sys.platform == "win32":
            return "the input device is not a TTY.  If you are using mintty, try prefixing the command with 'winpty'"
        return "the input device is not a TTY"
    return None
