"""Id maps of user namespaces as lists of [inside, outside, count], the lines of /proc/PID/uid_map.

It imports nothing: the supervisor loads it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OVERFLOW_ID = 65534  # /proc/sys/kernel/overflowuid


def outside(number: int, entries: Sequence[Sequence[int]]) -> int:
    """The host's id of the id `number` inside the namespace; the overflow id if it is not mapped."""
    for first, there, count in entries:
        if first <= number < first + count:
            return there + number - first
    return OVERFLOW_ID


def inside(number: int, entries: Sequence[Sequence[int]]) -> int:
    """The id inside the namespace of the host's id `number`; the overflow id if it is not mapped."""
    for first, there, count in entries:
        if there <= number < there + count:
            return first + number - there
    return OVERFLOW_ID
