"""Opens a container's first process by its pid, and checks it: pids are reused, possibly by a process of the host."""

from __future__ import annotations

import os

_READ_BYTES = 65_536


def open_process(pid: int, container_id: str) -> int:
    """A descriptor of /proc/PID, which the caller closes, if the process is in a cgroup of `container_id`.

    Files that are opened relative to it belong to that process; after its end, opening them fails with ESRCH (proc(5)).
    Raises ProcessLookupError if the process has ended, or if `pid` is another process.
    """
    try:
        process_fd = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as e:
        raise ProcessLookupError(f"no process {pid}") from e
    try:
        fd = os.open("cgroup", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process_fd)
        try:
            text, wanted = b"", container_id.encode()
            while wanted not in text:  # the first read has it, and an exec waits for no second one
                if not (part := os.read(fd, _READ_BYTES)):
                    raise ProcessLookupError(f"process {pid} is not of container {container_id}")
                text += part
        finally:
            os.close(fd)
    except BaseException:
        os.close(process_fd)
        raise
    return process_fd
