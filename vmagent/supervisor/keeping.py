"""What must outlive the supervisor: descriptors and some data about each process, stored in the keeper.

An entry has a key, a flat JSON object and named descriptors. A message is safe as soon as send(2) returns: it is in the
socket's buffer, and the keeper reads it even after the supervisor has died.

Each packet wakes the keeper, which takes CPU time from container starts. So messages that only free something in the
keeper (`*_later`) travel in the packet of the next other message, as its list `before`, or after a short delay in one
of their own. If the supervisor is killed before that, the next one finds the old entry, and must be able to finish the
same work from it.
"""

from __future__ import annotations

import os
import select

from vmagent.linux.packets import Link, PeerLost
from vmagent.supervisor.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vmagent.supervisor.loop import Loop

_KEEPER_LIMIT_MS = 10_000
_LATER_S = 0.05


class Keeping:
    """The supervisor's connection to the keeper. Without a keeper nothing is stored, and containers go on running."""

    __slots__ = ("_is_timer_set", "_later", "_loop", "link")

    def __init__(self, link: Link | None, loop: Loop) -> None:
        self.link = link
        self._loop = loop
        self._later: list[dict[str, Any]] = []
        self._is_timer_set = False

    def put(self, key: str, data: Mapping[str, Any], fds: Mapping[str, int] | None = None) -> None:
        """Create the entry `key`, or update it with `data` and `fds`. The caller keeps its copies of `fds`."""
        fds = fds or {}
        self._send({"k": "put", "key": key, "data": data, "names": [*fds]}, [*fds.values()])

    def take(self, key: str, *names: str) -> None:
        """Let the keeper close these descriptors of the entry; unknown names are ignored."""
        self._send({"k": "take", "key": key, "names": names}, [])

    def take_later(self, key: str, *names: str) -> None:
        """As `take`, but delayed: for descriptors that do no harm if the next supervisor still gets them."""
        self._put_off({"k": "take", "key": key, "names": names})

    def forget(self, key: str) -> None:
        """Delete the entry and close all its descriptors. Idempotent."""
        self._send({"k": "forget", "key": key}, [])

    def forget_later(self, key: str) -> None:
        """As `forget`, but delayed: for entries that the next supervisor recognises as finished."""
        self._put_off({"k": "forget", "key": key})

    def flush(self) -> None:
        """Send the delayed messages now."""
        if self._later:
            self._send(self._later.pop(), [])

    def _put_off(self, message: dict[str, Any]) -> None:
        self._later.append(message)
        if not self._is_timer_set:
            self._is_timer_set = True
            self._loop.later(_LATER_S, self._on_timer)

    def _on_timer(self) -> None:
        self._is_timer_set = False
        self.flush()

    def hand_over(self, listener_fd: int) -> None:
        """Finish the transfer of all entries to a new keeper: send our pid and the listening socket of the engines."""
        self._send({"k": "handed-over", "pid": os.getpid()}, [listener_fd])

    def _send(self, message: dict[str, Any], fds: list[int]) -> None:
        if self._later:
            message["before"], self._later = self._later, []
        if self.link is None:
            return
        try:
            self.link.send(message, fds)
            if self.link.is_behind:
                self._wait()
        except PeerLost as e:
            self.lose(str(e))

    def _wait(self) -> None:
        """Block until the kernel has taken all queued messages: those still in this process would die with it."""
        assert self.link is not None
        poll = select.poll()
        poll.register(self.link.fd, select.POLLOUT)
        while self.link.is_behind:
            if not poll.poll(_KEEPER_LIMIT_MS):
                raise PeerLost("the keeper does not read")
            self.link.flush()

    def lose(self, why: str) -> None:
        """Continue without a keeper. Closing the link also removes its descriptor from the loop's epoll."""
        if self.link is not None:
            say(f"cove-supervisor: the keeper is gone ({why}); what runs goes on")
            self.link.close()
            self.link = None
