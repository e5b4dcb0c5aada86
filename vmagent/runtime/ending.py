"""Signal and end the processes of a container, also if another container shares its cgroup.

If the container has its own PID namespace, only its processes are in there, and the kernel ends all of them with the
first one. Otherwise its processes are those of its cgroup, if no other container uses that cgroup.
"""

from __future__ import annotations

import errno
import os
import select
import signal

from vmagent.linux.process import pid_namespaces_of, pidfd_send_signal
from vmagent.runtime.cgroups.base import KILL_LIMIT_S
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.state import Container


def signal_all(container: Container, number: int) -> None:
    """Send the signal to each process of the container. Processes born meanwhile may be missed. Raises OSError."""
    for pid in _pids(container):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end_all(container: Container) -> None:
    """Kill all processes of the container and wait until none is left. Raises OSError ETIMEDOUT after 5 s."""
    if container.has_pid_namespace or container.shares_cgroup:
        _end_first(container)
    else:
        container.cgroup.kill_all()


def thaw_for_kill(container: Container) -> None:
    """Thaw a frozen cgroup: on v1, SIGKILL takes effect only then. Raises OSError."""
    cgroup = container.cgroup
    if cgroup.is_frozen():
        cgroup.thaw()


def _pids(container: Container) -> list[int]:
    """The container's own among the processes of its cgroup."""
    pids = container.cgroup.pids()
    if container.has_pid_namespace:
        try:
            namespace = pid_namespaces_of(container.pid)[0]
        except FileNotFoundError:
            return []
        return [pid for pid in pids if _is_in(pid, namespace)]
    if container.shares_cgroup:
        return [pid for pid in pids if pid == container.pid]
    return pids


def _is_in(pid: int, namespace: int) -> bool:
    """Whether `pid` is in that PID namespace or in one below it."""
    try:
        return namespace in pid_namespaces_of(pid)
    except FileNotFoundError:
        return False  # it has ended


def _end_first(container: Container) -> None:
    try:
        pidfd = container.open_pidfd()
    except LaunchError:
        return  # it has ended
    try:
        pidfd_send_signal(pidfd, signal.SIGKILL)
        thaw_for_kill(container)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(KILL_LIMIT_S * 1000):
            raise TimeoutError(errno.ETIMEDOUT, "the container's first process outlives SIGKILL", container.cgroup_path)
    except ProcessLookupError:
        return  # it has ended meanwhile
    finally:
        os.close(pidfd)
