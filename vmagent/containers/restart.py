"""Restart policies: whether and when a container is started again.

As under docker, the delay is 100 ms and doubles up to a minute; it is reset after a run of 10 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmagent.containers.model import State

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 60.0
STEADY_S = 10.0  # a run of this length resets the delay


def should_restart(policy: Mapping[str, Any], state: State) -> bool:
    """Whether `policy` (HostConfig.RestartPolicy) restarts a container whose run ended with `state`."""
    if state.stopped_by_hand:
        return False
    match policy["Name"]:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            most = policy["MaximumRetryCount"]
            return state.exit_code != 0 and (most == 0 or state.restart_count < most)
    return False


def starts_with_the_engine(policy: Mapping[str, Any], state: State) -> bool:
    """Whether `policy` starts a stopped container when the engine opens its data root."""
    match policy["Name"]:
        case "always":
            return state.started_ns != 0
        case "unless-stopped":
            return state.started_ns != 0 and not state.stopped_by_hand
    return False


def next_delay_s(last_delay_s: float, lived_s: float) -> float:
    """Seconds until the next start, after a run of `lived_s` seconds that followed a delay of `last_delay_s`."""
    if lived_s > STEADY_S or last_delay_s <= 0:
        return FIRST_DELAY_S
    return min(last_delay_s * 2, LONGEST_DELAY_S)
