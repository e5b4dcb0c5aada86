"""The supervisor's side of its connections to engines: normally one, briefly two while an engine is replaced."""

from __future__ import annotations

import time

from vmagent.linux.packets import Link, PeerLost
from vmagent.supervisor.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from vmagent.supervisor.loop import Loop

    Dispatch = Callable[["Connection", dict[str, Any], list[int]], None]

_REQUESTS_A_TURN = 16
_GREW_PAUSE_S = 0.004  # the least time between two "grew" messages, so that much output does not flood the engine


class Connection:
    """One peer. While it does not read its replies, its requests are not read; too far behind, it is disconnected."""

    __slots__ = (
        "_dispatch",
        "_drop",
        "_events",
        "_execs_grown",
        "_grew_at",
        "_grown",
        "_is_timer_set",
        "_loop",
        "link",
    )

    def __init__(self, link: Link, loop: Loop, dispatch: Dispatch, drop: Callable[[Connection], None]) -> None:
        self.link = link
        self._loop = loop
        self._dispatch = dispatch
        self._drop = drop
        self._events = READ
        self._grown: dict[str, None] = {}  # ids of containers whose log has grown since the last message, in order
        self._execs_grown: dict[str, None] = {}
        self._grew_at = 0.0
        self._is_timer_set = False
        loop.add(link.fd, READ, self._on_event)

    @property
    def is_open(self) -> bool:
        return self.link.fd >= 0

    def close(self) -> None:
        if self.is_open:
            self.release().close()

    def release(self) -> Link:
        """Return the link, which the caller now owns. This connection counts as closed."""
        link = self.link
        self._loop.remove(link.fd)
        self.link = _CLOSED
        return link

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send or queue a message. If the peer has closed its end, this connection is dropped and nothing is raised."""
        if not self.is_open:
            return
        try:
            self.link.send(message, fds)
        except PeerLost:
            self._drop(self)
            return
        self._choose_events()

    def grew(self, container_id: str) -> None:
        """Notify the engine soon that the container's log has grown."""
        self._grown[container_id] = None
        self._flush_soon()

    def exec_grew(self, exec_id: str, *, at_once: bool) -> None:
        """Notify the engine that the exec's output has grown; `at_once`: now, since the client would see a delay."""
        self._execs_grown[exec_id] = None
        if at_once:
            self.flush_grown()
        else:
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._is_timer_set:
            return
        wait_s = self._grew_at + _GREW_PAUSE_S - time.monotonic()
        if wait_s <= 0:
            self.flush_grown()
        else:
            self._is_timer_set = True
            self._loop.later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._is_timer_set = False
        self.flush_grown()

    def flush_grown(self) -> None:
        """Send the "grew" message now. It must be sent before the message about an exit that follows the output."""
        if self._grown or self._execs_grown:
            ids, exec_ids = [*self._grown], [*self._execs_grown]
            self._grown.clear()
            self._execs_grown.clear()
            self._grew_at = time.monotonic()
            self.send({"e": "grew", "ids": ids, "execs": exec_ids})

    def _choose_events(self) -> None:
        events = WRITE if self.link.is_behind else READ
        if events != self._events:
            self._events = events
            self._loop.change(self.link.fd, events)

    def _on_event(self, _events: int) -> None:
        try:
            self.link.flush()
            for _ in range(_REQUESTS_A_TURN):
                if not self.is_open or self.link.is_behind:
                    break
                received = self.link.receive()
                if received is None:
                    break
                self._dispatch(self, *received)
        except PeerLost:
            self._drop(self)
            return
        if self.is_open:
            self._choose_events()


class _Closed(Link):
    __slots__ = ()

    def __init__(self) -> None:
        self.fd = -1
        self._queue = []


_CLOSED = _Closed()
