"""Where deleted endpoints go: a thread of its own, because deleting an interface waits for an RCU grace period.

The request path only takes the host's end down and puts it in the group `DEAD`, 0.1 ms; nothing answers for the
address from then on. The thread deletes the group (one grace period for all that gathered) and then lets go of the
network namespaces; letting go of them first would have the kernel delete the pair under a lock that starts need.
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
_BATCH = 8  # larger batches hold the lock so long that starts notice


class Disposer:
    """Runs until `close`, which waits until all that was given is gone."""

    def __init__(self, netlink: NetlinkSocket) -> None:
        """`netlink`: a socket of the host's namespace for this thread's use alone; closed with the disposer."""
        self._netlink = netlink
        self._given: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="network disposer", daemon=True)
        self._thread.start()

    def dispose(self, netns_fd: int) -> None:
        """Delete the dead group soon, then close `netns_fd` (-1: none)."""
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
                # The kernel may already have deleted them with their namespace: then there is no such group.
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
