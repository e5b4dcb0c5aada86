"""Garbage collection's roots: whatever a named root reaches stays; layers and blobs that no root reaches go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reachable:
    """What must stay: layers by diff_id (with the blobs they are packed in), and other blobs by digest."""

    layers: frozenset[str]
    blobs: frozenset[str]

    @classmethod
    def of(cls, layers: Iterable[str] = (), blobs: Iterable[str] = ()) -> Reachable:
        return cls(frozenset(layers), frozenset(blobs))


Root = Callable[[], Reachable]


class Roots:
    """The roots by name. Each is asked anew at every collection."""

    def __init__(self) -> None:
        self._roots: dict[str, Root] = {}

    def add(self, name: str, root: Root) -> None:
        """Keep what `root` reaches from now on. Raises ValueError if the name is taken."""
        if name in self._roots:
            raise ValueError(f"there is a root named {name} already")
        self._roots[name] = root

    def reachable(self) -> Reachable:
        """What all roots reach together."""
        found = [root() for root in self._roots.values()]
        return Reachable.of(
            (diff_id for one in found for diff_id in one.layers), (digest for one in found for digest in one.blobs)
        )
