"""From a container's stdout, stderr or terminal into its log, without the bytes passing through Python.

A pipe is spliced into the payload file. A terminal is spliced into a pipe of ours first (splice(2) needs a pipe at one
end), which the keeper holds too: so at every instant each byte is in the kernel's buffer or in the file, and a SIGKILL
loses none. A file that takes no more (disk full) must not stop the container: then its output is dropped.
"""

from __future__ import annotations

import errno
import os

from vmagent.linux.files import punch_hole
from vmagent.supervisor.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmagent.supervisor.containers import Run
    from vmagent.supervisor.logwriter import StreamWriter
    from vmagent.supervisor.rotation import Rotation

_AT_ONCE = 1 << 20  # more than any pipe holds
_SPLICES_A_TURN = 64  # then the other containers have their turn
_WINDOW_BYTES = 1 << 20  # what stays of output that is not logged, for who is attached
_PAGE = 4096

MORE, IDLE, ENDED = range(3)


class Pump:
    """One stream. Owns its descriptors: `source_fd` (pipe or master), the relay's ends (-1 without), the writer's."""

    __slots__ = (
        "_null_fd",
        "_punched",
        "is_window",
        "owner",
        "relay_r",
        "relay_w",
        "rotation",
        "source_fd",
        "stream",
        "writer",
    )

    def __init__(
        self,
        stream: int,
        source_fd: int,
        writer: StreamWriter,
        *,
        relay: tuple[int, int] = (-1, -1),
        is_window: bool = False,
    ) -> None:
        self.stream = stream
        self.source_fd = source_fd
        self.writer = writer
        self.relay_r, self.relay_w = relay
        self.is_window = is_window
        self.owner: Run | None = None
        self.rotation: Rotation | None = None  # of a log with limits: it may replace `writer`
        self._punched = 0
        self._null_fd = -1

    def __call__(self, _events: int) -> None:
        """The source is readable. The loop has this object itself: methods bound to something take much more."""
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
        """Move what is there, for one turn: (MORE, IDLE or ENDED; the time of the last record, or `last_ns`)."""
        for _ in range(_SPLICES_A_TURN):
            # The relay first: an earlier turn, or supervisor, may have left something there.
            state, count = self._move(self.source_fd if self.relay_r < 0 else self.relay_r)
            if count:
                last_ns = self._note(count, last_ns)
            if state == IDLE and self.relay_r >= 0:
                state = self._fill_relay()
            if state != MORE:
                return state, last_ns
        return MORE, last_ns

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

    def _move(self, source_fd: int) -> tuple[int, int]:
        """One splice into the file: (what to expect now, bytes that reached the file)."""
        room = _AT_ONCE if self.rotation is None else self.rotation.room(source_fd)
        try:
            count = os.splice(source_fd, self.writer.payload_fd, room, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return IDLE, 0
        except OSError as e:
            return self._discard(source_fd, e), 0
        return (MORE, count) if count else (ENDED, 0)

    def _discard(self, source_fd: int, why: OSError) -> int:
        """The file refuses (ENOSPC, EDQUOT, EFBIG, EIO): drop what the container has written."""
        if self._null_fd < 0:
            say(f"cove-supervisor: output is being dropped, the log takes no more: {why}")
            self._null_fd = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        try:
            return MORE if os.splice(source_fd, self._null_fd, _AT_ONCE, flags=os.SPLICE_F_NONBLOCK) else ENDED
        except BlockingIOError:
            return IDLE

    def _note(self, count: int, last_ns: int) -> int:
        try:
            last_ns = self.writer.record(count, last_ns)
        except OSError as e:
            say(f"cove-supervisor: the log's index takes no more: {e}")
        if self.rotation is not None:
            self.rotation.took(count)
        if self.is_window and self.writer.end - self._punched > 4 * _WINDOW_BYTES:
            upto = (self.writer.end - _WINDOW_BYTES) // _PAGE * _PAGE
            punch_hole(self.writer.payload_fd, self._punched, upto - self._punched)
            self._punched = upto
        return last_ns

    def close(self) -> None:
        for fd in (self.source_fd, self.relay_r, self.relay_w, self._null_fd):
            if fd >= 0:
                os.close(fd)
        self.writer.close()
        self.owner = self.rotation = None  # which know this pump
