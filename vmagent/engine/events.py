"""The engine's events: published on the loop, kept in a ring, read by any number of subscribers.

A subscriber is a cursor into the ring, not a queue: a slow subscriber costs no memory, and one that falls behind by the
whole ring gets an error instead of silently missing events. Engine API, SystemEvents.

Most of the memory that a removed container still takes is in this ring. So the ring keeps tuples instead of objects,
and events of the same object share their attributes; that halves the memory.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

_ALIKE = 8  # how many events to look back for equal attributes of the same object
RING = 2048  # docker keeps 256; a burst of 50 containers started and removed makes 400

EVENT_FILTERS = frozenset(
    {
        "config",
        "container",
        "daemon",
        "event",
        "image",
        "label",
        "network",
        "node",
        "plugin",
        "scope",
        "secret",
        "service",
        "type",
        "volume",
    }
)


class EventsLost(Exception):
    """The subscriber fell more than RING events behind; the events that it missed are lost."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `action` may carry data: `exec_create: sh -c x`, `health_status: healthy`."""

    type: str
    action: str
    actor_id: str
    attributes: Mapping[str, str]
    time_ns: int
    scope: str = "local"

    def to_json(self) -> dict[str, object]:
        """The event as docker's JSON; clients below API 1.52 read `status`, `id` and `from`."""
        data: dict[str, object] = {}
        if self.type in ("container", "image"):
            data["status"] = self.action
            data["id"] = self.actor_id
            if self.type == "container" and (image := self.attributes.get("image")):
                data["from"] = image
        data |= {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.actor_id, "Attributes": dict(self.attributes)},
            "scope": self.scope,
            "time": self.time_ns // 1_000_000_000,
            "timeNano": self.time_ns,
        }
        return data


def _names_object(event: Event, kind: str, wanted: Sequence[str]) -> bool:
    """Whether the event concerns an object of type `kind` whose id or name begins with one of `wanted`."""
    if event.type == kind:
        known = [event.actor_id, event.attributes.get("name", "")]
    else:
        known = [event.attributes.get(kind, "")]  # a network's `container`, a volume's `container`
    return any(value and value.startswith(want) for value in known for want in wanted)


def _without_tag(reference: str) -> str:
    name, colon, tag = reference.rpartition(":")
    return name if colon and "/" not in tag else reference


def _names_image(event: Event, wanted: Sequence[str]) -> bool:
    known = {event.actor_id, event.attributes.get("name", "")} if event.type == "image" else set()
    known.add(event.attributes.get("image", ""))
    known |= {_without_tag(value) for value in known}
    return any(want in known for want in wanted if want)


def _has_label(attributes: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in attributes and (not equals or attributes[key] == value)


def _is_action(action: str, wanted: str) -> bool:
    """Whether `action` matches the filter value `wanted`, with or without the data after a colon."""
    return action == wanted or action.partition(":")[0] == wanted


def matches(event: Event, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether `event` passes `filters`: one value of each key must match; of `label`, all values must match."""
    for key, values in filters.items():
        if not values:
            continue
        match key:
            case "type":
                passed = event.type in values
            case "event":
                passed = any(_is_action(event.action, value) for value in values)
            case "scope":
                passed = event.scope in values
            case "label":
                passed = all(_has_label(event.attributes, value) for value in values)
            case "image":
                passed = _names_image(event, values)
            case _:
                passed = _names_object(event, key, values)
        if not passed:
            return False
    return True


_Kept = tuple[str, str, str, int, tuple[str, ...]]  # type, action, actor, time, attributes: name, value, name, …


def _event(kept: _Kept) -> Event:
    type_, action, actor_id, time_ns, flat = kept
    return Event(type_, action, actor_id, dict(zip(flat[::2], flat[1::2], strict=True)), time_ns)


@dataclass(slots=True)
class EventBus:
    """All events of one engine. Used on the event loop's thread only; `publish` never waits."""

    _ring: deque[_Kept] = field(default_factory=lambda: deque(maxlen=RING))
    _published: int = 0  # events ever published; the ring holds numbers [_published - len(ring), _published)
    _last_ns: int = 0
    _news: set[asyncio.Future[None]] = field(default_factory=set)

    def publish(self, type_: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None) -> Event:
        """Publish an event to all subscribers. Change the state first: a subscriber may read it at once."""
        now = max(time.time_ns(), self._last_ns + 1)  # strictly increasing, so `since` can resume exactly
        self._last_ns = now
        event = Event(type_, action, actor_id, dict(attributes or {}), now)
        self._ring.append((type_, action, actor_id, now, self._attributes(actor_id, event.attributes)))
        self._published += 1
        for waiting in self._news:
            if not waiting.done():
                waiting.set_result(None)
        self._news.clear()
        return event

    def _attributes(self, actor_id: str, attributes: Mapping[str, str]) -> tuple[str, ...]:
        """Names and values in turn; the tuple of a recent event of the same actor is reused if it is equal."""
        flat = tuple(word for pair in attributes.items() for word in pair)
        for back in range(1, min(_ALIKE, len(self._ring)) + 1):
            kept = self._ring[-back]
            if kept[2] == actor_id and kept[4] == flat:
                return kept[4]
        return flat

    def subscribe(
        self,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> AsyncIterator[Event]:
        """Events from now on, or from `since_ns` as far as the ring goes back, until `until_ns` (Unix ns, included).

        The position is fixed by this call, not by the first read: an event that is published in between is not missed.
        The iterator raises EventsLost if its reader falls behind by more than the ring holds.
        """
        cursor = self._published
        if since_ns is not None:
            for kept in reversed(self._ring):
                if kept[3] < since_ns:
                    break
                cursor -= 1
        elif until_ns is not None:  # an end without a beginning: everything in the ring
            cursor -= len(self._ring)
        return self._read(cursor, until_ns, filters or {})

    async def _read(
        self, cursor: int, until_ns: int | None, filters: Mapping[str, Sequence[str]]
    ) -> AsyncIterator[Event]:
        while True:
            while cursor < self._published:
                oldest = self._published - len(self._ring)
                if cursor < oldest:
                    raise EventsLost(f"{oldest - cursor} events were dropped: the reader is too slow")
                event = _event(self._ring[cursor - oldest])
                cursor += 1
                if until_ns is not None and event.time_ns > until_ns:
                    return
                if matches(event, filters):
                    yield event
            if not await self._more(until_ns):
                return

    async def _more(self, until_ns: int | None) -> bool:
        """Wait for the next event. Returns False if `until_ns` was reached first."""
        limit_s = None if until_ns is None else (until_ns - time.time_ns()) / 1e9
        if limit_s is not None and limit_s <= 0:
            return False
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news.add(news)
        try:
            async with asyncio.timeout(limit_s):
                await news
        except TimeoutError:
            return False
        finally:
            self._news.discard(news)
        return True
