"""Encode a plan, and the launcher's descriptors, as a request to the spawner.

The spawner does not implement everything. For a plan that needs more, `encode_start` and `encode_exec` return None, and
the Python child of `vmagent.runtime.launch` makes the process.
"""

from __future__ import annotations

import struct

from vmagent.linux import process as linux
from vmagent.runtime.fields import Request, Unfit
from vmagent.runtime.plantypes import (
    EXEC,
    START,
    Entry,
    ExecRequest,
    Head,
    JoinFd,
    KernelFacts,
    PlanExtra,
    StartRequest,
    Streams,
    has_idmaps,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmagent.runtime.plantypes import Plan, Process, ShownCgroup

_NO_EXTRA, _ONLY_HOOKS = PlanExtra(), PlanExtra(asks_for_hooks=True)
_MAX_FDS, _MAX_BYTES = 16, 128 << 10  # MAX_REQUEST of spawner.h is a little more
# The last three: a value that cannot be encoded. The Python child, which does the work then, reports the error.
_UNFIT = (Unfit, struct.error, TypeError, UnicodeEncodeError)


def encode_start(
    plan: Plan,
    kernel: KernelFacts,
    *,
    clone_flags: int,
    pipes: tuple[int, int, int],
    cgroup_fd: int,
    tasks: list[str],
    unshares_cgroup: bool,
    pid_ns_fd: int,
    joins: list[tuple[int, int]],
    shown_cgroups: list[ShownCgroup],
    streams: tuple[int, int, int],
    starting: tuple[int, int],
    outside: str | None,
) -> tuple[bytes, list[int]] | None:
    """The request that starts a container's first process, and its descriptors; None if the spawner cannot do it.

    `pipes`: the report's write end, go's read end, the console's socket or -1. `tasks`: the files by which a
    process enters its v1 cgroups. `joins`: (descriptor, CLONE_* flag) of each namespace to enter. `streams`, and
    `starting` (start_fd, started_fd), as for `launch`. `outside`: text about the host's namespaces for the command.
    """
    extra = _NO_EXTRA if plan.extra is None else plan.extra
    is_known = extra in (_NO_EXTRA, _ONLY_HOOKS) and _is_known_extra(plan.process)
    if not is_known or has_idmaps(plan.rootfs):
        return None
    head = Head(START, clone_flags, pipes[0], pipes[1], *starting, cgroup_fd, pid_ns_fd)
    request = StartRequest(
        entry=Entry(tuple(tasks), "_ses." + plan.id),
        unshares_cgroup=unshares_cgroup,
        joins=tuple(JoinFd(fd, flag) for fd, flag in joins),
        has_new_network=bool(clone_flags & linux.CLONE_NEWNET),
        asks_for_hooks=extra.asks_for_hooks,
        streams=Streams(pipes[2], *streams),
        kernel=kernel,
        rootfs=plan.rootfs,
        shown_cgroups=tuple(shown_cgroups),
        process=plan.process,
        outside=outside,
    )
    return _encode(head, request)


def encode_exec(
    process: Process,
    kernel: KernelFacts,
    *,
    namespaces: int,
    pipes: tuple[int, int, int],
    cgroup_fd: int,
    tasks: list[str],
    container_pidfd: int,
    streams: tuple[int, int, int],
) -> tuple[bytes, list[int]] | None:
    """The request for another process in the container of `container_pidfd`; see `encode_start`."""
    extra = process.extra
    if extra is not None:
        namespaces |= extra.namespaces
        # A user namespace's root may not set these, and not all of them are inherited from a process outside.
        needs_host = extra.scheduler or extra.io_priority or extra.personality
        if not _is_known_extra(process) or (needs_host and namespaces & linux.CLONE_NEWUSER):
            return None
    head = Head(EXEC, 0, pipes[0], pipes[1], -1, -1, cgroup_fd, -1)
    request = ExecRequest(
        entry=Entry(tuple(tasks), "_ses.exec"),
        container=container_pidfd,
        namespaces=namespaces,
        streams=Streams(pipes[2], *streams),
        kernel=kernel,
        process=process,
    )
    return _encode(head, request)


def _is_known_extra(process: Process) -> bool:
    """False for what the spawner does not support: preserved descriptors, and a seccomp listener."""
    extra = process.extra
    return extra is None or not (extra.has_listener or extra.preserved_fds)


def _encode(head: Head, body: StartRequest | ExecRequest) -> tuple[bytes, list[int]] | None:
    request = Request()
    try:
        request.add(head)
        request.add(body)
    except _UNFIT:
        return None
    message = b"".join(request.parts)
    if len(message) > _MAX_BYTES or len(request.fds) > _MAX_FDS:
        return None
    return message, request.fds
