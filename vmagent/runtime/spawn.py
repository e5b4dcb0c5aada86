"""clone3 with the pipes between launcher and child, and how a child ends that could not execute its command."""

from __future__ import annotations

import _socket
import errno
import os

from vmagent.linux import compact_json
from vmagent.linux import process as linux
from vmagent.runtime.failure import OTHER, LaunchError, failed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

    from vmagent.runtime.cgroups import Cgroup

_MAX_TEXT = 8191  # escaped, it fits into a pipe: the other side reads only after this end was closed


class Launched:
    """A child that is being set up. The caller owns all descriptors; -1 means none.

    `report_fd`: lines of JSON, {"mount_ms", "setup_ms"} when the child is ready, {"error", "kind"} if it failed; EOF
    without an error means that the command runs, EOF without any line that the child was killed. `go_fd`: one byte
    (`go`) makes the child execute the command; if it is closed before that, the child exits. `console_fd`: with a
    terminal, the socket from which `receive_master` reads the pty's master before the first line of the report.
    """

    __slots__ = ("console_fd", "go_fd", "pid", "pidfd", "report_fd")

    def __init__(self, pid: int, pidfd: int, report_fd: int, go_fd: int, console_fd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.report_fd = report_fd
        self.go_fd = go_fd
        self.console_fd = console_fd

    def go(self) -> None:
        """Let the child execute its command; closes `go_fd`. If it has died already, the pidfd shows that."""
        try:
            os.write(self.go_fd, b"g")
        except BrokenPipeError:
            pass
        finally:
            os.close(self.go_fd)
            self.go_fd = -1


class Report:
    """The child's ends of the pipes to its launcher."""

    __slots__ = ("console_fd", "fd", "go_fd", "start_fd", "started_fd")

    def __init__(self, fd: int, go_fd: int, console_fd: int, start_fd: int, started_fd: int) -> None:
        self.fd = fd
        self.go_fd = go_fd
        self.console_fd = console_fd
        self.start_fd = start_fd
        self.started_fd = started_fd

    def say(self, what: dict[str, Any]) -> None:
        os.write(self.fd, compact_json.dumps(what).encode() + b"\n")

    def ask(self, what: dict[str, Any]) -> dict[str, Any]:
        """Report something that the launcher has to answer with one line, before `go`. Raises LaunchError."""
        self.say(what)
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = os.read(self.go_fd, 1)
            if not byte:
                raise LaunchError("abandoned", "abandoned")
            line += byte
        answer: dict[str, Any] = compact_json.loads(line.decode())
        return answer

    def wait(self) -> None:
        """Wait for the launcher's `go` byte. End of file, when the launcher has died, is a failure."""
        if os.read(self.go_fd, 1) != b"g":
            raise LaunchError("abandoned", "abandoned")
        if self.start_fd >= 0:
            os.read(self.start_fd, 1)  # the `start` of the OCI runtime's command line writes here …
            if self.started_fd >= 0:
                self.fd = self.started_fd  # … and reads there what goes wrong from now on


class Birth:
    """The namespaces that the child starts in and that clone3 does not make itself; -1 for none."""

    __slots__ = ("as_host", "joins", "pid_ns_fd", "time_offsets", "user_ns_fd")

    def __init__(self, pid_ns_fd: int = -1) -> None:
        self.pid_ns_fd = pid_ns_fd
        self.user_ns_fd = -1
        self.joins: list[tuple[int, int]] = []  # with a user namespace: namespaces to be joined before it
        self.as_host: Callable[[], None] | None = None  # … and what has to be done before it
        self.time_offsets: str | None = None  # a new time namespace, as /proc/self/timens_offsets takes it


def spawn(
    child: Callable[[Report], None],
    flags: int,
    cgroup: Cgroup,
    birth: Birth,
    *,
    is_terminal: bool,
    starting: tuple[int, int] = (-1, -1),
) -> Launched:
    """Make a child that runs `child` and never returns. `starting`: see `launch`. Raises OSError, LaunchError."""
    ours: list[int] = []
    theirs: list[int] = []
    own_ns: list[tuple[int, int]] = []
    cgroup_fd = -1
    try:
        for reader, writer in (os.pipe2(os.O_CLOEXEC), tuple(reversed(os.pipe2(os.O_CLOEXEC)))):
            ours.append(reader)
            theirs.append(writer)
        if is_terminal:
            first, second = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
            first.setblocking(False)
            ours.append(first.detach())
            theirs.append(second.detach())
        cgroup_fd = cgroup.clone_fd()
        if birth.pid_ns_fd >= 0 and birth.user_ns_fd < 0:
            own_ns.append((os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC), linux.CLONE_NEWPID))
            linux.setns(birth.pid_ns_fd, linux.CLONE_NEWPID)  # for children only
        if birth.time_offsets is not None:
            own_ns.append((os.open("/proc/self/ns/time", os.O_RDONLY | os.O_CLOEXEC), linux.CLONE_NEWTIME))
            _new_time_namespace(birth.time_offsets)
        try:
            if birth.user_ns_fd >= 0:
                pid, pidfd = _clone_in(birth, flags, cgroup_fd)
            else:
                pid, pidfd = linux.clone3(flags, cgroup_fd)
            if pid == 0:
                report = Report(theirs[0], theirs[1], theirs[2] if is_terminal else -1, *starting)
                _be_child(child, report)
        finally:
            for fd, flag in own_ns:
                linux.setns(fd, flag)
    except BaseException:
        close_all(ours)
        raise
    finally:
        close_all(theirs)
        close_all(fd for fd, _ in own_ns)
        if cgroup_fd >= 0:
            os.close(cgroup_fd)
    return Launched(pid, pidfd, ours[0], ours[1], ours[2] if is_terminal else -1)


def _new_time_namespace(offsets: str) -> None:
    """For children only; its offsets can be set until the first one is in it (time_namespaces(7))."""
    try:
        linux.unshare(linux.CLONE_NEWTIME)
        if offsets:
            fd = os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, offsets.encode())
            finally:
                os.close(fd)
    except OSError as e:
        raise failed("error making a time namespace", e) from e


def _clone_in(birth: Birth, flags: int, cgroup_fd: int) -> tuple[int, int]:
    """clone3 inside the user namespace, so that the new namespaces of `flags` belong to it.

    An intermediate process joins the other namespaces as the host's root, enters the user namespace, and makes the
    actual child as its own sibling. Returns twice, as clone3 does. Raises OSError of the step that failed.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        between, between_fd = linux.clone3(0)
        if between == 0:
            code = 0
            try:
                # If the namespaces are another container's, its root could trace the child before it is undumpable.
                linux.prctl(linux.PR_SET_DUMPABLE, 0)
                if birth.as_host is not None:
                    birth.as_host()
                for fd, flag in birth.joins:
                    linux.setns(fd, flag)
                if birth.pid_ns_fd >= 0:  # in our PID namespace, so that clone3 returns the child's pid as we see it
                    linux.setns(birth.pid_ns_fd, linux.CLONE_NEWPID)
                linux.setns(birth.user_ns_fd, linux.CLONE_NEWUSER)
                code, _ = linux.clone3(flags | linux.CLONE_PARENT, cgroup_fd)
                if code == 0:
                    return 0, -1
            except OSError as e:
                code = -(e.errno or errno.EIO)
            finally:
                if code:
                    os.write(writer, b"%d" % code)
                    os._exit(0)
        os.close(between_fd)
        os.waitpid(between, 0)
        answer = int(os.read(reader, 16) or b"-5")
        if answer < 0:
            raise OSError(-answer, f"clone3 in a user namespace: {os.strerror(-answer)}")
        return answer, linux.pidfd_open(answer)  # our child: its pid is not reused before we reap it
    finally:
        os.close(reader)
        os.close(writer)


def _be_child(child: Callable[[Report], None], report: Report) -> NoReturn:
    """Run `child`; whatever happens, this process ends here, without a traceback: printing one would read files."""
    kind, text = OTHER, "the command came back from execve"
    try:
        child(report)
    except LaunchError as e:
        kind, text = e.kind, str(e)
    except OSError as e:
        text = f"{e.strerror or 'error'}: {reason(e)}"
    except BaseException as e:  # noqa: BLE001  (it is reported, and the process ends)
        text = f"{type(e).__name__}: {e}"
    try:
        report.say({"error": text[:_MAX_TEXT], "kind": kind})
    finally:
        os._exit(1)


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
