"""The last steps before execve: terminal, identity, capabilities, seccomp, and finding the command.

Runs in the child, inside the container: nothing may be imported, and no path of the container is trusted.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` would load enum; typeshed has no stub of this one
import errno
import os
import resource
import stat

from vmagent.linux import capabilities, mounts, terminal
from vmagent.linux import process as linux
from vmagent.runtime.failure import NOT_FOUND, OTHER, PERMISSION, LaunchError, failed, reason
from vmagent.runtime.plantypes import KernelFacts
from vmagent.runtime.rootfs import is_null

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmagent.runtime.plantypes import Capabilities, Process
    from vmagent.runtime.users import Identity


_RESET = (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT, _signal.SIGTERM, _signal.SIGCHLD, _signal.SIGHUP)


def kernel_facts() -> KernelFacts:
    """This process's capabilities and the kernel's highest one; found once in the parent, for all children."""
    return KernelFacts(capabilities.capget()[1], capabilities.last_capability())


def born_ignored() -> list[int]:
    """The signals that this process was started with as ignored and that Python has left so.

    A shell ignores SIGQUIT for what it starts with `&`; a parent that uses glibc's posix_spawn ignores 32 and 33.
    """
    return [number for number in linux.ignored_signals() if number not in _RESET]


def open_terminal(root_fd: int, rows: int, columns: int) -> tuple[int, int]:
    """(master, slave) of a new terminal of the container's own devpts. Raises LaunchError."""
    try:
        master = mounts.open_in_root(root_fd, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        if mounts.filesystem_type(master) != mounts.DEVPTS_SUPER_MAGIC:
            raise LaunchError(OTHER, "/dev/pts in the container is not a devpts file system")
        slave = terminal.unlock_and_open_peer(master)
        if rows or columns:
            terminal.set_size(master, rows, columns)
    except OSError as e:
        raise failed("error opening a terminal in the container's /dev/pts", e) from e
    return master, slave


def take_stdio(fds: tuple[int, int, int]) -> None:
    """Make `fds` (none of them below 3) the standard streams. Raises OSError."""
    for number, fd in enumerate(fds):
        os.dup2(fd, number, inheritable=True)


def set_limits(process: Process) -> None:
    """Resource limits. Raises LaunchError."""
    for number, soft, hard in process.rlimits:
        try:
            resource.setrlimit(number, (signed(soft), signed(hard)))
        except (OSError, ValueError) as e:
            # Python says ValueError where the kernel said EINVAL or EPERM.
            number_of = errno.EINVAL if soft > hard else errno.EPERM
            text = reason(e if isinstance(e, OSError) else OSError(number_of, ""))
            raise LaunchError(OTHER, f"error setting rlimit type {number}: {text}") from e


def signed(limit: int) -> int:
    """A limit as Python's resource module takes it: its 64 bits as a signed number, -1 for no limit."""
    return limit - 2**64 if limit >= 2**63 else limit


def set_oom_score(value: int | None) -> None:
    """Call it while /proc is still the host's. Raises LaunchError."""
    if value is None:
        return
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        if int(os.read(fd, 32)) != value:
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, str(value).encode())
        os.close(fd)
    except OSError as e:
        raise failed(f"error setting oom_score_adj to {value}", e) from e


def environment(process: Process, identity: Identity) -> dict[str, str]:
    """The environment of the command, HOME included."""
    env = dict(entry.split("=", 1) for entry in process.environment)
    if not process.has_home:
        env["HOME"] = identity.home
    return env


def become_and_exec(
    process: Process,
    identity: Identity,
    env: dict[str, str],
    kernel: KernelFacts,
    program: linux.FilterProgram | None,
    ready: Callable[[int], None],
    before_command: Callable[[], None],
) -> None:
    """Drop all rights that the command must not have, and execute it; returns only by raising LaunchError.

    `ready` is called when only seccomp, the last capabilities and execve are left: it reports, and waits for `go`. A
    filter with a listener is loaded earlier, because the listener has to be handed over while `create` waits; `ready`
    gets its descriptor, else -1. `before_command` is called right before execve, when this process has exactly the
    rights of the command.
    """
    _give_stdio_to(identity)
    wanted = process.capabilities
    is_there = _change_folder(process.cwd, may_fail=True)
    try:
        if wanted is not None:
            capabilities.drop_bounding(wanted.bounding, kernel.last_capability)
        linux.prctl(linux.PR_SET_KEEPCAPS, 1)
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        linux.prctl(linux.PR_SET_KEEPCAPS, 0)
        os.umask(process.umask)
        final = _final_sets(wanted, identity, kernel)
        # Add SYS_ADMIN until the seccomp filter is loaded, because the kernel requires it unless no_new_privs is set.
        # All other effective capabilities are the command's own already, so path lookups below have its rights.
        capabilities.capset(final[0] | capabilities.SYS_ADMIN, kernel.permitted, final[2])
    except OSError as e:
        raise failed(f"error changing to user {identity.uid}:{identity.gid}", e) from e
    if not is_there:
        _change_folder(process.cwd, may_fail=False)
    path = find_command(process.args[0], env.get("PATH", ""))
    if program is not None and program.flags & linux.SECCOMP_FILTER_FLAG_NEW_LISTENER:
        ready(_apply(process, program, final, kernel))
    else:
        ready(-1)
        _apply(process, program, final, kernel)
    before_command()
    try:
        os.execve(path, process.args, env)
    except OSError as e:
        kind = PERMISSION if e.errno in (errno.EACCES, errno.ENOEXEC, errno.EPERM) else OTHER
        kind = NOT_FOUND if e.errno == errno.ENOENT else kind
        raise LaunchError(kind, f"exec {path}: {reason(e)}") from e


def _apply(
    process: Process, program: linux.FilterProgram | None, final: tuple[int, int, int], kernel: KernelFacts
) -> int:
    """The last capabilities and seccomp; the filter's listener, if it has one. Raises LaunchError."""
    listener_fd = -1
    wanted = process.capabilities
    try:
        if process.no_new_privileges:
            linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        elif program is not None:
            listener_fd = program.load()
        capabilities.capset(*final)
        if wanted is not None:
            capabilities.raise_ambient(wanted.ambient & final[1] & final[2], kernel.last_capability)
        if process.no_new_privileges and program is not None:
            listener_fd = program.load()
    except OSError as e:
        raise failed("error applying capabilities and seccomp", e) from e
    return listener_fd


def _final_sets(wanted: Capabilities | None, identity: Identity, kernel: KernelFacts) -> tuple[int, int, int]:
    """(effective, permitted, inheritable), without capabilities that this kernel or process lacks, as with runc."""
    if wanted is None:
        everything = kernel.permitted if identity.uid == 0 else 0
        return everything, everything, 0
    permitted = wanted.permitted & kernel.permitted
    return wanted.effective & permitted, permitted, wanted.inheritable & kernel.permitted


def _give_stdio_to(identity: Identity) -> None:
    """Make the user the owner of the stream pipes, for it to open /dev/stdout. Not of the null device."""
    for fd in (0, 1, 2):
        info = os.fstat(fd)
        if info.st_uid == identity.uid or is_null(fd) or not _may_be_given(info):
            continue
        try:
            os.fchown(fd, identity.uid, -1)
        except OSError as e:
            if e.errno not in (errno.EINVAL, errno.EPERM, errno.EROFS):  # a file system without owners keeps its own
                raise failed("error giving the standard streams to the user", e) from e


def _may_be_given(info: os.stat_result) -> bool:
    return stat.S_ISFIFO(info.st_mode) or stat.S_ISCHR(info.st_mode) or stat.S_ISSOCK(info.st_mode)


def _change_folder(cwd: str, *, may_fail: bool) -> bool:
    """Enter the working directory, and make sure that it lies inside (CVE-2024-21626). Raises LaunchError.

    Called before the user changes: the command need not have the right to enter it. On a file system where root has
    less rights than the user (NFS) that is refused, so with `may_fail` such a refusal returns False, and the caller
    tries again as the user.
    """
    try:
        os.chdir(cwd)
    except OSError as e:
        if may_fail and e.errno in (errno.EACCES, errno.EPERM):
            return False
        raise failed(f'chdir to cwd ("{cwd}") set in config.json failed', e, PERMISSION) from e
    try:
        inside = os.getcwd().startswith("/")
    except OSError:
        inside = False
    if not inside:
        raise LaunchError(OTHER, "the working directory is outside of the container's file system")
    return True


def find_command(name: str, path: str) -> str:
    """The path of the command `name`, searched in PATH if it has no slash. Raises LaunchError in docker's wording."""
    if "/" in name:
        problem = _executable(name)
        if problem is None:
            return name
        kind, text = problem
        raise LaunchError(kind, f'exec: "{name}": {text}')
    if name not in ("", ".", ".."):
        for folder in path.split(":"):
            candidate = f"{folder or '.'}/{name}"
            if _executable(candidate) is None:
                return candidate
    raise LaunchError(NOT_FOUND, f'exec: "{name}": executable file not found in $PATH')


def _executable(path: str) -> tuple[str, str] | None:
    """None if `path` can be executed, else the kind of the failure and its text."""
    try:
        info = os.stat(path)
    except OSError as e:
        kind = PERMISSION if e.errno == errno.EACCES else NOT_FOUND
        return kind, f"stat {path}: {reason(e)}"
    if stat.S_ISDIR(info.st_mode) or not os.access(path, os.X_OK, effective_ids=True):
        return PERMISSION, "permission denied"
    return None


def reset_signals(ignored: list[int]) -> None:
    """Restore the default action of signals that Python ignores, and of `ignored`: execve would keep them ignored."""
    for number in _RESET:
        _signal.signal(number, _signal.SIG_DFL)
    for number in ignored:
        linux.default_signal(number)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
