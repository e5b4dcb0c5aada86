"""Turn a plan into a process: clone3, then all set-up in the child, then execve.

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

from vmagent.linux import process as linux
from vmagent.linux import terminal
from vmagent.linux.mounts import OPEN_TREE_CLONE, move_mount, open_tree
from vmagent.runtime import rootfs
from vmagent.runtime.cgroups import tree as cgroup_tree
from vmagent.runtime.encoding import encode_exec, encode_start
from vmagent.runtime.exposure import Exposed
from vmagent.runtime.failure import OTHER, LaunchError, failed
from vmagent.runtime.plantypes import has_extras
from vmagent.runtime.process import (
    become_and_exec,
    born_ignored,
    environment,
    kernel_facts,
    open_terminal,
    reset_signals,
    set_limits,
    set_oom_score,
    take_stdio,
)
from vmagent.runtime.spawn import Birth, Launched, Report, close_all, spawn
from vmagent.runtime.users import look_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmagent.runtime.cgroups import Cgroup
    from vmagent.runtime.extras import Extras
    from vmagent.runtime.plantypes import KernelFacts, Plan, Process, Rootfs, ShownCgroup
    from vmagent.runtime.spawner import Spawner

__all__ = ["Launched", "launch", "launch_exec", "prepare", "receive_master"]

_EXEC_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
)
_NAMESPACE_FILES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_kernel: list[KernelFacts] = []
_ignored: list[int] = []
_outside: list[str] = []


def prepare() -> None:
    """Collect what every child needs. `launch` calls it too; an early call makes the first start faster."""
    if not _kernel:
        _kernel.append(kernel_facts())
        _ignored.extend(born_ignored())
        words = [f"{name}_ns={os.stat(f'/proc/self/ns/{name}').st_ino}" for name in _NAMESPACE_FILES]
        _outside.append(" ".join(words))


def launch(
    plan: Plan,
    *,
    stdin_fd: int = -1,
    stdout_fd: int = -1,
    stderr_fd: int = -1,
    netns_fd: int = -1,
    start_fd: int = -1,
    started_fd: int = -1,
    spawner: Spawner | None = None,
    needs_spawner: bool = False,
) -> Launched:
    """Start the first process of a container; returns right after clone3, see `Launched`.

    Makes the cgroup (and removes it again if clone3 fails; after that it is the caller's to remove). A stream of -1 is
    the null device; with a terminal all three are ignored. The child waits for `go` before execve, and then, where
    there is one, for a byte from `start_fd` (a FIFO open for both directions), after which its report goes to
    `started_fd` (another). The caller keeps the descriptors that it passes. The `spawner` makes the process if it
    supports everything in the plan.
    Raises LaunchError; OSError only for clone3's own limits; Exposed if this process would have to fork and
    `needs_spawner` forbids that (then the cgroup stays: the caller may have made and configured it).
    """
    prepare()
    try:
        cgroup = cgroup_tree().create(plan.cgroup, plan.resources)
    except OSError as e:
        raise _cgroup_failure(plan.cgroup, e) from e
    except ValueError as e:
        raise LaunchError(OTHER, str(e)) from e
    start = _Start(plan, cgroup, (stdin_fd, stdout_fd, stderr_fd), netns_fd, (start_fd, started_fd))
    try:
        start.open_namespaces()
        launched = None
        if spawner is not None:
            launched = spawner.launch(start.encode, cgroup, is_terminal=plan.process.terminal)
        if launched is None and needs_spawner:
            raise Exposed
        return start.fork() if launched is None else launched
    except Exposed:
        raise
    except BaseException:
        cgroup.remove_unless_in_use()
        raise
    finally:
        start.close()


class _Start:
    """One call of `launch`, after its cgroup was made: what the spawner and a fork both need."""

    __slots__ = (
        "_birth",
        "_cgroup",
        "_clone_flags",
        "_joins",
        "_netns_fd",
        "_plan",
        "_shown",
        "_starting",
        "_streams",
        "_unshares_cgroup",
    )

    def __init__(
        self,
        plan: Plan,
        cgroup: Cgroup,
        streams: tuple[int, int, int],
        netns_fd: int,
        starting: tuple[int, int],
    ) -> None:
        tree = cgroup_tree()
        is_private = bool(plan.clone_flags & linux.CLONE_NEWCGROUP)
        self._plan = plan
        self._cgroup = cgroup
        self._streams = streams
        self._netns_fd = netns_fd
        self._starting = starting
        self._unshares_cgroup = tree.version == 1 and is_private  # the child does it, once it is in its cgroups
        self._clone_flags = plan.clone_flags & ~(linux.CLONE_NEWCGROUP if self._unshares_cgroup else 0)
        self._shown = tree.mount_plan(plan.cgroup, private=is_private)
        self._birth = Birth()
        self._joins: list[tuple[int, int]] = []  # all but the pid namespace, which is entered at birth

    def open_namespaces(self) -> None:
        """Open the namespaces that the plan joins by path. Raises LaunchError."""
        for join in self._plan.joins:
            fd = _open(join.path)
            if join.flag == linux.CLONE_NEWPID:
                self._birth.pid_ns_fd = fd
            else:
                self._joins.append((fd, join.flag))

    def close(self) -> None:
        """Close what `open_namespaces` has opened."""
        close_all(fd for fd, _ in self._joins)
        if self._birth.pid_ns_fd >= 0:
            os.close(self._birth.pid_ns_fd)

    def encode(self, pipes: tuple[int, int, int], cgroup_fd: int) -> tuple[bytes, list[int]] | None:
        """The request to the spawner; None if the spawner does not support the plan."""
        network = [] if self._netns_fd < 0 else [(self._netns_fd, linux.CLONE_NEWNET)]
        return encode_start(
            self._plan,
            _kernel[0],
            clone_flags=self._clone_flags,
            pipes=pipes,
            cgroup_fd=cgroup_fd,
            tasks=self._cgroup.entrances(),
            unshares_cgroup=self._unshares_cgroup,
            pid_ns_fd=self._birth.pid_ns_fd,
            joins=self._joins + network,
            shown_cgroups=self._shown,
            streams=self._streams,
            starting=self._starting,
            outside=_outside[0] if self._plan.tell_outside else None,
        )

    def fork(self) -> Launched:
        """Make the process by a fork of this one. Raises LaunchError, OSError."""
        process = self._plan.process
        extras = _extras(self._plan, process)
        prepared = None
        try:
            if extras is not None:
                prepared = extras.prepare(self._plan, self._birth, self._joins)
                extras.own_cgroup(self._cgroup)
                extras.own_streams(self._streams)
            program = _filter(process)
            return spawn(
                lambda report: self._be_child(report, program, extras),
                self._clone_flags,
                self._cgroup,
                self._birth,
                is_terminal=process.terminal,
                starting=self._starting,
            )
        finally:
            if prepared is not None:
                prepared.close()

    def _be_child(self, report: Report, program: linux.FilterProgram | None, extras: Extras | None) -> None:
        began = time.monotonic_ns()
        _enter_cgroup(self._cgroup, self._plan.process, self._plan.id, extras)
        if self._unshares_cgroup:
            linux.unshare(linux.CLONE_NEWCGROUP)
        if not self._birth.joins:
            for fd, flag in self._joins:
                _join(fd, flag)
        if self._netns_fd >= 0:
            _join(self._netns_fd, linux.CLONE_NEWNET)
        elif self._clone_flags & linux.CLONE_NEWNET:
            _loopback_up()
        _make_container(self._plan, self._plan.process, program, self._shown, report, began, self._streams, extras)


def _cgroup_failure(path: str, error: OSError) -> LaunchError:
    own_words = (error.strerror or "").removesuffix(os.strerror(error.errno or 0)).rstrip(": ")
    doing = f"error applying cgroup configuration: {error.filename or path}"
    return failed(f"{doing}: {own_words}" if own_words else doing, error)


def _extras(plan: Plan | None, process: Process) -> Extras | None:
    """The rarely used parts, imported only where they are needed; before the fork, because the child cannot import."""
    if process.extra is None and (plan is None or not has_extras(plan)):
        return None
    from vmagent.runtime.extras import Extras

    return Extras(plan, process)


def launch_exec(
    process: Process,
    *,
    container_pidfd: int,
    cgroup: Cgroup,
    stdin_fd: int = -1,
    stdout_fd: int = -1,
    stderr_fd: int = -1,
    spawner: Spawner | None = None,
    needs_spawner: bool = False,
) -> Launched:
    """Start another process in a running container, as `launch`; `process` is what `compile_exec` made.

    Raises LaunchError, also when the container has ended meanwhile.
    """
    prepare()
    if spawner is not None:

        def encode(pipes: tuple[int, int, int], cgroup_fd: int) -> tuple[bytes, list[int]] | None:
            return encode_exec(
                process,
                _kernel[0],
                namespaces=_EXEC_NAMESPACES,
                pipes=pipes,
                cgroup_fd=cgroup_fd,
                tasks=cgroup.entrances(),
                container_pidfd=container_pidfd,
                streams=(stdin_fd, stdout_fd, stderr_fd),
            )

        try:
            launched = spawner.launch(encode, cgroup, is_terminal=process.terminal)
        except ProcessLookupError as e:
            raise LaunchError(OTHER, "the container is not running") from e
        if launched is not None:
            return launched
    if needs_spawner:
        raise Exposed
    program = _filter(process)
    extras = _extras(None, process)
    namespaces = _EXEC_NAMESPACES | (0 if extras is None else extras.namespaces)

    def child(report: Report) -> None:
        began = time.monotonic_ns()
        _enter_cgroup(cgroup, process, "exec", extras)
        try:
            linux.setns(container_pidfd, namespaces)  # also changes root and working folder to the container's
        except OSError as e:
            raise failed("error joining the container's namespaces", e) from e
        if extras is not None and namespaces & linux.CLONE_NEWUSER:
            extras.become_root()
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        given = (stdin_fd, stdout_fd, stderr_fd)
        _take_streams(process, root_fd, given, report, bind_console=False)
        _finish(process, root_fd, program, report, began, began, None, extras)

    try:
        return spawn(child, 0, cgroup, Birth(container_pidfd), is_terminal=process.terminal)
    except ProcessLookupError as e:
        raise LaunchError(OTHER, "the container is not running") from e


def receive_master(console_fd: int) -> int:
    """The descriptor of the pty's master, sent by the child; the caller closes it.

    Raises BlockingIOError before it has arrived, EOFError if the child failed before it made a terminal.
    """
    console = _socket.socket(fileno=console_fd)
    try:
        data, ancillary, _, _ = console.recvmsg(1, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    finally:
        console.detach()
    for _level, _kind, payload in ancillary:
        return int(struct.unpack_from("i", payload)[0])
    raise EOFError("no terminal came" if not data else "a message without a terminal came")


def _enter_cgroup(cgroup: Cgroup, process: Process, name: str, extras: Extras | None) -> None:
    """The steps that need the host's namespaces: cgroup, session, scheduling."""
    if extras is not None:
        extras.before_cgroup()
    cgroup.enter()
    # The container must not trace this process while it still has descriptors of the host (as in CVE-2019-5736).
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    reset_signals(_ignored)
    os.setsid()
    set_oom_score(process.oom_score_adj)
    try:
        if extras is None or not extras.keeps_keyring:
            linux.join_session_keyring("_ses." + name)
    except OSError as e:
        if e.errno not in (38, 1):  # ENOSYS: a kernel without keyrings; EPERM: an outer seccomp forbids them
            raise failed("error joining a session keyring", e) from e
    if extras is not None:
        extras.in_cgroup()


def _make_container(
    plan: Plan,
    process: Process,
    program: linux.FilterProgram | None,
    shown_cgroups: list[ShownCgroup],
    report: Report,
    began: int,
    given: tuple[int, int, int],
    extras: Extras | None,
) -> None:
    outside = f"pid={os.readlink('/proc/self')} {_outside[0]}" if plan.tell_outside else None
    tree = plan.rootfs
    caller_umask = os.umask(0)
    null_fd = rootfs.open_null()  # opened in this mount namespace: only then can it be bound
    if extras is None:
        sources = rootfs.open_bind_sources(tree.mounts, {})
        root_fd = rootfs.enter_root(tree)
    else:
        sources = rootfs.open_bind_sources(tree.mounts, extras.sources)
        root_fd = rootfs.enter_root(tree, extras.root_fd)
    trees = rootfs.mount_all(root_fd, tree.mounts, sources, shown_cgroups)
    made = {} if extras is None else extras.devices
    rootfs.make_devices(root_fd, tree.devices, made, with_links=tree.default_links)
    _take_streams(process, root_fd, given, report, bind_console=True)
    _set_names(tree)
    rootfs.write_sysctls(tree.sysctls)
    try:
        os.close(rootfs.ensure(root_fd, process.cwd, is_folder=True))
    except OSError as e:
        raise failed(f"mkdir {process.cwd}", e) from e
    rootfs.mask(root_fd, tree.masked, null_fd, trees)
    rootfs.make_read_only(root_fd, tree.readonly_paths, trees)
    if extras is not None:
        extras.before_pivot(report, root_fd, caller_umask)
    rootfs.finish_tmpfs(root_fd, tree.late_read_only)
    rootfs.pivot(root_fd, readonly=tree.readonly, propagation=tree.propagation)
    _finish(process, root_fd, program, report, began, time.monotonic_ns(), outside, extras)


def _set_names(plan: Rootfs) -> None:
    try:
        if plan.hostname:
            linux.sethostname(plan.hostname)
        if plan.domainname:
            linux.setdomainname(plan.domainname)
    except OSError as e:
        raise failed("error setting the host name", e) from e


def _join(fd: int, flag: int) -> None:
    try:
        linux.setns(fd, flag)
    except OSError as e:
        raise failed("error joining a namespace", e) from e


def _take_streams(
    process: Process,
    root_fd: int,
    given: tuple[int, int, int],
    report: Report,
    *,
    bind_console: bool,
) -> None:
    """Take the given standard streams, or make a terminal in the container's devpts and send its master back."""
    if not process.terminal:
        is_absent = [fd < 0 or rootfs.is_null(fd) for fd in given]
        null_fd = rootfs.open_own_null(root_fd) if any(is_absent) else -1
        streams = [null_fd if absent else fd for fd, absent in zip(given, is_absent, strict=True)]
        # Copy them to numbers above 2 first, so that no stream is overwritten before it is used.
        take_stdio(_three([fcntl(fd, F_DUPFD_CLOEXEC, 3) for fd in streams]))
        return
    master, slave = open_terminal(root_fd, process.rows, process.columns)
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
    process: Process,
    root_fd: int,
    program: linux.FilterProgram | None,
    report: Report,
    began: int,
    mounted: int,
    outside: str | None,
    extras: Extras | None,
) -> None:
    identity = look_up(root_fd, process)
    env = environment(process, identity)
    first = 3
    if outside is not None:
        env["COVE_OUTSIDE"] = outside
    if extras is not None:
        extras.add_environment(env)
        first += extras.preserved_fds
    set_limits(process)
    _close_all_but(first, [report.fd, report.go_fd, report.start_fd, report.started_fd])
    if extras is not None:
        extras.prepare_start_hooks()

    def ready(listener_fd: int) -> None:
        if extras is not None and listener_fd >= 0:
            extras.hand_over(report, listener_fd)
        now = time.monotonic_ns()
        report.say({"mount_ms": (mounted - began) / 1e6, "setup_ms": (now - began) / 1e6})
        report.wait()

    def before_command() -> None:
        if extras is not None:
            extras.run_start_hooks(env)

    become_and_exec(process, identity, env, _kernel[0], program, ready, before_command)


def _close_all_but(first: int, keep: list[int]) -> None:
    """Close all from `first` on before the container's paths are used: no /proc/self/fd entry may lead to the host."""
    for fd in sorted(fd for fd in keep if fd >= first):
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


def _filter(process: Process) -> linux.FilterProgram | None:
    if process.seccomp is None:
        return None
    return linux.FilterProgram(binascii.a2b_base64(process.seccomp.instructions), process.seccomp.flags)


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
