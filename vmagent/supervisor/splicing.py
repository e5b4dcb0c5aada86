"""Moves a process's output (pipes or a terminal) into a file by splice(2), without copying it through Python.

A pipe is spliced into the file directly. A terminal is spliced into a relay pipe first, because splice(2) needs a pipe
at one end. The keeper holds the relay pipe too. So each byte is always in a buffer of the kernel or in the file, and a
SIGKILL of the supervisor loses none. If the file cannot grow (disk full), output is dropped, so that the process can go
on.
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
_SPLICES_A_TURN = 64  # per call of `move`, so that other containers are served too
_WINDOW_BYTES = 1 << 20  # how much output of a container without a log is kept for attached clients
_PAGE = 4096

MORE, IDLE, ENDED, FULL = range(4)


class Splicer:
    """One stream. Owns the relay pipe, and `source_fd` if that is a pipe too (Child owns a terminal's master)."""

    __slots__ = ("_null_fd", "relay_r", "relay_w", "source_fd", "stream")

    def __init__(self, stream: int, source_fd: int, relay: tuple[int, int]) -> None:
        """`relay`: the read and the write end of the relay pipe of a terminal; -1, -1 without a terminal."""
        self.stream = stream
        self.source_fd = source_fd
        self.relay_r, self.relay_w = relay
        self._null_fd = -1

    # Overridden by the subclasses

    def _target(self) -> int:
        """The descriptor of the file for the next bytes. Raises OSError if it cannot grow."""
        raise NotImplementedError

    def _room(self, source_fd: int) -> int:
        """How many bytes of the pipe `source_fd` the file takes now; 0: none until the reader has read more."""
        raise NotImplementedError

    def _note(self, count: int) -> None:
        """Called when `count` bytes have been added to the file."""
        raise NotImplementedError

    # Moving

    def move(self, *, is_end: bool = False) -> int:
        """Move the available output, by at most `_SPLICES_A_TURN` splices; returns the state of the stream after that.

        MORE: there may be more output; IDLE: none at the moment; ENDED: end of the stream; FULL: no room in the file.
        `is_end`: the process has ended, so the rest of the output is moved even if there is no room.
        """
        for _ in range(_SPLICES_A_TURN):
            # The relay pipe first: an earlier call, or a killed supervisor, may have left bytes in it.
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
            if e.errno == errno.EIO:  # no process has the terminal's slave open any more
                return ENDED
            raise
        return MORE

    def _splice(self, source_fd: int, *, is_end: bool) -> int:
        """Call splice(2) once, into the file; returns a state as `move`."""
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
        """The file cannot grow (ENOSPC, EDQUOT, EFBIG, EIO): drop the output. Returns a state as `move`."""
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
    """What a splicer calls of a log with limits (`rotation.Rotation`)."""

    __slots__ = ()

    def room(self, source_fd: int) -> int:
        """How many bytes of the pipe `source_fd` fit. May replace the splicer's writer by that of a new generation."""
        raise NotImplementedError

    def took(self, count: int) -> None:
        """Called when `count` bytes have been added."""
        raise NotImplementedError


class LogOwner:
    """What a `LogSplicer` calls of its run. A base class instead of callbacks: a bound method takes more memory."""

    __slots__ = ()

    def on_output(self, splicer: LogSplicer) -> None:
        """Called when the source is readable."""
        raise NotImplementedError


class WindowOwner:
    """What a `WindowSplicer` calls of its exec."""

    __slots__ = ()

    def on_output(self, splicer: WindowSplicer) -> None:
        """Called when the source is readable."""
        raise NotImplementedError

    def on_read_up(self) -> None:
        """Called when bytes were added after the reader had read everything: it waits for a notification."""
        raise NotImplementedError


def output_pipe() -> tuple[int, int]:
    """A pipe whose read end is non-blocking. The write end is left blocking: the process inherits its flags."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    return reader, writer


class LogSplicer(Splicer):
    """Moves one stream of a container into its log. Owns `writer` too."""

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
        self.rotation: LogLimits | None = None  # only for a log with limits; it may replace `writer`
        self.last_ns = 0  # time of the latest record of either stream
        self._punched = 0  # a window's bytes before this offset have been freed

    def __call__(self, _events: int) -> None:
        """Called by the loop when the source is readable. A bound method as handler would take much more memory."""
        if self.owner is not None:
            self.owner.on_output(self)

    def fds(self) -> dict[str, int]:
        """The descriptors that the keeper stores copies of, by name."""
        held = {
            f"log{self.stream}": self.writer.payload_fd,
            f"idx{self.stream}": self.writer.index_fd,
            f"src{self.stream}": self.source_fd,
            "relay_r": self.relay_r,
            "relay_w": self.relay_w,
        }
        return {name: fd for name, fd in held.items() if fd >= 0}

    def run(self, last_ns: int) -> tuple[int, int]:
        """As `move`. `last_ns`: time of the container's latest log record. Returns (state, the new `last_ns`)."""
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
        self.owner = self.rotation = None  # they refer to this object: break the reference cycle


class WindowSplicer(Splicer):
    """Moves one stream of an exec into the window of both streams. The exec owns and closes the window."""

    __slots__ = ("owner", "window")

    def __init__(
        self, stream: int, source_fd: int, window: Window, owner: WindowOwner, *, relay: tuple[int, int] = (-1, -1)
    ) -> None:
        super().__init__(stream, source_fd, relay)
        self.window = window
        self.owner = owner

    def __call__(self, _events: int) -> None:
        """Called by the loop when the source is readable."""
        self.owner.on_output(self)

    def _target(self) -> int:
        self.window.begin(self.stream)
        return self.window.payload_fd

    def _room(self, source_fd: int) -> int:
        return self.window.room()

    def _note(self, count: int) -> None:
        if self.window.took(count):
            self.owner.on_read_up()
