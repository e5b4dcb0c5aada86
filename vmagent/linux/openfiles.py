"""The limit of open files (RLIMIT_NOFILE): the engine's own, and that of containers without one."""

from __future__ import annotations

import functools
import resource
from contextlib import suppress

DEFAULT = 1 << 20  # Docker's unit file gives this to containers; the engine has several descriptors per container


def raise_limit() -> None:
    """Raise this process's limits as far as the system allows. Containers can't have more than its hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DEFAULT:
        with suppress(ValueError):  # that needs CAP_SYS_RESOURCE
            resource.setrlimit(resource.RLIMIT_NOFILE, (DEFAULT, DEFAULT))
            return
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@functools.cache
def container_limit() -> tuple[int, int]:
    """Soft and hard limit in a container without a limit of its own.

    It does not depend on who started the engine, except where `raise_limit` was not allowed to raise the hard limit.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = DEFAULT if hard == resource.RLIM_INFINITY else min(DEFAULT, hard)
    return limit, limit
