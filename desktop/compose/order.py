"""The order in which services are worked on: what others depend on comes first, the rest at the same time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

_at_once = 32  # threads: each waits for a reply of the engine most of the time

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
    running: dict[Future[object], str] = {}
    failure: BaseException | None = None
    with ThreadPoolExecutor(min(_at_once, max(1, len(dependencies))), "compose") as pool:
        while ready or running:
            for name in ready:
                running[pool.submit(work, name)] = name
            ready = []
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                if (error := future.exception()) is not None:
                    failure = failure or error
                    continue
                for other in dependents[name]:
                    waiting[other].discard(name)
                    if not waiting[other] and failure is None:
                        ready.append(other)
            if failure is not None:
                ready = []
    if failure is not None:
        raise failure


def together(items: Iterable[_Item], work: Callable[[_Item], object]) -> None:
    """Call `work` for all items at the same time. Raises the first exception once all have ended."""
    made = list(items)
    each({str(at): () for at in range(len(made))}, lambda name: work(made[int(name)]))
