"""Restart policies: whether, and after how long (docker: 100 ms, doubling to a minute, from new after 10 s of life)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmagent.containers.model import State

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 60.0
STEADY_S = 10.0  # who lived that long starts over with the first delay


def should_restart(policy: Mapping[str, Any], state: State) -> bool:
    """Whether `policy` (HostConfig.RestartPolicy) starts a container again that ended with `state`."""
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
    """Whether a container that does not run is started when the engine opens its data root."""
    match policy["Name"]:
        case "always":
            return state.started_ns != 0
        case "unless-stopped":
            return state.started_ns != 0 and not state.stopped_by_hand
    return False


def next_delay_s(last_delay_s: float, lived_s: float) -> float:
    """The pause before the next start."""
    if lived_s > STEADY_S or last_delay_s <= 0:
        return FIRST_DELAY_S
    return min(last_delay_s * 2, LONGEST_DELAY_S)
