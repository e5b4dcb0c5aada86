"""The supervisor's side of the spawner, the small native process that forks for it (vmagent/native/spawner).

A fork of the interpreter costs half a millisecond, and its child some 800 page faults before execve: a reference
count that changes makes the kernel copy its page. The spawner has a few pages. CLONE_PARENT makes its children ours.
"""

from __future__ import annotations

import _socket
import array
import errno
import os
import select
import signal
import struct

from vmagent.linux import process as linux
from vmagent.linux.interpreter import open_protected
from vmagent.runtime.plantypes import VERSION
from vmagent.runtime.spawn import Launched, close_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from vmagent.runtime.cgroups import Cgroup

    # (report's write end, go's read end, console's socket or -1), the cgroup's descriptor or -1 → `encoding`'s result
    Encode = Callable[[tuple[int, int, int], int], tuple[bytes, list[int]] | None]

_ANSWER = struct.Struct("<qq")  # pid of the new process or -errno; pid of an ended helper to be reaped, or 0
_ANSWER_LIMIT_MS = 5_000  # a fork takes 0.1 ms; the caller is blocked meanwhile
_VERSION = VERSION.to_bytes(4, "little")
_NAME = "cove-spawner"  # of its children too, until execve
_PROGRAM = os.path.dirname(os.path.dirname(__file__)) + "/native/bin/spawner-" + os.uname().machine


class SpawnerLost(Exception):
    """The spawner has died or does not reply. A child that it may have begun never executes its command."""


class Spawner:
    """A running spawner, started by the constructor, and again by `launch` if it has died. One request at a time."""

    __slots__ = ("_channel", "_is_checked", "_known", "_pid", "_refuse", "_refused")

    def __init__(
        self, known: Callable[[], Collection[int]] = tuple, refuse: Callable[[str], object] = lambda _: None
    ) -> None:
        """`known`: the processes that `launch` has made for its caller and that are not reaped yet.

        `refuse` is called with the reason when the program turns out to be of another version than this process: it is
        not used then, and `launch` returns None until a program of this version can be started.
        Raises OSError: FileNotFoundError where the program was not built.
        """
        self._known = known
        self._refuse = refuse
        self._refused = (0, 0)  # the program that was refused: it is not started again
        self._pid = 0  # 0: there is none
        self._start()

    def _start(self) -> None:
        program_fd = open_protected(_PROGRAM)
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            fd = theirs.fileno()
            os.set_inheritable(fd, True)
            arguments = [_NAME, str(fd), str(VERSION)]
            self._pid = os.posix_spawn(f"/proc/self/fd/{program_fd}", arguments, {})
            theirs.close()
        finally:
            os.close(program_fd)
        self._channel = ours
        self._is_checked = False

    def _is_of_this_version(self) -> bool:
        """Read the version word that a new spawner sends first: the checksum of its table of fields.

        One that sends another word, or ends without one, is refused. Raises SpawnerLost if it was killed or does not
        answer.
        """
        if not self._is_answered():
            raise SpawnerLost
        try:
            word = self._channel.recv(16)
        except OSError as e:
            raise SpawnerLost from e
        if word == _VERSION:
            self._is_checked = True
            return True
        if word:
            found = f"its requests have version {word.hex()}, ours {_VERSION.hex()}"
        else:
            pid, self._pid = self._pid, 0
            self._channel.close()
            if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
                raise SpawnerLost
            found = "it ended at once"
        self._refused = _identity()
        self._refuse(f"{_PROGRAM} is of another version of Cove: {found}")
        self.close()
        return False

    def close(self) -> None:
        """End it, and wait for that."""
        if self._pid == 0:
            return
        self._channel.close()
        pid, self._pid = self._pid, 0  # after it is reaped, its pid may be reused
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def launch(self, encode: Encode, cgroup: Cgroup, *, is_terminal: bool) -> Launched | None:
        """Make the process that `encode` asks for, born in `cgroup` where that is possible.

        None if `encode` returned None or too much, if the spawner died meanwhile (then a new one was started), or if
        there is no spawner of this version. Raises OSError of clone3, or of starting the spawner again.
        """
        if self._pid == 0 and not self._is_started_again():
            return None
        ours: list[int] = []
        theirs: list[int] = []
        cgroup_fd = -1
        pid = -1
        try:
            report_fd, report_end = os.pipe2(os.O_CLOEXEC)
            ours.append(report_fd)
            theirs.append(report_end)
            go_end, go_fd = os.pipe2(os.O_CLOEXEC)
            ours.append(go_fd)
            theirs.append(go_end)
            console_fd = console_end = -1
            if is_terminal:
                first, second = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
                first.setblocking(False)
                console_fd, console_end = first.detach(), second.detach()
                ours.append(console_fd)
                theirs.append(console_end)
            cgroup_fd = cgroup.clone_fd()
            if not self._is_checked and not self._is_of_this_version():
                return None
            request = encode((report_end, go_end, console_end), cgroup_fd)
            if request is not None and (pid := self._ask(*request)) > 0:
                launched = Launched(pid, linux.pidfd_open(pid), report_fd, go_fd, console_fd)
                pid, ours = -1, []  # the caller's from here on
                return launched
        except SpawnerLost:
            self._restart()
        finally:
            close_all(theirs)
            close_all(ours)
            if cgroup_fd >= 0:
                os.close(cgroup_fd)
            if pid > 0:
                _end(pid)
        return None

    def _ask(self, message: bytes, fds: list[int]) -> int:
        """The new process's pid; -1 if the message is larger than this host's socket buffers (wmem_default) allow.

        Raises SpawnerLost, OSError.
        """
        try:
            ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", fds))]
            self._channel.sendmsg([message], ancillary, _socket.MSG_NOSIGNAL)
            if not self._is_answered():
                raise SpawnerLost
            answer = self._channel.recv(16)
        except OSError as e:
            if e.errno == errno.EMSGSIZE:
                return -1
            if e.errno in (errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS, errno.ENOMEM):
                raise
            raise SpawnerLost from e
        if len(answer) < 16:
            raise SpawnerLost
        number, helper = _ANSWER.unpack(answer)
        if helper:
            os.waitpid(helper, 0)
        if number < 0:
            raise OSError(-number, f"clone3: {os.strerror(-number)}")
        return int(number)

    def _is_answered(self) -> bool:
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        return bool(poll.poll(_ANSWER_LIMIT_MS))

    def _is_started_again(self) -> bool:
        """False if the program is missing, as it is for a moment in an upgrade, or was refused. Raises OSError."""
        try:
            if _identity() == self._refused:
                return False
            self._start()
        except FileNotFoundError:
            return False
        return True

    def _restart(self) -> None:
        self.close()
        self._end_orphan()
        self._is_started_again()

    def _end_orphan(self) -> None:
        """Reap a child that the spawner forked before it died: by CLONE_PARENT it is this process's own child."""
        known = self._known()
        for pid in _children():
            if pid not in known and _name_of(pid) == _NAME:
                _end(pid)


def _identity() -> tuple[int, int]:
    """Changes when the program is replaced. Raises OSError."""
    info = os.stat(_PROGRAM)
    return info.st_ino, info.st_mtime_ns


def _children() -> list[int]:
    """The pids of this process's children, zombies too; none on a kernel without CONFIG_PROC_CHILDREN."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:  # CONFIG_PROC_CHILDREN
        return []


def _name_of(pid: int) -> str:
    with open(f"/proc/{pid}/comm", "rb") as file:
        return file.read().decode("ascii", "replace").rstrip("\n")


def _end(pid: int) -> None:
    """Kill and reap a child that has not executed its command yet."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
