"""A process that the supervisor has launched, from clone3 until its status is on record.

Where the status comes from: a child of ours is asked by waitid without reaping, recorded, then reaped. One that an
earlier supervisor launched is the keeper's child by now: the keeper reports it (`reported_status`). If that keeper was
killed too, the kernel knows (PIDFD_GET_INFO, 6.15), else nobody: then the status is `UNKNOWN`.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_PEEK

from vmagent.linux.compact_json import loads
from vmagent.linux.files import peek_pipe
from vmagent.linux.packets import open_socket
from vmagent.linux.process import pidfd_send_signal
from vmagent.linux.terminal import set_size
from vmagent.runtime.failure import launch_error
from vmagent.supervisor.loop import HANGUP, ONLY_HANGUP, READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vmagent.runtime.launch import Launched
    from vmagent.supervisor.connections import Connection
    from vmagent.supervisor.keeping import Keeping
    from vmagent.supervisor.loop import Loop

STARTING, RUNNING, FAILED, EXITED = "starting", "running", "failed", "exited"
UNKNOWN = 255
ABANDONED = "abandoned"  # the kind a child reports whose supervisor died before it said go
_KEEPER_LIMIT_S = 2.0
_KILLED = 128
_NO_TIMINGS: dict[str, float] = {}

# linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info of 64 bytes); mask bit 3 asks for the exit status
_PIDFD_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
_PIDFD_INFO_EXIT = 1 << 3


class Refused(Exception):
    """The request can't be carried out; the engine sees it as SupervisorError."""


class NotHeld(Exception):
    """The process that was asked for is not here or has ended."""


class Child:
    """What containers and execs have in common.

    There may be thousands: words that can be put together from others are not held, and who is called by the loop is
    the object itself. A method bound to it, or a list, takes as much as eight fields.
    """

    __slots__ = (
        "_console_fd",
        "_report_fd",
        "exit_code",
        "failure",
        "is_restored",
        "keeping",
        "loop",
        "master_fd",
        "pid",
        "pidfd",
        "reported_status",
        "retry",
        "started_at_ns",
        "state",
        "timings",
        "waiters",
    )

    def __init__(self, loop: Loop, keeping: Keeping) -> None:
        self.loop = loop
        self.keeping = keeping
        self.pid = 0
        self.pidfd = self.master_fd = self._report_fd = self._console_fd = -1
        self.state = STARTING
        self.started_at_ns = 0
        self.timings: dict[str, float] = _NO_TIMINGS  # of the start; kept until its request is answered
        self.failure: tuple[str, str] | None = None  # kind and message
        self.exit_code: int | None = None
        self.reported_status: int | None = None  # the status, from the keeper
        self.waiters: tuple[tuple[Connection, int], ...] = ()  # requests that are answered when it runs or has failed
        self.is_restored = False
        self.retry: tuple[dict[str, Any], list[int]] | None = None  # the request again, while it may be abandoned

    @property
    def is_abandoned(self) -> bool:
        """Its supervisor was killed before it could say go; nothing of the command was executed."""
        return self.state == FAILED and self.failure is not None and self.failure[0] == ABANDONED

    # For the heirs

    @property
    def key(self) -> str:
        """Names it in the keeper's store."""
        raise NotImplementedError

    def entry(self) -> dict[str, Any]:
        """The data of the keeper's entry: enough to make this object again."""
        raise NotImplementedError

    def kept_fds(self) -> dict[str, int]:
        """The descriptors of the heir that the keeper holds, by name."""
        return {}

    def on_running(self) -> None:
        """The command is being executed."""
        raise NotImplementedError

    def on_failed(self) -> None:
        """It never came to the command, see `failure`; the child is reaped."""
        raise NotImplementedError

    def on_exited(self, code: int) -> None:
        """It has ended with `code`. Tell that, put it on record, then `reap`."""
        raise NotImplementedError

    def on_master(self) -> None:
        """`master_fd` has come."""

    # The keeper's entry

    def put_all(self) -> None:
        """Tell a new keeper everything that the old one held. A run whose exit is on record needs nothing."""
        if self.state == EXITED and "exit_code" not in self.entry():
            return
        data = {"pid": self.pid, "started_at_ns": self.started_at_ns, **self.entry()}
        fds = {"pid": self.pidfd, "report": self._report_fd, "console": self._console_fd, "master": self.master_fd}
        fds.update(self.kept_fds())
        self.keeping.put(self.key, data, {name: fd for name, fd in fds.items() if fd >= 0})

    # Starting

    def launched(
        self, launched: Launched, entry: Mapping[str, Any] | None = None, kept_fds: Mapping[str, int] | None = None
    ) -> None:
        """Let the keeper know the process, then let it go. `entry`, `kept_fds`: of an entry that is not made yet."""
        self.pid, self.pidfd = launched.pid, launched.pidfd
        self._report_fd, self._console_fd = launched.report_fd, launched.console_fd
        self.started_at_ns = time.time_ns()
        fds = {**(kept_fds or {}), "pid": self.pidfd, "report": self._report_fd}
        if self._console_fd >= 0:
            fds["console"] = self._console_fd
        self.keeping.put(self.key, {**(entry or {}), "pid": self.pid, "started_at_ns": self.started_at_ns}, fds)
        launched.go()
        self._watch()

    def restore(self, data: Mapping[str, Any], fds: dict[str, int]) -> None:
        """Take over from an earlier supervisor what the keeper held."""
        self.is_restored = True
        self.pid = data["pid"]
        self.started_at_ns = data["started_at_ns"]
        self.reported_status = data.get("status")
        self.pidfd = fds.pop("pid")
        self._report_fd = fds.pop("report", -1)
        self._console_fd = fds.pop("console", -1)
        self.master_fd = fds.pop("master", -1)
        if self._report_fd < 0:
            self.state = RUNNING
        self._watch()

    def _watch(self) -> None:
        os.set_blocking(self.pidfd, True)  # WNOHANG is asked for at each wait
        if self._report_fd >= 0:
            os.set_blocking(self._report_fd, False)
            self.loop.add(self._report_fd, ONLY_HANGUP, self._on_report)
        if self._console_fd >= 0:
            self.loop.add(self._console_fd, READ, self._on_console)
        self.loop.add(self.pidfd, READ, self)

    def _on_console(self, _events: int) -> None:
        """Take the terminal's master: looked at (MSG_PEEK copies descriptors) and stored before the message goes."""
        if self._console_fd < 0:
            return
        sock = open_socket(os.dup(self._console_fd))
        try:
            data, ancillary, _, _ = sock.recvmsg(1, CMSG_SPACE(4), MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        finally:
            sock.close()
        for _level, _kind, payload in ancillary:
            self.master_fd = int.from_bytes(payload[:4], "little")
            os.set_blocking(self.master_fd, False)
            self.keeping.put(self.key, {}, {"master": self.master_fd})
        if self.master_fd >= 0 or not data:
            self.loop.drop(self._console_fd)
            self._console_fd = -1
            self.keeping.take(self.key, "console")
        if self.master_fd >= 0:
            self.on_master()

    def _on_report(self, events: int) -> None:
        if self._report_fd < 0 or not events & HANGUP:
            return
        try:
            # The pipe keeps it: should this supervisor be killed before the outcome is stored, the next reads the same.
            text = peek_pipe(self._report_fd)
        except BlockingIOError:
            return
        self._on_console(READ)
        for line in text.splitlines():
            said = loads(line.decode("utf-8", "surrogateescape"))
            if "error" in said:
                error = launch_error(said)
                self.failure = (error.kind, str(error))
            else:
                self.timings = said
        if not text:
            self.failure = ("other", "the process was killed before it could execute its command")
        self.loop.drop(self._report_fd)
        self._report_fd = -1
        if self.failure is not None:
            self.state = FAILED  # answered when the child is reaped and nothing of it is left
            return
        self.state = RUNNING
        self.on_running()
        self.keeping.take_later(self.key, "report")  # an heir would read the same in it

    # Ending

    def __call__(self, _events: int) -> None:
        """The pidfd is readable: the process has ended."""
        if self.state == STARTING:
            self._on_report(HANGUP)
        status = self._status()
        if status is None:
            return
        self.loop.remove(self.pidfd)
        if self.state == FAILED:
            self.reap()
            self.on_failed()
        elif self.state != EXITED:
            self.on_exited(status)

    def _status(self) -> int | None:
        """The exit code of the dead process, None if it is to come from the keeper. Does not reap."""
        try:
            info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return self._status_of_adopted()
        if info is None:
            return None
        return info.si_status if info.si_code == os.CLD_EXITED else _KILLED + info.si_status

    def _status_of_adopted(self) -> int | None:
        if self.reported_status is None:
            self.reported_status = _kernel_status(self.pidfd)
        if self.reported_status is None and self.keeping.link is None:
            self.reported_status = UNKNOWN
        if self.reported_status is None:
            self.loop.remove(self.pidfd)  # it stays readable
            self.loop.later(_KEEPER_LIMIT_S, self._on_keeper_silent)
        return self.reported_status

    def _on_keeper_silent(self) -> None:
        if self.reported_status is None:
            self.on_reaped(UNKNOWN)

    def on_reaped(self, status: int) -> None:
        """The keeper has reaped the process."""
        self.reported_status = status
        if self.state in (STARTING, RUNNING, FAILED):
            self(READ)

    def reap(self) -> None:
        """Let the kernel forget the process, after its status is on record."""
        try:
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return  # the keeper's

    def close(self) -> None:
        """Give back what this class holds."""
        for fd in (self.pidfd, self._report_fd, self._console_fd, self.master_fd):
            self.loop.drop(fd)
        self.pidfd = self._report_fd = self._console_fd = self.master_fd = -1

    def forget_retry(self) -> None:
        if self.retry is not None:
            for fd in self.retry[1]:
                os.close(fd)
            self.retry = None

    # Verbs

    def signal(self, signum: int) -> None:
        """Raises NotHeld if it does not run."""
        if self.state != RUNNING:
            raise NotHeld(f"{self.key} is not running")
        try:
            pidfd_send_signal(self.pidfd, signum)
        except ProcessLookupError:
            raise NotHeld(f"{self.key} has ended") from None

    def resize(self, rows: int, cols: int) -> None:
        """Raises Refused without a terminal."""
        if self.master_fd < 0:
            raise Refused(f"{self.key} has no terminal")
        set_size(self.master_fd, rows, cols)

    def answer(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Answer every request that waits for this start."""
        waiters, self.waiters = self.waiters, ()
        for connection, number in waiters:
            connection.send({**message, "a": number}, fds)
        self.timings = _NO_TIMINGS


def _kernel_status(pidfd: int) -> int | None:
    """The exit code of a process that somebody else has reaped; None where the kernel can't tell (yet)."""
    info = bytearray(64)  # struct pidfd_info: mask first, exit_code last
    struct.pack_into("<Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info, True)
    except OSError:
        return None
    if not struct.unpack_from("<Q", info, 0)[0] & _PIDFD_INFO_EXIT:
        return None
    status: int = struct.unpack_from("<i", info, 60)[0]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else _KILLED + os.WTERMSIG(status)
