"""What the containers in sight use, once a second, from the engine's stats."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from desktop.ui.facts import Usage
from desktop.ui.words import from_rfc3339

PERIOD_S = 1.0
AT_ONCE = 8


class Meter:
    """Reads stats of the wanted containers in its own thread (`run`) and hands them to `tell` as {id: Usage}."""

    def __init__(self, client: EngineClient, closed: threading.Event, tell: Callable[[dict[str, Usage]], None]) -> None:
        self._client, self._closed, self._tell = client, closed, tell
        self._lock = threading.Lock()
        self._ids: tuple[str, ...] = ()
        self._wake = threading.Event()
        self._before: dict[str, tuple[int, int]] = {}

    def want(self, ids: Iterable[str]) -> None:
        """Measure `ids` from now on; none: rest."""
        with self._lock:
            fresh = tuple(ids)
            more = set(fresh) - set(self._ids)
            self._ids = fresh
        if more:
            self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def run(self) -> None:
        """Until closed."""
        while not self._closed.is_set():
            with self._lock:
                ids = self._ids
            if not ids:
                self._before.clear()
                self._wake.wait()
                self._wake.clear()
                continue
            # At once, for an engine may take up to a second for each (docker waits for its own collector).
            with ThreadPoolExecutor(min(AT_ONCE, len(ids)), thread_name_prefix="cove-ui-meter") as pool:
                looks = {i: look for i, look in zip(ids, pool.map(self._measure, ids), strict=True) if look}
            if looks and not self._closed.is_set():
                self._tell(looks)
            self._wake.wait(PERIOD_S)
            self._wake.clear()

    def _measure(self, container_id: str) -> Usage | None:
        if self._closed.is_set():
            return None
        try:
            sample = self._client.json_object(
                "GET", f"/containers/{container_id}/stats", {"stream": False, "one-shot": True}
            )
        except (ApiError, ConnectionFailed, ProtocolError, OSError):
            self._before.pop(container_id, None)  # gone or unreachable: the watcher says which
            return None
        return self._look(container_id, sample)

    def _look(self, container_id: str, sample: Mapping[str, Any]) -> Usage | None:
        """The first sample of a container gives no CPU figure yet: that needs two."""
        cpu = sample.get("cpu_stats") or {}
        total = int((cpu.get("cpu_usage") or {}).get("total_usage") or 0)
        clock = _nanoseconds(str(sample.get("read", "")))
        used = sample.get("memory_stats") or {}
        before = self._before.get(container_id)
        self._before[container_id] = (total, clock)
        if before is None or clock <= before[1] or not used:
            return None
        limit = int(used.get("limit") or 0)
        return Usage(
            cpu_percent=max(0.0, (total - before[0]) / (clock - before[1]) * 100),
            memory_bytes=memory_in_use(used),
            memory_limit=limit,
            pids=int((sample.get("pids_stats") or {}).get("current") or 0),
        )


def memory_in_use(stats: Mapping[str, Any]) -> int:
    """`memory_stats` without the file cache that the kernel can drop, as docker's own clients count (api: stats)."""
    usage = int(stats.get("usage") or 0)
    detail = stats.get("stats") or {}
    cache = int(detail.get("total_inactive_file") or detail.get("inactive_file") or 0)
    return usage - cache if cache < usage else usage


def _nanoseconds(text: str) -> int:
    """Nanoseconds of an RFC 3339 time with up to nine digits; 0 for none."""
    seconds = from_rfc3339(text)
    return 0 if seconds is None else int(seconds * 1e9)
