"""How the kernel schedules a process: sched_setattr(2), ioprio_set(2), personality(2)."""

from __future__ import annotations

import ctypes
import struct

from vmagent.linux.syscall import syscall

# linux/sched.h, linux/sched/types.h
POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
# linux/ioprio.h
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13
# linux/personality.h
PERSONALITIES = {"LINUX": 0x0, "LINUX32": 0x8}

# struct sched_attr, its first version: size, policy, flags, nice, priority, runtime, deadline, period (ns)
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")


def sched_setattr(
    policy: int, flags: int, nice: int, priority: int, runtime_ns: int, deadline_ns: int, period_ns: int
) -> None:
    """Set the policy of this thread. Raises OSError EPERM without CAP_SYS_NICE, EINVAL for a bad combination."""
    attr = _SCHED_ATTR.pack(_SCHED_ATTR.size, policy, flags, nice, priority, runtime_ns, deadline_ns, period_ns)
    syscall("sched_setattr", None, 0, attr, 0)


def ioprio_set(io_class: int, priority: int) -> None:
    """Set the I/O priority of this thread. Raises OSError EPERM for the real-time class without CAP_SYS_NICE."""
    syscall("ioprio_set", None, _IOPRIO_WHO_PROCESS, 0, io_class << _IOPRIO_CLASS_SHIFT | priority)


def personality(persona: int) -> None:
    """Set the execution domain of this process. Raises OSError."""
    syscall("personality", None, ctypes.c_ulong(persona))
