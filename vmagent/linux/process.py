"""Processes and namespaces: clone3 (5.3), pidfds, setns by pidfd (5.8), prctl, keyrings."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from fcntl import ioctl

from vmagent.linux.syscall import fail, libc, syscall, syscall_with_gil

# linux/sched.h
CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

# linux/prctl.h
PR_SET_PDEATHSIG = 1
_SIGKILL = 9
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

_NS_GET_USERNS = 0xB701  # linux/nsfs.h
_NS_GET_PARENT = 0xB702

KEYCTL_JOIN_SESSION_KEYRING = 1
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8

# struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
# cgroup
_CLONE_ARGS = struct.Struct("=11Q")
_SIGCHLD = 17

libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
libc.unshare.argtypes = (ctypes.c_int,)
libc.setfsuid.argtypes = libc.setfsgid.argtypes = (ctypes.c_uint,)
libc.setfsuid.restype = libc.setfsgid.restype = ctypes.c_uint
libc.sethostname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
libc.setdomainname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)


def clone3(flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
    """A child as by fork, in new namespaces (`flags`) and, with `cgroup_fd`, born in that cgroup (v2, 5.7).

    Returns (pid, pidfd) in the parent, the pidfd CLOEXEC; (0, -1) in the child. Python's at-fork hooks do not run: the
    caller has one thread, and the child ends in execve or os._exit. With CLONE_PARENT the new process is a child of our
    parent, which gets the same exit signal for it as for us. Raises OSError.
    """
    pidfd = ctypes.c_int(-1)
    if cgroup_fd >= 0:
        flags |= CLONE_INTO_CGROUP
    packed = _CLONE_ARGS.pack(
        flags | CLONE_PIDFD,
        ctypes.addressof(pidfd),
        0,
        0,
        0 if flags & CLONE_PARENT else _SIGCHLD,
        0,
        0,
        0,
        0,
        0,
        max(cgroup_fd, 0),
    )
    args = ctypes.create_string_buffer(packed, len(packed))
    pid = syscall_with_gil("clone3", args, ctypes.c_size_t(len(packed)))
    return pid, (pidfd.value if pid else -1)


def setns(fd: int, flags: int) -> None:
    """Enter the namespace that `fd` is open on, or with a pidfd those of `flags` all at once. Raises OSError."""
    if libc.setns(fd, ctypes.c_int(flags)) < 0:
        fail("setns")


def owner_of(namespace_fd: int) -> int:
    """A descriptor of the user namespace that owns the one `namespace_fd` is open on; CLOEXEC. ioctl_nsfs(2), 4.9.

    Raises OSError EPERM where that one is not below ours.
    """
    return ioctl(namespace_fd, _NS_GET_USERNS)


def pid_namespaces_of(pid: int) -> list[int]:
    """The inode numbers of the PID namespace of `pid` and of those above it, up to ours. ioctl_nsfs(2), 4.9.

    Raises OSError: FileNotFoundError if there is no such process.
    """
    found: list[int] = []
    fd = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        try:
            found.append(os.fstat(fd).st_ino)
            above = ioctl(fd, _NS_GET_PARENT)
        except PermissionError:  # the next one is not below ours
            return found
        finally:
            os.close(fd)
        fd = above


def end_with_parent(parent_pid: int) -> bool:
    """Have the kernel kill this process when its parent `parent_pid` ends. False if the parent has already ended.

    PR_SET_PDEATHSIG is cleared when the file-system ids change (credentials, `commit_creds`): call it again then.
    """
    prctl(PR_SET_PDEATHSIG, _SIGKILL)
    return os.getppid() == parent_pid


def set_fs_ids(uid: int, gid: int) -> None:
    """Set the owner of files that this process creates: setfsuid(2), setfsgid(2).

    Leaving uid 0 drops the file-system capabilities from the effective set. Raises OSError EPERM for ids that this
    process may not take: the calls report no error themselves.
    """
    for call, number in ((libc.setfsgid, gid), (libc.setfsuid, uid)):
        call(number)
        if call(-1) != number:
            raise OSError(errno.EPERM, f"becoming {uid}:{gid} for the file system")


def unshare(flags: int) -> None:
    """New namespaces for the calling thread: unshare(2). Raises OSError."""
    if libc.unshare(flags) < 0:
        fail("unshare")


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """prctl(2). Raises OSError."""
    result: int = libc.prctl(option, arg2, arg3, arg4, arg5)
    if result < 0:
        fail("prctl")
    return result


def set_name(name: str) -> None:
    """The kernel's name of this thread, as `ps` shows it; 15 bytes are kept. PR_SET_NAME."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer))


def pidfd_open(pid: int) -> int:
    """A pidfd, CLOEXEC. Raises OSError ESRCH if there is no such process."""
    return syscall("pidfd_open", pid, pid, 0)


def pidfd_send_signal(pidfd: int, signum: int) -> None:
    """Send a signal. Raises OSError ESRCH if the process has ended and been reaped."""
    syscall("pidfd_send_signal", None, pidfd, signum, None, 0)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A copy of descriptor `fd` of another process (5.6), CLOEXEC, the caller's. Raises OSError EPERM, EBADF."""
    return syscall("pidfd_getfd", None, pidfd, fd, 0)


def close_range(first: int, last: int = 0xFFFFFFFF, *, cloexec: bool = False) -> None:
    """Close descriptors `first` to `last`, or mark them CLOEXEC (5.11): close_range(2). Raises OSError."""
    syscall("close_range", None, ctypes.c_uint(first), ctypes.c_uint(last), 4 if cloexec else 0)


def sethostname(name: str) -> None:
    """Raises OSError EINVAL past 64 bytes."""
    raw = os.fsencode(name)
    if libc.sethostname(raw, len(raw)) < 0:
        fail("sethostname", name)


def setdomainname(name: str) -> None:
    """Raises OSError EINVAL past 64 bytes."""
    raw = os.fsencode(name)
    if libc.setdomainname(raw, len(raw)) < 0:
        fail("setdomainname", name)


def ignored_signals() -> list[int]:
    """The numbers of the signals that this process ignores: proc(5), SigIgn."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"SigIgn:"):
                mask = int(line.split()[1], 16)
                return [number for number in range(1, 65) if mask >> (number - 1) & 1]
    return []


def default_signal(number: int) -> None:
    """Set the default action of the signal `number`; without libc, which refuses 32 and 33. Raises OSError."""
    syscall("rt_sigaction", number, number, bytes(32), None, ctypes.c_size_t(8))


def join_session_keyring(name: str) -> None:
    """A new session keyring for this process: keyctl(2). Raises OSError; ENOSYS on a kernel without keyrings."""
    syscall("keyctl", name, KEYCTL_JOIN_SESSION_KEYRING, os.fsencode(name))


class FilterProgram:
    """A struct sock_fprog kept alive beside its instructions; made in the parent, loaded in the child."""

    __slots__ = ("_fprog", "_instructions", "flags")

    def __init__(self, instructions: bytes, flags: int) -> None:
        self.flags = flags
        self._instructions = ctypes.create_string_buffer(instructions, len(instructions))
        # struct sock_fprog { unsigned short len; struct sock_filter *filter; }
        packed = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(self._instructions))
        self._fprog = ctypes.create_string_buffer(packed, len(packed))

    def load(self) -> int:
        """seccomp(SECCOMP_SET_MODE_FILTER); the listener's descriptor if the flags ask for one (5.0), else 0.

        Raises OSError EACCES without no_new_privs and CAP_SYS_ADMIN.
        """
        return syscall("seccomp", None, SECCOMP_SET_MODE_FILTER, self.flags, self._fprog)
