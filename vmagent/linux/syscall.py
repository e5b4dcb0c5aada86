"""System calls that Python's `os` does not offer: their numbers per machine, and errors as OSError.

Each module beside this one holds thin functions of one subject, without policy. None of those that the supervisor loads
imports typing, re or dataclasses: each megabyte of its memory makes every clone3 slower (page tables are copied).
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

MACHINE = os.uname().machine

# asm/unistd_64.h, asm-generic/unistd.h. From 424 on, every architecture has the same numbers.
_NUMBERS = {
    "x86_64": {
        "rt_sigaction": 13,
        "pivot_root": 155,
        "seccomp": 317,
        "capget": 125,
        "capset": 126,
        "keyctl": 250,
        "bpf": 321,
        "ioprio_set": 251,
        "sched_setattr": 314,
        "personality": 135,
    },
    "aarch64": {
        "rt_sigaction": 134,
        "pivot_root": 41,
        "seccomp": 277,
        "capget": 90,
        "capset": 91,
        "keyctl": 219,
        "bpf": 280,
        "ioprio_set": 30,
        "sched_setattr": 274,
        "personality": 92,
    },
}
_COMMON = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}
NUMBERS: dict[str, int] = {**_NUMBERS.get(MACHINE, {}), **_COMMON}

libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the GIL. If clone3 released it, the child could not take it again: no other thread exists there.
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
_libc_with_gil.syscall.restype = ctypes.c_long


def fail(call: str, path: object = None) -> NoReturn:
    """Raise the OSError for the call that has just returned -1; `path` is its object, if it has one."""
    number = ctypes.get_errno()
    text = f"{call}: {os.strerror(number)}"
    if path is None:
        raise OSError(number, text)
    raise OSError(number, text, path)


def syscall(name: str, path: object, *args: Any) -> int:
    """Call `name` with `args` (bytes as pointers, ints as 32 bits; wrap wider ones in c_ulong) and return its value.

    Raises OSError with the call's name and `path`; ENOSYS for a call whose number on this machine is not known.
    """
    number = NUMBERS.get(name)
    if number is None:
        raise OSError(38, f"{name}: no number known on {MACHINE}")
    result: int = libc.syscall(ctypes.c_long(number), *args)
    if result < 0:
        fail(name, path)
    return result


def syscall_with_gil(name: str, *args: Any) -> int:
    """As `syscall`, but keeps the GIL: for clone3, which returns in two processes."""
    result: int = _libc_with_gil.syscall(ctypes.c_long(NUMBERS[name]), *args)
    if result < 0:
        fail(name)
    return result
