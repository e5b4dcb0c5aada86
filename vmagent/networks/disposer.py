"""Deletes network interfaces in a separate thread, because each deletion waits for an RCU grace period.

A request only sets the host's end down and puts it in the interface group `DEAD`, which takes 0.1 ms; its address stops
responding. This thread deletes the whole group in one grace period, then closes the network namespaces. The order
matters: if the namespaces were closed first, the kernel would delete the pairs under a lock that starts need.
"""

from __future__ import annotations

import errno
import os
import queue
import threading

import structlog

from vmagent.linux.netlink import NetlinkSocket, delete_group

log = structlog.get_logger(__name__)

DEAD_GROUP = 0xC07E
_BATCH = 8  # larger batches hold the kernel's lock so long that starts are delayed


class Disposer:
    """The thread; it runs until `close`, which waits for all deletions."""

    def __init__(self, netlink: NetlinkSocket) -> None:
        """`netlink`: a socket in the host's namespace; the disposer owns it, and only its thread uses it."""
        self._netlink = netlink
        self._given: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="network disposer", daemon=True)
        self._thread.start()

    def dispose(self, netns_fd: int) -> None:
        """Queue: delete the dead group, then close `netns_fd` (-1: none)."""
        self._given.put(netns_fd)

    def _run(self) -> None:
        closing = False
        while not closing:
            batch = [self._given.get()]
            while len(batch) < _BATCH and not self._given.empty():
                batch.append(self._given.get())
            closing = None in batch
            try:
                self._netlink.send(delete_group(DEAD_GROUP))
            except OSError as e:
                # If the kernel has deleted them with their namespace already, the group does not exist.
                if e.errno not in (errno.ENODEV, errno.ENOENT):
                    log.error("endpoints.stay", error=str(e))  # the next batch deletes the group again
            finally:
                for fd in batch:
                    if fd is not None and fd >= 0:
                        os.close(fd)

    def close(self) -> None:
        self._given.put(None)
        self._thread.join(timeout=30)
        self._netlink.close()
