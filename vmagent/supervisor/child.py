"""A process that the supervisor has launched, from clone3 until its exit status is recorded.

Where the exit status comes from:

- Our own child: waitid(2) with WNOWAIT reads the status; it is recorded, and only then is the process reaped.
- A process that an earlier supervisor launched is a child of the keeper, a subreaper. The keeper reaps it and reports
  the status (`reported_status`).
- If that keeper was killed too: the kernel, by PIDFD_GET_INFO (Linux 6.15). Older kernels do not have the status any
  more; then it is `UNKNOWN`.
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
ABANDONED = "abandoned"  # a child reports this kind of failure if its supervisor died before letting it continue
_KEEPER_LIMIT_S = 2.0
_KILLED = 128
_NO_TIMINGS: dict[str, float] = {}

# linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info of 64 bytes); mask bit 3 asks for the exit status
_PIDFD_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
_PIDFD_INFO_EXIT = 1 << 3


class Refused(Exception):
    """The request cannot be carried out; the engine's client raises SupervisorError."""


class NotHeld(Exception):
    """The supervisor has no such container or exec, or its process has ended."""


class Child:
    """The common base of `Run` (a container's first process) and `Exec`.

    There may be thousands of these objects, so they are kept small: strings that can be computed are not stored, and
    the loop's callback is the object itself (`__call__`), since a bound method takes as much memory as eight fields.
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
        self.timings: dict[str, float] = _NO_TIMINGS  # of the start; kept until the reply to its request is sent
        self.failure: tuple[str, str] | None = None  # kind and message
        self.exit_code: int | None = None
        self.reported_status: int | None = None  # the exit status that the keeper reported
        self.waiters: tuple[tuple[Connection, int], ...] = ()  # requests that wait for the outcome of the start
        self.is_restored = False
        # A copy of the start request and its descriptors, in case the start turns out to be abandoned.
        self.retry: tuple[dict[str, Any], list[int]] | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether its supervisor was killed before it let the child continue: the command was not executed."""
        return self.state == FAILED and self.failure is not None and self.failure[0] == ABANDONED

    # Overridden by the subclasses

    @property
    def key(self) -> str:
        """The key of its entry in the keeper's store."""
        raise NotImplementedError

    def entry(self) -> dict[str, Any]:
        """The data of its entry in the keeper's store, from which a new supervisor recreates this object."""
        raise NotImplementedError

    def kept_fds(self) -> dict[str, int]:
        """The subclass's descriptors that the keeper holds copies of, by name."""
        return {}

    def on_running(self) -> None:
        """Called when execve of the command has succeeded."""
        raise NotImplementedError

    def on_failed(self) -> None:
        """Called when the start has failed (see `failure`) and the child has been reaped."""
        raise NotImplementedError

    def on_exited(self, code: int) -> None:
        """Called when the process has ended with status `code`: send the event, record the exit, then call `reap`."""
        raise NotImplementedError

    def on_master(self) -> None:
        """Called when the terminal's master has arrived in `master_fd`."""

    # The keeper's entry

    def put_all(self) -> None:
        """Send a new keeper the whole entry. A container's run whose exit is recorded on disk needs none."""
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
        """Store the process with the keeper, then let it execute its command.

        `entry`, `kept_fds`: what the keeper's entry must have besides, if the caller has not created it yet.
        """
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
        """Take over a process of an earlier supervisor: `data` and `fds` are the keeper's entry."""
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
        os.set_blocking(self.pidfd, True)  # as a new one is: every waitid passes WNOHANG
        self._watch()

    def _watch(self) -> None:
        if self._report_fd >= 0:
            os.set_blocking(self._report_fd, False)
            self.loop.add(self._report_fd, ONLY_HANGUP, self._on_report)
        if self._console_fd >= 0:
            self.loop.add(self._console_fd, READ, self._on_console)
        self.loop.add(self.pidfd, READ, self)

    def _on_console(self, _events: int) -> None:
        """Receive the terminal's master over the console socket (SCM_RIGHTS).

        The message is only peeked at (MSG_PEEK duplicates its descriptors) until the keeper has the master: if this
        supervisor is killed in between, the next one receives it again.
        """
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
            # Peek: if this supervisor is killed before it has stored the outcome, the next one reads the same report.
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
            self.state = FAILED  # the reply is sent once the child has been reaped and cleaned up
            return
        self.state = RUNNING
        self.on_running()
        self.keeping.take_later(self.key, "report")  # not urgent: a new supervisor would read the same report again

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
        """The exit code of the ended process without reaping it; None if the keeper has yet to report it."""
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
            self.loop.remove(self.pidfd)  # the pidfd of an ended process is always readable
            self.loop.later(_KEEPER_LIMIT_S, self._on_keeper_silent)
        return self.reported_status

    def _on_keeper_silent(self) -> None:
        if self.reported_status is None:
            self.on_reaped(UNKNOWN)

    def on_reaped(self, status: int) -> None:
        """Called with the exit status when the keeper has reaped the process, or with UNKNOWN if it does not report."""
        self.reported_status = status
        if self.state in (STARTING, RUNNING, FAILED):
            self(READ)

    def reap(self) -> None:
        """Reap the process. Call it after the exit status is recorded."""
        try:
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return  # not our child: the keeper reaps it

    def close(self) -> None:
        """Close the descriptors of this class."""
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
        """Send a signal. Raises NotHeld if the process is not running."""
        if self.state != RUNNING:
            raise NotHeld(f"{self.key} is not running")
        try:
            pidfd_send_signal(self.pidfd, signum)
        except ProcessLookupError:
            raise NotHeld(f"{self.key} has ended") from None

    def resize(self, rows: int, cols: int) -> None:
        """Set the size of the terminal. Raises Refused if there is none."""
        if self.master_fd < 0:
            raise Refused(f"{self.key} has no terminal")
        set_size(self.master_fd, rows, cols)

    def answer(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send the reply to every request that waits for this start."""
        waiters, self.waiters = self.waiters, ()
        for connection, number in waiters:
            connection.send({**message, "a": number}, fds)
        self.timings = _NO_TIMINGS


def _kernel_status(pidfd: int) -> int | None:
    """The exit code of a process that another process has reaped; None if the kernel does not know it (yet)."""
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
