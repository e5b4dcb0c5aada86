"""Capabilities: their names (linux/capability.h), sets as bit masks, capget, capset, bounding and ambient set."""

from __future__ import annotations

import ctypes
import struct

from vmagent.linux.process import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    prctl,
)
from vmagent.linux.syscall import syscall

NAMES = tuple(
    "CAP_" + name
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}
SYS_ADMIN = 1 << NUMBERS["CAP_SYS_ADMIN"]

_VERSION_3 = 0x20080522
_HEADER = struct.Struct("=Ii")  # struct __user_cap_header_struct: version, pid
_DATA = struct.Struct("=6I")  # twice struct __user_cap_data_struct: effective, permitted, inheritable


def mask(names: list[str]) -> int:
    """The bit mask of capability `names`. Raises KeyError for an unknown name."""
    result = 0
    for name in names:
        result |= 1 << NUMBERS[name]
    return result


def capget() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of this thread. Raises OSError."""
    header = ctypes.create_string_buffer(_HEADER.pack(_VERSION_3, 0), _HEADER.size)
    data = ctypes.create_string_buffer(_DATA.size)
    syscall("capget", None, header, data)
    low_e, low_p, low_i, high_e, high_p, high_i = _DATA.unpack(data.raw)
    return low_e | high_e << 32, low_p | high_p << 32, low_i | high_i << 32


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the three sets of this thread. Raises OSError EPERM for a capability beyond the permitted set."""
    low = 0xFFFFFFFF
    header = _HEADER.pack(_VERSION_3, 0)
    data = _DATA.pack(
        effective & low, permitted & low, inheritable & low, effective >> 32, permitted >> 32, inheritable >> 32
    )
    syscall("capset", None, header, data)


def last_capability() -> int:
    """The highest capability number that the running kernel knows."""
    number = len(NAMES) - 1
    while True:
        try:
            prctl(PR_CAPBSET_READ, number + 1)
        except OSError:
            break
        number += 1
    while number > 0:
        try:
            prctl(PR_CAPBSET_READ, number)
        except OSError:
            number -= 1
        else:
            break
    return number


def drop_bounding(keep: int, last: int) -> None:
    """Drop all capabilities from the bounding set except those in the mask `keep`. Raises OSError."""
    for number in range(last + 1):
        if not keep >> number & 1:
            prctl(PR_CAPBSET_DROP, number)


def raise_ambient(wanted: int, last: int) -> None:
    """Make `wanted` the ambient set. Raises OSError EPERM for one that is not both permitted and inheritable."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(last + 1):
        if wanted >> number & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
