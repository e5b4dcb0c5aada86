"""What must outlive the supervisor: descriptors and a few words about each process, stored with the keeper.

An entry has a key, a flat JSON object and named descriptors. The order of events makes it exact: what is sent is in the
kernel's buffer, the keeper reads it even when the supervisor is dead, so a message that went out is as good as kept.

Each message wakes the keeper, on a processor that a start may want. So what only frees something there (`*_later`) goes
with the next message that is needed, or after a moment; an heir that finds it undone must come to the same.
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
    """The supervisor's end of its connection to the keeper. Without a keeper nothing is stored and all goes on."""

    __slots__ = ("_is_timer_set", "_later", "_loop", "link")

    def __init__(self, link: Link | None, loop: Loop) -> None:
        self.link = link
        self._loop = loop
        self._later: list[dict[str, Any]] = []
        self._is_timer_set = False

    def put(self, key: str, data: Mapping[str, Any], fds: Mapping[str, int] | None = None) -> None:
        """Make the entry `key`, or add to it: `data` over its data, `fds` beside its descriptors (they stay ours)."""
        fds = fds or {}
        self._send({"k": "put", "key": key, "data": data, "names": [*fds]}, [*fds.values()])

    def take(self, key: str, *names: str) -> None:
        """Let the keeper close these descriptors of the entry; those it lacks are passed over."""
        self._send({"k": "take", "key": key, "names": names}, [])

    def take_later(self, key: str, *names: str) -> None:
        """As `take`; descriptors that an heir can do nothing wrong with."""
        self._put_off({"k": "take", "key": key, "names": names})

    def forget(self, key: str) -> None:
        """Drop the entry with all its descriptors. Idempotent."""
        self._send({"k": "forget", "key": key}, [])

    def forget_later(self, key: str) -> None:
        """As `forget`; an entry that an heir can see to be over."""
        self._put_off({"k": "forget", "key": key})

    def flush(self) -> None:
        """Send now what was put off."""
        later, self._later = self._later, []
        for message in later:
            self._send_now(message, [])

    def _put_off(self, message: dict[str, Any]) -> None:
        self._later.append(message)
        if not self._is_timer_set:
            self._is_timer_set = True
            self._loop.later(_LATER_S, self._on_timer)

    def _on_timer(self) -> None:
        self._is_timer_set = False
        self.flush()

    def hand_over(self, listener_fd: int) -> None:
        """After all entries were put: the socket that engines come in by, and the word that this was all."""
        self._send({"k": "handed-over", "pid": os.getpid()}, [listener_fd])

    def _send(self, message: dict[str, Any], fds: list[int]) -> None:
        self.flush()
        self._send_now(message, fds)

    def _send_now(self, message: dict[str, Any], fds: list[int]) -> None:
        if self.link is None:
            return
        try:
            self.link.send(message, fds)
            if self.link.is_behind:
                self._wait()
        except PeerLost as e:
            self.lose(str(e))

    def _wait(self) -> None:
        """Until the keeper has taken everything: what waits in this process would die with it."""
        assert self.link is not None
        poll = select.poll()
        poll.register(self.link.fd, select.POLLOUT)
        while self.link.is_behind:
            if not poll.poll(_KEEPER_LIMIT_MS):
                raise PeerLost("the keeper does not read")
            self.link.flush()

    def lose(self, why: str) -> None:
        """Go on without a keeper. The caller takes the descriptor off its epoll by itself: closing does it."""
        if self.link is not None:
            say(f"cove-supervisor: the keeper is gone ({why}); what runs goes on")
            self.link.close()
            self.link = None
