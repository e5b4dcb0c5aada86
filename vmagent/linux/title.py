"""What `ps` calls this process: the kernel's name (comm) and the command line, without ctypes or a library."""

from __future__ import annotations

import os


def set_title(name: str) -> None:
    """Show this process as `name`: 15 bytes in `ps -o comm`, and in `ps -ef` as much as the command line has room for.

    The command line is the memory that the kernel filled at execve (proc(5), stat's arg_start and arg_end). It is
    overwritten in place, because moving its bounds (PR_SET_MM) needs CAP_SYS_RESOURCE. Raises OSError without /proc.
    """
    raw = os.fsencode(name)
    with open("/proc/self/comm", "wb", buffering=0) as comm:
        comm.write(raw[:15])
    with open("/proc/self/stat", "rb", buffering=0) as stat:
        fields = stat.read().rpartition(b")")[2].split()  # begins with the third field
    start, end = int(fields[48 - 3]), int(fields[49 - 3])
    if end - start < 2:
        return
    # The last byte stays NUL: otherwise the kernel shows the environment as part of the command line.
    text = raw[: end - start - 1].ljust(end - start, b"\0")
    fd = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, text, start)
    finally:
        os.close(fd)
