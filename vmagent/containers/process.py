"""A container's first process by its pid, made sure of: pids are used again, and the next one may be the host's."""

from __future__ import annotations

import os


def open_process(pid: int, container_id: str) -> int:
    """A descriptor of /proc/PID, the caller's, of a process in the cgroup of `container_id`.

    What is opened relative to it is that process's or fails (ESRCH) once it is gone: proc(5). Raises ProcessLookupError
    where it has gone already.
    """
    try:
        process_fd = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as e:
        raise ProcessLookupError(f"no process {pid}") from e
    try:
        fd = os.open("cgroup", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process_fd)
        with open(fd, encoding="ascii", errors="replace") as file:
            if container_id not in file.read():
                raise ProcessLookupError(f"process {pid} is not of container {container_id}")
    except BaseException:
        os.close(process_fd)
        raise
    return process_fd
