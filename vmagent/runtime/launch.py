"""A plan in, a process out: clone3, then all set-up in the child, then execve.

The child is a copy of the (single-threaded, small) caller and runs Python until execve. Rules that make that safe: the
caller has imported everything and frozen its garbage collector; the child imports nothing once it can see the
container's files; every descriptor is CLOEXEC; the child never returns from here.
"""

from __future__ import annotations

import _socket
import array
import binascii
import os
import stat
import struct
import time
from fcntl import F_DUPFD_CLOEXEC, fcntl, ioctl

from vmagent.linux import compact_json, terminal
from vmagent.linux import process as linux
from vmagent.linux.mounts import OPEN_TREE_CLONE, move_mount, open_tree
from vmagent.runtime import rootfs
from vmagent.runtime.cgroups import tree as cgroup_tree
from vmagent.runtime.failure import OTHER, LaunchError, failed, reason
from vmagent.runtime.process import (
    Kernel,
    become_and_exec,
    environment,
    open_terminal,
    reset_signals,
    set_limits,
    set_oom_score,
    take_stdio,
)
from vmagent.runtime.users import look_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

    from vmagent.runtime.cgroups import Cgroup

_EXEC_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
)
_NAMESPACE_FILES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_kernel: list[Kernel] = []
_outside: list[str] = []


class Launched:
    """A child under way. The caller owns all descriptors; -1 where there is none.

    `report_fd`: lines of JSON, {"mount_ms", "setup_ms"} when the child is ready, {"error", "kind"} if it gave up; EOF
    without an error = the command runs (no line at all: the child was killed). `go_fd`: one byte (`go`) lets it
    execve; closed unwritten it makes the child exit. `console_fd`: with a terminal, where `receive_master` finds the
    pty's master before the first line of the report.
    """

    __slots__ = ("console_fd", "go_fd", "pid", "pidfd", "report_fd")

    def __init__(self, pid: int, pidfd: int, report_fd: int, go_fd: int, console_fd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.report_fd = report_fd
        self.go_fd = go_fd
        self.console_fd = console_fd

    def go(self) -> None:
        """Let the child execute its command; closes `go_fd`. A child that is dead already is told by its pidfd."""
        try:
            os.write(self.go_fd, b"g")
        except BrokenPipeError:
            pass
        finally:
            os.close(self.go_fd)
            self.go_fd = -1


def prepare() -> None:
    """Find out what every child needs to know. `launch` does so by itself; called early it spares the first start."""
    if not _kernel:
        _kernel.append(Kernel())
        words = [f"{name}_ns={os.stat(f'/proc/self/ns/{name}').st_ino}" for name in _NAMESPACE_FILES]
        _outside.append(" ".join(words))


def launch(
    plan: dict[str, Any],
    *,
    stdin_fd: int = -1,
    stdout_fd: int = -1,
    stderr_fd: int = -1,
    netns_fd: int = -1,
    start_fd: int = -1,
) -> Launched:
    """Start the first process of a container; returns right after clone3, see `Launched`.

    Makes the cgroup (and removes it again if clone3 fails; after that it is the caller's to remove). A stream of -1 is
    the null device; with a terminal all three are ignored. The child waits for `go` before execve, and then, where
    there is one, for a byte from `start_fd` (a FIFO open for both directions). Descriptors given stay the caller's.
    Raises LaunchError; OSError only from clone3's own limits.
    """
    prepare()
    process = plan["process"]
    program = _filter(process)
    tree = cgroup_tree()
    try:
        cgroup = tree.create(plan["cgroup"], plan["resources"])
    except OSError as e:
        raise failed("error applying cgroup configuration: " + str(e.filename or plan["cgroup"]), e) from e
    except ValueError as e:
        raise LaunchError(OTHER, str(e)) from e
    clone_flags = plan["clone_flags"]
    is_private_cgroup = bool(clone_flags & linux.CLONE_NEWCGROUP)
    if tree.version == 1:
        clone_flags &= ~linux.CLONE_NEWCGROUP  # unshared by the child, once it is in its cgroups
    joins: list[tuple[int, int]] = []
    try:
        for join in plan["joins"]:
            joins.append((_open(join["path"]), join["flag"]))
        shown = tree.mount_plan(plan["cgroup"], private=is_private_cgroup)

        def child(report: _Report) -> None:
            began = time.monotonic_ns()
            cgroup.enter()
            _start(process, plan["id"])
            if tree.version == 1 and is_private_cgroup:
                linux.unshare(linux.CLONE_NEWCGROUP)
            for fd, flag in joins:
                if flag != linux.CLONE_NEWPID:
                    linux.setns(fd, flag)
            if netns_fd >= 0:
                linux.setns(netns_fd, linux.CLONE_NEWNET)
            elif clone_flags & linux.CLONE_NEWNET:
                _loopback_up()
            _make_container(plan, process, program, shown, report, began, (stdin_fd, stdout_fd, stderr_fd))

        pid_ns = next((fd for fd, flag in joins if flag == linux.CLONE_NEWPID), -1)
        return _spawn(child, clone_flags, cgroup, pid_ns, is_terminal=process["terminal"], start_fd=start_fd)
    except BaseException:
        cgroup.remove()
        raise
    finally:
        _close([fd for fd, _ in joins])


def launch_exec(
    process: dict[str, Any],
    *,
    container_pidfd: int,
    cgroup_path: str,
    stdin_fd: int = -1,
    stdout_fd: int = -1,
    stderr_fd: int = -1,
) -> Launched:
    """Start another process in a running container, as `launch`; `process` is what `compile_exec` made.

    Raises LaunchError, also when the container has ended meanwhile.
    """
    prepare()
    program = _filter(process)
    cgroup = cgroup_tree().at(cgroup_path)

    def child(report: _Report) -> None:
        began = time.monotonic_ns()
        cgroup.enter()
        _start(process, "exec")
        null_fd = rootfs.open_null()
        linux.setns(container_pidfd, _EXEC_NAMESPACES)  # also changes root and working folder to the container's
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        given = (stdin_fd, stdout_fd, stderr_fd)
        _take_streams(process, root_fd, given, null_fd, report, bind_console=False)
        _finish(process, root_fd, program, report, began, began)

    try:
        return _spawn(child, 0, cgroup, container_pidfd, is_terminal=process["terminal"], start_fd=-1)
    except ProcessLookupError as e:
        raise LaunchError(OTHER, "the container is not running") from e


def receive_master(console_fd: int) -> int:
    """The pty's master that the child has sent; the caller's. Raises BlockingIOError before it came, LaunchError never.

    Raises EOFError if the child gave up before it made one.
    """
    console = _socket.socket(fileno=console_fd)
    try:
        data, ancillary, _, _ = console.recvmsg(1, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    finally:
        console.detach()
    for _level, _kind, payload in ancillary:
        return int(struct.unpack_from("i", payload)[0])
    raise EOFError("no terminal came" if not data else "a message without a terminal came")


class _Report:
    """The child's ends of the pipes that tie it to the supervisor."""

    __slots__ = ("console_fd", "fd", "go_fd", "start_fd")

    def __init__(self, fd: int, go_fd: int, console_fd: int, start_fd: int) -> None:
        self.fd = fd
        self.go_fd = go_fd
        self.console_fd = console_fd
        self.start_fd = start_fd

    def say(self, what: dict[str, Any]) -> None:
        os.write(self.fd, compact_json.dumps(what).encode() + b"\n")

    def wait(self) -> None:
        """Until the supervisor says go. Its death is no go."""
        if os.read(self.go_fd, 1) != b"g":
            raise LaunchError("abandoned", "abandoned")
        if self.start_fd >= 0:
            os.read(self.start_fd, 1)  # the `start` of the OCI runtime's command line writes here


def _spawn(
    child: Callable[[_Report], None],
    flags: int,
    cgroup: Cgroup,
    pid_ns_fd: int,
    *,
    is_terminal: bool,
    start_fd: int,
) -> Launched:
    """clone3 with the pipes around it; the child runs `child` and never comes back."""
    ours: list[int] = []
    theirs: list[int] = []
    own_pid_ns = -1
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
        if pid_ns_fd >= 0:
            own_pid_ns = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            linux.setns(pid_ns_fd, linux.CLONE_NEWPID)  # for children only
        try:
            pid, pidfd = linux.clone3(flags, cgroup_fd)
            if pid == 0:
                report = _Report(theirs[0], theirs[1], theirs[2] if is_terminal else -1, start_fd)
                _be_child(child, report)
        finally:
            if pid_ns_fd >= 0:
                linux.setns(own_pid_ns, linux.CLONE_NEWPID)
    except BaseException:
        _close(ours)
        raise
    finally:
        _close(theirs)
        _close([fd for fd in (own_pid_ns, cgroup_fd) if fd >= 0])
    return Launched(pid, pidfd, ours[0], ours[1], ours[2] if is_terminal else -1)


def _be_child(child: Callable[[_Report], None], report: _Report) -> NoReturn:
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
        report.say({"error": text, "kind": kind})
    finally:
        os._exit(1)


def _start(process: dict[str, Any], name: str) -> None:
    """What comes before any namespace is entered."""
    # The container must not look into this process while it still holds the host's descriptors (CVE-2019-5736 and kin).
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    reset_signals()
    os.setsid()
    set_oom_score(process["oom_score_adj"])
    try:
        linux.join_session_keyring("_ses." + name)
    except OSError as e:
        if e.errno not in (38, 1):  # ENOSYS: a kernel without keyrings; EPERM: an outer seccomp forbids them
            raise failed("error joining a session keyring", e) from e


def _make_container(
    plan: dict[str, Any],
    process: dict[str, Any],
    program: linux.FilterProgram | None,
    shown_cgroups: list[dict[str, Any]],
    report: _Report,
    began: int,
    given: tuple[int, int, int],
) -> None:
    outside = f"pid={os.readlink('/proc/self')} {_outside[0]}" if plan["tell_outside"] else None
    os.umask(0)
    null_fd = rootfs.open_null()  # opened in this mount namespace: only then can it be bound
    mount_list = plan["mounts"]
    sources = rootfs.open_bind_sources(mount_list)
    root_fd = rootfs.enter_root(plan)
    rootfs.mount_all(root_fd, mount_list, sources, shown_cgroups)
    rootfs.make_devices(root_fd, plan["devices"], with_links=plan["default_links"])
    _take_streams(process, root_fd, given, null_fd, report, bind_console=True)
    if "uts" in plan["private"]:
        if plan["hostname"]:
            linux.sethostname(plan["hostname"])
        if plan["domainname"]:
            linux.setdomainname(plan["domainname"])
    rootfs.write_sysctls(plan["sysctl"])
    try:
        os.close(rootfs.ensure(root_fd, process["cwd"], is_folder=True))
    except OSError as e:
        raise failed(f"mkdir {process['cwd']}", e) from e
    rootfs.mask(root_fd, plan["masked"], null_fd)
    rootfs.make_read_only(root_fd, plan["readonly_paths"])
    rootfs.pivot(root_fd, readonly=plan["readonly"], propagation=plan["propagation"])
    _finish(process, root_fd, program, report, began, time.monotonic_ns(), outside)


def _take_streams(
    process: dict[str, Any],
    root_fd: int,
    given: tuple[int, int, int],
    null_fd: int,
    report: _Report,
    *,
    bind_console: bool,
) -> None:
    """Standard streams from a terminal of the container's own, whose master is sent back, or from those given."""
    if not process["terminal"]:
        # Copies above 2, so that none is overwritten before it is used.
        take_stdio(_three([fcntl(null_fd if fd < 0 else fd, F_DUPFD_CLOEXEC, 3) for fd in given]))
        return
    master, slave = open_terminal(root_fd, process["console_size"])
    console = _socket.socket(fileno=report.console_fd)
    console.sendmsg([b"c"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [master]))])
    console.detach()
    os.close(master)
    if bind_console:
        _bind_console(root_fd, slave)
    terminal.make_controlling(slave)
    take_stdio((slave, slave, slave))


def _bind_console(root_fd: int, slave: int) -> None:
    """/dev/console is the terminal itself, bound from its descriptor (CVE-2025-52565: by path it could be another)."""
    try:
        target = rootfs.ensure(root_fd, "/dev/console", is_folder=False)
        copy = open_tree(slave, "", OPEN_TREE_CLONE)
        move_mount(copy, target)
    except OSError as e:
        raise failed("error binding the terminal to /dev/console", e) from e
    os.close(copy)
    os.close(target)


def _finish(
    process: dict[str, Any],
    root_fd: int,
    program: linux.FilterProgram | None,
    report: _Report,
    began: int,
    mounted: int,
    outside: str | None = None,
) -> None:
    identity = look_up(
        root_fd, process["user"], process["uid"], process["gid"], process["groups"], process["group_add"]
    )
    env = environment(process, identity)
    if outside is not None:
        env["COVE_OUTSIDE"] = outside
    set_limits(process)
    _close_all_but([report.fd, report.go_fd, report.start_fd])

    def ready() -> None:
        now = time.monotonic_ns()
        report.say({"mount_ms": (mounted - began) / 1e6, "setup_ms": (now - began) / 1e6})
        report.wait()

    become_and_exec(process, identity, env, _kernel[0], program, ready)


def _close_all_but(keep: list[int]) -> None:
    """Everything above 2 goes before the container's paths are walked: no /proc/self/fd of ours leads to the host."""
    first = 3
    for fd in sorted(fd for fd in keep if fd > 2):
        if fd > first:
            linux.close_range(first, fd - 1)
        first = fd + 1
    linux.close_range(first)


def _loopback_up() -> None:
    """A new network namespace begins with `lo` down."""
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    request = struct.pack("16sh14x", b"lo", 0)  # struct ifreq: name, flags
    flags = struct.unpack_from("16xh", ioctl(control.fileno(), _SIOCGIFFLAGS, request))[0]
    ioctl(control.fileno(), _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    control.close()


def _filter(process: dict[str, Any]) -> linux.FilterProgram | None:
    seccomp = process["seccomp"]
    if seccomp is None:
        return None
    return linux.FilterProgram(binascii.a2b_base64(seccomp["filter"]), seccomp["flags"])


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise failed(f"error opening the namespace {path}", e) from e
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise LaunchError(OTHER, f"not a namespace: {path}")
    return fd


def _three(fds: list[int]) -> tuple[int, int, int]:
    return fds[0], fds[1], fds[2]


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
