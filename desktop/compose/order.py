"""The order in which services are worked on: what others depend on comes first, the rest at the same time."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Self, TypeVar

AT_ONCE = 32  # threads: each waits for a reply of the engine most of the time
_at_once = AT_ONCE

_Item = TypeVar("_Item")

Dependencies = Mapping[str, Collection[str]]


def limit(count: int) -> None:
    """From now on `each` calls at most so many at the same time, in this process."""
    global _at_once
    _at_once = count


def reverse(dependencies: Dependencies) -> dict[str, set[str]]:
    """The same order backwards: a service comes after all that depend on it."""
    found: dict[str, set[str]] = {name: set() for name in dependencies}
    for name, needed in dependencies.items():
        for other in needed:
            if other in found:
                found[other].add(name)
    return found


def sequence(dependencies: Dependencies) -> list[str]:
    """All names, each after those it depends on; otherwise in the order given. Names without an entry are ignored.

    `dependencies` has no cycle.
    """
    found: dict[str, None] = {}
    for start in dependencies:
        stack = [start]
        while stack:
            name = stack[-1]
            missing = [other for other in dependencies[name] if other in dependencies and other not in found]
            if missing:
                stack += reversed(missing)
            else:
                found[stack.pop()] = None
    return list(found)


def among(dependencies: Dependencies, names: Collection[str]) -> dict[str, set[str]]:
    """The order of `names` alone: each comes after those that it depends on, be it through others."""
    nearest: dict[str, set[str]] = {}
    for name in sequence(dependencies):
        found = nearest[name] = set()
        for other in dependencies[name]:
            found |= {other} if other in names else nearest.get(other, set())
    return {name: found for name, found in nearest.items() if name in names}


class _Threads:
    """Threads that call `work`, made when they are needed. A pool of `concurrent.futures` takes more time for what it
    offers beside that than a request takes."""

    def __init__(self, work: Callable[[str], object]) -> None:
        self._work = work
        self._count = 0
        self.busy = 0  # calls that are queued or under way
        self._names: SimpleQueue[str | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[str, BaseException | None] | None] = SimpleQueue()  # None: of a thread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for the calls that are under way; those that are queued are dropped."""
        with suppress(Empty):
            while True:
                self._names.get_nowait()
        for _thread in range(self._count):
            self._names.put(None)
        while self._count:  # not counted by `busy`: an interrupt may have come between an end and its count
            self._count -= self._ended.get() is None

    def begin(self, name: str) -> None:
        """Call `work(name)` as soon as one of `_at_once` threads is free. Raises RuntimeError if none can be made."""
        self.busy += 1
        if self._count < min(self.busy, _at_once):
            self._count += 1
            try:
                start_new_thread(self._run, ())
            except RuntimeError:  # the system has no more threads for us
                self._count -= 1  # nobody waits for an end of this one
                raise
        self._names.put(name)

    def end(self) -> tuple[str, BaseException | None]:
        """Wait for the next call that ends: its name, and what it has raised."""
        found = self._ended.get()
        self.busy -= 1
        assert found is not None
        return found

    def _run(self) -> None:
        while (name := self._names.get()) is not None:
            error = None
            try:
                self._work(name)
            except BaseException as e:  # noqa: BLE001  # it is for the thread that waits
                error = e
            self._ended.put((name, error))
        self._ended.put(None)


def each(dependencies: Dependencies, work: Callable[[str], object]) -> None:
    """Call `work` for every name in threads, as soon as it has returned for all that the name depends on.

    After a failure nothing new begins; the first exception is raised once what runs has ended.
    """
    if len(dependencies) == 1:
        for name in dependencies:
            work(name)
        return
    waiting = {name: {other for other in needed if other in dependencies} for name, needed in dependencies.items()}
    dependents = reverse(dependencies)
    ready = [name for name, needed in waiting.items() if not needed]
    failure: BaseException | None = None
    with _Threads(work) as threads:
        while ready or threads.busy:
            for name in ready:
                threads.begin(name)
            ready = []
            name, error = threads.end()
            failure = failure or error
            if failure is not None:
                continue
            for other in dependents[name]:
                waiting[other].discard(name)
                if not waiting[other]:
                    ready.append(other)
    if failure is not None:
        raise failure


def together(items: Iterable[_Item], work: Callable[[_Item], object]) -> None:
    """Call `work` for all items at the same time. Raises the first exception once all have ended."""
    made = list(items)
    each({str(at): () for at in range(len(made))}, lambda name: work(made[int(name)]))
