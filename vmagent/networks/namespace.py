"""A container's network namespace, as the controller begins with it."""

from __future__ import annotations

import os
from contextlib import ExitStack

from vmagent.linux import netlink, netns


def open_namespace(home: int, given_fd: int | None = None) -> tuple[int, netlink.NetlinkSocket]:
    """(descriptor, socket inside) of a new namespace, or of a copy of `given_fd`, lo up; both the caller's.

    `home`: the calling thread's own namespace. Raises OSError.
    """
    with ExitStack() as undo:
        fd = netns.create(home) if given_fd is None else os.dup(given_fd)
        undo.callback(os.close, fd)
        with netns.inside(fd, home):
            inner = netlink.NetlinkSocket()
        undo.enter_context(inner)
        inner.send(netlink.set_link(1, up=True))
        undo.pop_all()
    return fd, inner


class SpareNamespace:
    """At most one namespace, made beforehand for the next start. `take` may be called from any thread."""

    def __init__(self) -> None:
        self._made: list[tuple[int, netlink.NetlinkSocket]] = []  # whose pop is atomic

    def make(self, home: int) -> None:
        """Have one there. Raises OSError."""
        if not self._made:
            self._made.append(open_namespace(home))

    def take(self) -> tuple[int, netlink.NetlinkSocket] | None:
        """As `open_namespace` gives it; None where there is none."""
        try:
            return self._made.pop()
        except IndexError:
            return None

    def drop(self) -> None:
        while (spare := self.take()) is not None:
            fd, inner = spare
            inner.close()
            os.close(fd)
