"""The default seccomp profile of containers: the decisions of docker's default profile, in a table of our own.

It allows the system calls that ordinary programs need. It refuses with EPERM: calls that change the host (mount,
kexec_load, swapon …), calls that inspect other processes or the kernel (kcmp, lookup_dcookie …), and calls that were
used to escape from containers (keyctl, userfaultfd, io_uring_*). A refused call is allowed if the container has the
capability that the kernel itself requires for it. `clone` and `unshare` with new namespaces need CAP_SYS_ADMIN.
`clone3` fails with ENOSYS, because a filter can't read its flags behind a pointer; libc then uses `clone`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
    flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
    ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at
    newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
    readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 statx
    symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat
    utimensat_time64 utimes vmsplice write writev listmount statmount
"""
_EXTENDED_ATTRIBUTES = """
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
    eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect poll ppoll ppoll_time64 pselect6
    pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64
"""
_SOCKETS = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
_MEMORY = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
    remap_file_pages
"""
_MESSAGES = """
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
"""
_PROCESSES = """
    capget capset execve execveat exit exit_group fork getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getpgid getpgrp getpid getppid getresgid getresgid32 getresuid getresuid32 getsid gettid getuid getuid32
    get_robust_list get_thread_area ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self pidfd_open pidfd_send_signal prctl restart_syscall rseq seccomp set_robust_list
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
    setpgid setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setsid setuid setuid32
    tgkill tkill uretprobe vfork wait4 waitid waitpid
"""
_SIGNALS_AND_LOCKS = """
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake pause rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack
    sigprocmask sigreturn
"""
_TIME = """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 times
"""
_SCHEDULING_AND_LIMITS = """
    getcpu getpriority getrandom getrlimit getrusage prlimit64 riscv_hwprobe sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
    setpriority setrlimit sysinfo ugetrlimit uname
"""
# Before Linux 4.8, ptrace could bypass a filter; Cove runs on no kernel that old.
_TRACING = "process_vm_readv process_vm_writev ptrace"

_ALWAYS = " ".join(
    (
        _FILES,
        _EXTENDED_ATTRIBUTES,
        _WAITING,
        _SOCKETS,
        _MEMORY,
        _MESSAGES,
        _PROCESSES,
        _SIGNALS_AND_LOCKS,
        _TIME,
        _SCHEDULING_AND_LIMITS,
        _TRACING,
    )
)
# Calls that are allowed with a capability; the kernel checks the same capability itself.
_WITH_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}
_WITH_ARCHITECTURE = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
}
# For each machine, as named by the kernel: the architectures of programs that run on it. Unlike docker's profile, ours
# does not allow x32: Debian's kernels refuse it too, and its second set of numbers has made holes in filters before.
_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_NEW_NAMESPACES = 0x7E020000  # linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_AF_ALG, _AF_VSOCK = 38, 40  # sockets to the kernel's crypto and to the host of a virtual machine
# linux/personality.h: PER_LINUX, PER_LINUX32, UNAME26, PER_LINUX32 | UNAME26, and the value that only queries
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
_EPERM, _ENOSYS = 1, 38


def default_profile(capabilities: Collection[str], arch: str) -> dict[str, Any]:
    """The OCI seccomp object for a container with these (bounding) `capabilities` ("CAP_…").

    `arch`: the machine as docker or the kernel names it. Raises KeyError for all but amd64 and arm64.
    """
    machine = _MACHINES.get(arch, arch)
    allowed = _ALWAYS.split() + _WITH_ARCHITECTURE[machine].split()
    for capability, names in _WITH_CAPABILITY.items():
        if capability in capabilities:
            allowed += names.split()
    rules: list[dict[str, Any]] = [
        {"names": sorted(set(allowed)), "action": "SCMP_ACT_ALLOW"},
        _when("socket", 0, "SCMP_CMP_LT", _AF_ALG),
        _when("socket", 0, "SCMP_CMP_EQ", _AF_ALG + 1),
        _when("socket", 0, "SCMP_CMP_GT", _AF_VSOCK),
        *(_when("personality", 0, "SCMP_CMP_EQ", persona) for persona in _PERSONALITIES),
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules += [
            _when("clone", 0, "SCMP_CMP_MASKED_EQ", _NEW_NAMESPACES),
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
        ]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": _ARCHITECTURES[machine],
        "syscalls": rules,
    }


def _when(name: str, index: int, op: str, value: int) -> dict[str, Any]:
    condition = {"index": index, "value": value, "valueTwo": 0, "op": op}
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]}


# Docker's names of architectures in `includes` and `excludes`, by the kernel's name of the machine.
_INCLUDED = {"x86_64": frozenset(("amd64", "x86", "x32")), "aarch64": frozenset(("arm64", "arm"))}
_PASSED_ON = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


def resolve_profile(profile: Mapping[str, Any], capabilities: Collection[str], arch: str) -> dict[str, Any]:
    """The OCI seccomp object of a profile in docker's file format, for a container with `capabilities`.

    That format adds `archMap` and, to each rule, `includes` and `excludes` by capability, architecture and kernel.
    Raises ValueError if the profile does not follow the format.
    """
    machine = _MACHINES.get(arch, arch)
    resolved: dict[str, Any] = {key: profile[key] for key in _PASSED_ON if profile.get(key) is not None}
    if profile.get("architectures") and profile.get("archMap"):
        raise ValueError("both 'architectures' and 'archMap' were specified in the seccomp profile, use either")
    if profile.get("architectures"):
        resolved["architectures"] = list(profile["architectures"])
    native = _ARCHITECTURES[machine][0]
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == native:
            resolved["architectures"] = [native, *(entry.get("subArchitectures") or ())]
    rules = []
    for rule in profile.get("syscalls") or ():
        if rule.get("name") and rule.get("names"):
            raise ValueError("both 'name' and 'names' were specified in the seccomp profile, use either")
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if not _includes(includes, capabilities, machine) or _excludes(excludes, capabilities, machine):
            continue
        kept = {key: rule[key] for key in ("action", "errnoRet", "args") if rule.get(key) is not None}
        rules.append({"names": list(rule.get("names") or [rule["name"]]), **kept})
    return {**resolved, "syscalls": rules}


def _includes(condition: Mapping[str, Any], capabilities: Collection[str], machine: str) -> bool:
    arches = condition.get("arches")
    return (
        all(capability in capabilities for capability in condition.get("caps") or ())
        and (not arches or not _INCLUDED[machine].isdisjoint(arches))
        and (not condition.get("minKernel") or _kernel_is_at_least(condition["minKernel"]))
    )


def _excludes(condition: Mapping[str, Any], capabilities: Collection[str], machine: str) -> bool:
    return (
        any(capability in capabilities for capability in condition.get("caps") or ())
        or not _INCLUDED[machine].isdisjoint(condition.get("arches") or ())
        or (bool(condition.get("minKernel")) and _kernel_is_at_least(condition["minKernel"]))
    )


def _kernel_is_at_least(version: str) -> bool:
    wanted, running = re.match(r"(\d+)\.(\d+)", version), re.match(r"(\d+)\.(\d+)", os.uname().release)
    if wanted is None or running is None:
        raise ValueError(f"not a kernel version: {version!r}")
    return (int(running[1]), int(running[2])) >= (int(wanted[1]), int(wanted[2]))
