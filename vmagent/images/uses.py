"""Whose overlays lie on the folders of layers: such a folder must not be replaced.

An overlay keeps the folders that it was mounted with. If one is replaced, the overlay goes on with the old one, whose
files are being deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from vmagent.errors import Conflict


class LayerUses:
    """The uses of layers, by diff_id. For one event loop."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._others: list[Callable[[], Iterable[str]]] = []
        self._replaced: dict[str, asyncio.Event] = {}

    def add(self, others: Callable[[], Iterable[str]]) -> None:
        """Ask `others`, too, which layers are used. It must not block."""
        self._others.append(others)

    @contextlib.asynccontextmanager
    async def using(self, layers: Iterable[str]) -> AsyncIterator[None]:
        """Use layers until the exit. Waits while one of them is being replaced."""
        used = frozenset(layers)
        while not self._replaced.keys().isdisjoint(used):
            await next(self._replaced[layer] for layer in used if layer in self._replaced).wait()
        self._counts.update(used)
        try:
            yield
        finally:
            self._counts -= Counter(used)  # which leaves out those that nobody uses any more

    @contextlib.contextmanager
    def replacing(self, layer: str) -> Iterator[None]:
        """Until the exit nobody can begin to use the layer. Raises Conflict if it is used."""
        if any(layer in other() for other in self._others):
            raise Conflict("a container runs on it: stop it first")
        if layer in self._counts:
            raise Conflict("it is being read or mounted: try again when that has ended")
        over = self._replaced[layer] = asyncio.Event()
        try:
            yield
        finally:
            del self._replaced[layer]
            over.set()
