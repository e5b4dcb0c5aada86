"""Makes or opens a container's network namespace for the controller."""

from __future__ import annotations

import os
from contextlib import ExitStack

from vmagent.linux import netlink, netns


def open_namespace(home: int, given_fd: int | None = None) -> tuple[int, netlink.NetlinkSocket]:
    """(descriptor, netlink socket inside) of a new namespace, or of a copy of `given_fd`; its interface lo is up.

    The caller closes both. `home`: the calling thread's own namespace. Raises OSError.
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
    """Holds at most one spare namespace for the next start. `take` may be called from any thread."""

    def __init__(self) -> None:
        self._made: list[tuple[int, netlink.NetlinkSocket]] = []  # a list, because its pop is atomic

    def make(self, home: int) -> None:
        """Make the spare namespace if there is none. Raises OSError."""
        if not self._made:
            self._made.append(open_namespace(home))

    def take(self) -> tuple[int, netlink.NetlinkSocket] | None:
        """The spare namespace in the form of `open_namespace`; None if there is none."""
        try:
            return self._made.pop()
        except IndexError:
            return None

    def drop(self) -> None:
        while (spare := self.take()) is not None:
            fd, inner = spare
            inner.close()
            os.close(fd)
