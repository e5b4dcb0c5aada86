"""Health checks: run a command in the container at intervals, and derive the health status from its results.

Engine API, HealthConfig.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from vmagent.containers.goio import duration
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Live
from vmagent.containers.model import Status, now_ns, rfc3339
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.execs import Execs
from vmagent.engine.states import StateWriter
from vmagent.errors import EngineError

log = structlog.get_logger(__name__)

NS = 1_000_000_000
DEFAULT_INTERVAL_S, DEFAULT_TIMEOUT_S, DEFAULT_RETRIES, DEFAULT_START_INTERVAL_S = 30.0, 30.0, 3, 5.0
KEPT, OUTPUT_BYTES = 5, 4096  # number of results that inspect shows, bytes of output of each
STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"


@dataclass(slots=True, eq=False)
class Monitor:
    """The health status of one run of a container."""

    status: str = STARTING
    failing_streak: int = 0
    log: deque[JsonObject] = field(default_factory=lambda: deque(maxlen=KEPT))
    task: asyncio.Task[None] | None = None

    def to_json(self) -> JsonObject:
        return {"Status": self.status, "FailingStreak": self.failing_streak, "Log": list(self.log)}

    def note(self, exit_code: int, *, retries: int, in_start_period: bool) -> bool:
        """Count a result; returns whether the status changed. A failure in the start period does not count."""
        before = self.status
        if exit_code == 0:
            self.failing_streak, self.status = 0, HEALTHY
        elif not (in_start_period and self.status == STARTING):
            self.failing_streak += 1
            if self.failing_streak >= retries:
                self.status = UNHEALTHY
        return self.status != before


class HealthMonitors:
    """Runs the health checks of all containers."""

    def __init__(self, events: ContainerEvents, background: Background, execs: Execs, states: StateWriter) -> None:
        self._events, self._background, self._execs, self._states = events, background, execs, states

    def start(self, live: Live) -> None:
        """Start the health check of a container that has one. The results of its earlier runs are still shown."""
        live.record.state.health = ""
        earlier = live.health.log if live.health is not None else ()
        self._begin(live, Monitor(log=deque(earlier, maxlen=KEPT)))

    def resume(self, live: Live) -> None:
        """Continue the health check of a container that an earlier engine started, with the status it had."""
        self._begin(live, Monitor(status=live.record.state.health or STARTING))

    def _begin(self, live: Live, monitor: Monitor) -> None:
        config = live.record.config.get("Healthcheck") or {}
        command = _command(config, live)
        if not command:
            live.health = None
            return
        live.health = monitor
        monitor.task = self._background.spawn(self._watch(live, monitor, config, command), f"health {live.id[:12]}")

    def stop(self, live: Live) -> None:
        """Stop the health check at the end of a run; inspect still shows the results."""
        if live.health is not None and live.health.task is not None:
            live.health.task.cancel()
            live.health.task = None

    async def _watch(self, live: Live, monitor: Monitor, config: Mapping[str, Any], command: list[str]) -> None:
        interval_s = _seconds(config, "Interval", DEFAULT_INTERVAL_S)
        timeout_s = _seconds(config, "Timeout", DEFAULT_TIMEOUT_S)
        start_period_s = _seconds(config, "StartPeriod", 0.0)
        start_interval_s = _seconds(config, "StartInterval", DEFAULT_START_INTERVAL_S)
        retries = config.get("Retries") or DEFAULT_RETRIES
        loop = asyncio.get_running_loop()
        lived_s = max(0.0, (now_ns() - live.record.state.started_ns) / NS)  # more than 0 under an earlier engine
        start_period_ends = loop.time() - lived_s + start_period_s
        while True:
            left_s = start_period_ends - loop.time()
            starting = monitor.status == STARTING and left_s > 0
            # A start interval longer than the rest of the start period must not delay the first result that counts.
            await asyncio.sleep(min(start_interval_s, left_s) if starting else interval_s)
            if live.record.state.status is not Status.RUNNING:
                continue  # paused: the command could not run
            in_start_period = loop.time() < start_period_ends
            result = await self._probe(live, command, timeout_s)
            monitor.log.append(result)
            if monitor.note(result["ExitCode"], retries=retries, in_start_period=in_start_period):
                live.record.state.health = monitor.status
                self._states.note(live.record)
                self._events.publish(live.record, f"health_status: {monitor.status}")
                live.bell.ring()

    async def _probe(self, live: Live, command: list[str], timeout_s: float) -> JsonObject:
        began = now_ns()
        try:
            status, output = await self._execs.run(live, command, limit_s=timeout_s, output_bytes=OUTPUT_BYTES)
            exit_code, text = -1 if status is None else status, output.decode(errors="replace")
            if status is None:
                late = f"Health check exceeded timeout ({duration(int(timeout_s * NS))})"
                text = f"{late}: {text}" if text else late
        except EngineError as e:
            exit_code, text = -1, str(e)
        return {"Start": rfc3339(began), "End": rfc3339(now_ns()), "ExitCode": exit_code, "Output": text}


def health_json(live: Live) -> JsonObject | None:
    """inspect's `State.Health`; None without a check."""
    shown: JsonObject | None = live.health.to_json() if live.health is not None else None
    return shown


def health_status(live: Live) -> str:
    """`starting`, `healthy`, `unhealthy`, or `none` without a check."""
    return str(live.health.status) if live.health is not None else "none"


def _command(config: Mapping[str, Any], live: Live) -> list[str]:
    test = config.get("Test") or []
    if not test or test[0] == "NONE":
        return []
    if test[0] == "CMD":
        return list(test[1:])
    if test[0] == "CMD-SHELL":
        return [*(live.record.config.get("Shell") or ["/bin/sh", "-c"]), *test[1:]]
    return list(test)


def _seconds(config: Mapping[str, Any], key: str, default: float) -> float:
    value = config.get(key) or 0
    return value / NS if value else default
