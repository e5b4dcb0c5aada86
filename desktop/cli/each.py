"""A verb for several containers or images: all are tried, each failure is printed, the status is 1 if any failed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from desktop.cli.app import FAILURES, message_of
from desktop.client.engine import ApiError

_AT_ONCE = 16


def each(names: Sequence[str], act: Callable[[str], object], *, missing_is_fine: bool = False) -> int:
    """`act` on each name, several at once; names are printed in their order as they are done.

    `missing_is_fine`: it is told that something is not there, but that is no failure (`rm -f`).
    """
    failed = 0
    for name, failure in _results(names, act):
        if failure is None:
            print(name, flush=True)
        else:
            failed += not (missing_is_fine and isinstance(failure, ApiError) and failure.status == 404)
            sys.stdout.flush()
            print(message_of(failure), file=sys.stderr)
    return 1 if failed else 0


def _results(names: Sequence[str], act: Callable[[str], object]) -> list[tuple[str, Exception | None]]:
    def tried(name: str) -> Exception | None:
        try:
            act(name)
        except FAILURES as e:
            return e
        return None

    if len(names) == 1:
        return [(names[0], tried(names[0]))]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(zip(names, pool.map(tried, names), strict=True))
