"""Id maps of user namespaces as lists of [inside, outside, count], the lines of /proc/PID/uid_map.

Light: the supervisor loads it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OVERFLOW_ID = 65534  # /proc/sys/kernel/overflowuid


def outside(number: int, entries: Sequence[Sequence[int]]) -> int:
    """The host's id of one inside; the overflow id where it has none."""
    for first, there, count in entries:
        if first <= number < first + count:
            return there + number - first
    return OVERFLOW_ID


def inside(number: int, entries: Sequence[Sequence[int]]) -> int:
    """How the host's id `number` is seen inside."""
    for first, there, count in entries:
        if there <= number < there + count:
            return first + number - there
    return OVERFLOW_ID
