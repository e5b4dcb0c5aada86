"""From a process's stdout, stderr or terminal into a file, without the bytes passing through Python.

A pipe is spliced into the file. A terminal is spliced into a pipe of ours first (splice(2) needs a pipe at one end),
which the keeper holds too: so at every instant each byte is in the kernel's buffer or in the file, and a SIGKILL loses
none. A file that takes no more (disk full) must not stop the process: then its output is dropped.
"""

from __future__ import annotations

import errno
import os

from vmagent.linux.files import punch_hole
from vmagent.supervisor.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmagent.supervisor.logwriter import StreamWriter
    from vmagent.supervisor.window import Window

_AT_ONCE = 1 << 20  # more than any pipe holds
_SPLICES_A_TURN = 64  # then the other containers have their turn
_WINDOW_BYTES = 1 << 20  # what stays of a container's output that is not logged, for attached clients
_PAGE = 4096

MORE, IDLE, ENDED, FULL = range(4)


class Splicer:
    """One stream. Owns `source_fd` (a pipe; a terminal's master is its process's) and both ends of the relay pipe."""

    __slots__ = ("_null_fd", "relay_r", "relay_w", "source_fd", "stream")

    def __init__(self, stream: int, source_fd: int, relay: tuple[int, int]) -> None:
        """`relay`: a pipe, with a terminal; -1 without."""
        self.stream = stream
        self.source_fd = source_fd
        self.relay_r, self.relay_w = relay
        self._null_fd = -1

    # What the two kinds of files differ in

    def _target(self) -> int:
        """The file that the next bytes go to. Raises OSError if it takes no more."""
        raise NotImplementedError

    def _room(self, source_fd: int) -> int:
        """How many bytes of the pipe `source_fd` the file takes now; 0: none until the reader has read more."""
        raise NotImplementedError

    def _note(self, count: int) -> None:
        """So many bytes were added."""
        raise NotImplementedError

    # Moving

    def move(self, *, is_end: bool = False) -> int:
        """Move what is there, for one turn: MORE, IDLE, ENDED, or FULL without room for it.

        `is_end`: the process has ended; what is left in the pipes is moved without regard to the room.
        """
        for _ in range(_SPLICES_A_TURN):
            # The relay first: an earlier turn, or supervisor, may have left something there.
            state = self._splice(self.source_fd if self.relay_r < 0 else self.relay_r, is_end=is_end)
            if state == IDLE and self.relay_r >= 0:
                state = self._fill_relay()
            if state != MORE:
                return state
        return MORE

    def _fill_relay(self) -> int:
        if self.source_fd < 0:
            return IDLE
        try:
            os.splice(self.source_fd, self.relay_w, _AT_ONCE, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return IDLE
        except OSError as e:
            if e.errno == errno.EIO:  # the last copy of the terminal's slave is closed
                return ENDED
            raise
        return MORE

    def _splice(self, source_fd: int, *, is_end: bool) -> int:
        """One splice into the file."""
        room = self._room(source_fd) or (_AT_ONCE if is_end else 0)
        if not room:
            return FULL
        try:
            count = os.splice(source_fd, self._target(), room, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return IDLE
        except OSError as e:
            return self._discard(source_fd, e)
        if not count:
            return ENDED
        self._note(count)
        # Less than a page and less than the room: the pipe is empty, and epoll reports what comes later.
        return IDLE if count < min(room, _PAGE) and self.relay_r < 0 and not is_end else MORE

    def _discard(self, source_fd: int, why: OSError) -> int:
        """The file refuses (ENOSPC, EDQUOT, EFBIG, EIO): drop what the process has written."""
        if self._null_fd < 0:
            say(f"cove-supervisor: output is being dropped, its file takes no more: {why}")
            self._null_fd = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        try:
            return MORE if os.splice(source_fd, self._null_fd, _AT_ONCE, flags=os.SPLICE_F_NONBLOCK) else ENDED
        except BlockingIOError:
            return IDLE

    def close(self) -> None:
        for fd in (self.source_fd, self.relay_r, self.relay_w, self._null_fd):
            if fd >= 0:
                os.close(fd)
        self.source_fd = self.relay_r = self.relay_w = self._null_fd = -1


class LogLimits:
    """What a log with limits does to its splicers."""

    __slots__ = ()

    def room(self, source_fd: int) -> int:
        """How many bytes of the pipe `source_fd` fit; it may replace the splicer's writer."""
        raise NotImplementedError

    def took(self, count: int) -> None:
        """So many bytes were added."""
        raise NotImplementedError


class LogOwner:
    """The run of a container whose output is spliced. A base class, since a bound method takes more memory."""

    __slots__ = ()

    def on_output(self, splicer: LogSplicer) -> None:
        """The source is readable."""
        raise NotImplementedError


class WindowOwner:
    """The exec whose output is spliced."""

    __slots__ = ()

    def on_output(self, splicer: WindowSplicer) -> None:
        """The source is readable."""
        raise NotImplementedError

    def on_read_up(self) -> None:
        """Bytes were added, and the reader had everything before: it waits for a message."""
        raise NotImplementedError


def output_pipe() -> tuple[int, int]:
    """A pipe whose read end does not block; the flags of the write end are the process's to choose."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    return reader, writer


class LogSplicer(Splicer):
    """A stream of a container, into its log. Owns `writer` too."""

    __slots__ = ("_punched", "is_window", "last_ns", "owner", "rotation", "writer")

    def __init__(
        self,
        stream: int,
        source_fd: int,
        writer: StreamWriter,
        *,
        relay: tuple[int, int] = (-1, -1),
        is_window: bool = False,
    ) -> None:
        super().__init__(stream, source_fd, relay)
        self.writer = writer
        self.is_window = is_window
        self.owner: LogOwner | None = None
        self.rotation: LogLimits | None = None  # of a log with limits: it may replace `writer`
        self.last_ns = 0  # the time of the latest record of both streams
        self._punched = 0

    def __call__(self, _events: int) -> None:
        """The source is readable. The loop has this object itself: bound methods take much more memory."""
        if self.owner is not None:
            self.owner.on_output(self)

    def fds(self) -> dict[str, int]:
        """What the keeper stores of it, by name."""
        held = {
            f"log{self.stream}": self.writer.payload_fd,
            f"idx{self.stream}": self.writer.index_fd,
            f"src{self.stream}": self.source_fd,
            "relay_r": self.relay_r,
            "relay_w": self.relay_w,
        }
        return {name: fd for name, fd in held.items() if fd >= 0}

    def run(self, last_ns: int) -> tuple[int, int]:
        """Move what is there, for one turn: (as `move`; the time of the last record, or `last_ns`)."""
        self.last_ns = last_ns
        return self.move(), self.last_ns

    def _target(self) -> int:
        return self.writer.payload_fd

    def _room(self, source_fd: int) -> int:
        return _AT_ONCE if self.rotation is None else self.rotation.room(source_fd)

    def _note(self, count: int) -> None:
        try:
            self.last_ns = self.writer.record(count, self.last_ns)
        except OSError as e:
            say(f"cove-supervisor: the log's index takes no more: {e}")
        if self.rotation is not None:
            self.rotation.took(count)
        if self.is_window and self.writer.end - self._punched > 4 * _WINDOW_BYTES:
            upto = (self.writer.end - _WINDOW_BYTES) // _PAGE * _PAGE
            punch_hole(self.writer.payload_fd, self._punched, upto - self._punched)
            self._punched = upto

    def close(self) -> None:
        super().close()
        self.writer.close()
        self.owner = self.rotation = None  # which know this one


class WindowSplicer(Splicer):
    """A stream of an exec, into the window that both its streams share; the window is the exec's."""

    __slots__ = ("owner", "window")

    def __init__(
        self, stream: int, source_fd: int, window: Window, owner: WindowOwner, *, relay: tuple[int, int] = (-1, -1)
    ) -> None:
        super().__init__(stream, source_fd, relay)
        self.window = window
        self.owner = owner

    def __call__(self, _events: int) -> None:
        """The source is readable."""
        self.owner.on_output(self)

    def _target(self) -> int:
        self.window.begin(self.stream)
        return self.window.payload_fd

    def _room(self, source_fd: int) -> int:
        return self.window.room()

    def _note(self, count: int) -> None:
        if self.window.took(count):
            self.owner.on_read_up()
