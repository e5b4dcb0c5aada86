"""The usage of the running containers, once a second while one of them is visible, from the engine's stream of usage;
from the same stream the traffic of each container in each network, while it is wanted.

An engine other than Cove's has no such stream; one request per visible container is sent instead, and the usage of the
others is not known. Nor is the traffic: such an engine tells it by the interfaces' names. No Qt in here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

from desktop.client.api import JsonStream
from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from desktop.ui.feed.container import Traffic, Usage
from desktop.ui.kit.words import from_rfc3339

PERIOD_S = 1.0
AT_ONCE = 8
# The last three: the reply does not have the expected shape.
_FAILURES = (ApiError, ConnectionFailed, ProtocolError, OSError, ValueError, TypeError, AttributeError)


Traffics = dict[tuple[str, str], Traffic]  # by the ids of container and network


class Meter:
    """Reads the usage of the wanted containers in its own thread (`run`) and hands it to `tell` as {id: Usage}, and the
    traffic to `tell_traffic`: of all running containers at once, so who is missing does not run or is not measured."""

    def __init__(
        self,
        client: EngineClient,
        tell: Callable[[dict[str, Usage]], None],
        tell_traffic: Callable[[Traffics], None],
    ) -> None:
        self._client, self._tell, self._tell_traffic = client, tell, tell_traffic
        self._changed = threading.Condition()
        self._ids: tuple[str, ...] = ()
        self.wants_traffic = False
        self._has_more = False  # new ids were added that are not measured yet
        self._closed = False
        self._stream: JsonStream | None = None
        self._has_stream = True  # False after the engine has replied 404
        self._rates, self._traffic = CpuRates(), TrafficRates()

    def want_traffic(self, on: bool) -> None:
        """Whether to measure the traffic from now on."""
        with self._changed:
            self._has_more = self._has_more or (on and not self.wants_traffic)
            self.wants_traffic = on
            if not self._wants_any:
                self._end_stream()
            self._changed.notify_all()

    @property
    def _wants_any(self) -> bool:
        return bool(self._ids) or (self.wants_traffic and self._has_stream)

    def want(self, ids: Iterable[str]) -> None:
        """Measure `ids` from now on; none: send no requests."""
        with self._changed:
            before, self._ids = set(self._ids), tuple(ids)
            self._has_more = not before.issuperset(self._ids)
            if not self._wants_any:
                self._end_stream()
            self._changed.notify_all()

    def expect_stream(self) -> None:
        """Called at a new contact: this engine may have the stream although the previous one had none."""
        with self._changed:
            self._has_stream = True
            self._changed.notify_all()

    def close(self) -> None:
        """Make `run` return."""
        with self._changed:
            self._closed = True
            self._end_stream()
            self._changed.notify_all()

    def run(self) -> None:
        """Measure until `close`. Runs in its own thread."""
        with ExitStack() as at_end:
            pool: ThreadPoolExecutor | None = None
            while self._wait_for_wish():
                try:
                    if self._has_stream:
                        self._follow()
                    else:
                        if pool is None:
                            pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cove-ui-meter")
                            at_end.callback(pool.shutdown, wait=False, cancel_futures=True)
                        self._ask_each(pool)
                except ApiError as e:
                    if e.status == 404 and self._has_stream:
                        self._has_stream = False
                        continue
                except _FAILURES:
                    self._forget()  # the session handles lost contact; here the measurement is just repeated
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or self._has_more, PERIOD_S)

    def _wait_for_wish(self) -> bool:
        """Wait until ids or the traffic are wanted; False: closed."""
        with self._changed:
            if not self._wants_any:
                self._forget()
            self._changed.wait_for(lambda: self._closed or self._wants_any)
            self._has_more = False
            return not self._closed

    def _forget(self) -> None:
        """Drop the counters: the next ones do not follow on them."""
        self._rates.clear()
        self._traffic.clear()

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()

    # an engine with the stream ---------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Read the stream until it ends, is closed, or nothing of it is wanted."""
        with self._client.usage(int(PERIOD_S * 1000)) as stream:
            with self._changed:
                if self._closed or not self._wants_any:
                    return
                self._stream = stream
            try:
                for sample in stream:
                    self._take(sample)
            finally:
                with self._changed:
                    self._stream = None

    def _take(self, sample: Mapping[str, Any]) -> None:
        entries: list[Mapping[str, Any]] = list(sample.get("containers") or ())
        if self.wants_traffic:
            self._tell_traffic(self._traffic.of(entries))
        if self._ids:
            self._take_usage(entries)

    def _take_usage(self, entries: Sequence[Mapping[str, Any]]) -> None:
        found: dict[str, Usage] = {}
        for entry in entries:
            container_id = str(entry.get("id", ""))
            cpu = self._rates.percent(container_id, int(entry.get("cpu_ns") or 0), str(entry.get("read", "")))
            if cpu is not None:
                found[container_id] = Usage(
                    cpu_percent=cpu,
                    memory_bytes=int(entry.get("memory_bytes") or 0),
                    memory_limit=int(entry.get("memory_limit_bytes") or 0),
                    pids=int(entry.get("pids") or 0),
                )
        self._rates.keep({str(entry.get("id", "")) for entry in entries})
        if found:
            self._tell(found)

    # another engine --------------------------------------------------------------------------------------------------

    def _ask_each(self, pool: ThreadPoolExecutor) -> None:
        """One request per container, several at once, because dockerd takes up to a second for each."""
        ids = self._ids
        found = {i: usage for i, usage in zip(ids, pool.map(self._ask, ids), strict=True) if usage}
        self._rates.keep(ids)
        if found and not self._closed:
            self._tell(found)

    def _ask(self, container_id: str) -> Usage | None:
        if self._closed:
            return None
        try:
            sample = self._client.json_object(
                "GET", f"/containers/{container_id}/stats", {"stream": False, "one-shot": True}
            )
        except _FAILURES:
            return None  # deleted or unreachable; the session's other threads handle both
        cpu, used = sample.get("cpu_stats") or {}, sample.get("memory_stats") or {}
        total = int((cpu.get("cpu_usage") or {}).get("total_usage") or 0)
        percent = self._rates.percent(container_id, total, str(sample.get("read", "")))
        if percent is None or not used:
            return None
        return Usage(
            cpu_percent=percent,
            memory_bytes=memory_in_use(used),
            memory_limit=int(used.get("limit") or 0),
            pids=int((sample.get("pids_stats") or {}).get("current") or 0),
        )


class CpuRates:
    """CPU use in percent of one CPU, from a counter read twice."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[int, int]] = {}

    def percent(self, container_id: str, cpu_ns: int, read: str) -> float | None:
        """`cpu_ns`: CPU time used until `read`, an RFC 3339 time. None at the first reading of a container."""
        at_ns = _nanoseconds(read)
        before = self._before.get(container_id)
        self._before[container_id] = (cpu_ns, at_ns)
        if before is None or at_ns <= before[1]:
            return None
        return max(0.0, (cpu_ns - before[0]) / (at_ns - before[1]) * 100)

    def keep(self, ids: Iterable[str]) -> None:
        """Forget all other containers."""
        self._before = {i: self._before[i] for i in ids if i in self._before}

    def clear(self) -> None:
        self._before = {}


class _Carried(NamedTuple):
    """The counters of one interface: bytes since the start number `run`, at `at_ns` (nanoseconds since 1970)."""

    run: int
    at_ns: int
    received: int
    sent: int


class TrafficRates:
    """Traffic in bytes per second, from counters read twice."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], _Carried] = {}

    def of(self, entries: Iterable[Mapping[str, Any]]) -> Traffics:
        """The traffic since the reading before, from all `containers` of a UsageSample; of a container's first reading
        after a start, or after it joined a network, nothing is known."""
        rates: Traffics = {}
        now: dict[tuple[str, str], _Carried] = {}
        for entry in entries:
            run, at_ns = int(entry.get("run") or 0), _nanoseconds(str(entry.get("read", "")))
            for network in entry.get("networks") or ():
                key = str(entry.get("id", "")), str(network.get("network", ""))
                received, sent = int(network.get("received_bytes") or 0), int(network.get("sent_bytes") or 0)
                now[key] = _Carried(run, at_ns, received, sent)
                before = self._before.get(key)
                if before is None or before.run != run or at_ns <= before.at_ns:
                    continue
                passed_s = (at_ns - before.at_ns) / 1e9
                rates[key] = Traffic(
                    received=max(0, received - before.received) / passed_s, sent=max(0, sent - before.sent) / passed_s
                )
        self._before = now
        return rates

    def clear(self) -> None:
        self._before = {}


def memory_in_use(stats: Mapping[str, Any]) -> int:
    """`memory_stats` of ContainerStats without the file cache that the kernel can drop, as docker's CLI counts it."""
    usage = int(stats.get("usage") or 0)
    detail = stats.get("stats") or {}
    cache = int(detail.get("total_inactive_file") or detail.get("inactive_file") or 0)
    return usage - cache if cache < usage else usage


def _nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time with up to nine digits; 0 for none."""
    seconds = from_rfc3339(text)
    return 0 if seconds is None else int(seconds * 1e9)
