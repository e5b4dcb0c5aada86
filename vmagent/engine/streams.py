"""`engine.streams`: attach, logs and the size of the terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote_plus

from vmagent.containers import logconfig
from vmagent.containers.live import Live
from vmagent.containers.model import Status
from vmagent.containers.session import AttachSession, follow
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.logs import Logs
from vmagent.engine.options import LogOptions, Session
from vmagent.engine.registry import Registry
from vmagent.errors import BadRequest, Conflict, NotImplementedHere
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.messages import NotHeld


class LogStream:
    """A container's log: `batches` yields its lines. No file is open before `batches` is called."""

    def __init__(self, logs: Logs, live: Live, options: LogOptions) -> None:
        self._logs, self._live, self._options = logs, live, options
        self._follows = options.follow and live.record.state.running

    @property
    def tty(self) -> bool:
        return self._live.record.tty

    @property
    def details(self) -> bytes:
        """What `logs --details` shows before each line: the chosen labels and variables."""
        record = self._live.record
        options = record.host_config["LogConfig"].get("Config") or {}
        chosen = logconfig.attributes(options, record.labels, record.config["Env"] or ())
        return ",".join(f"{quote_plus(name)}={quote_plus(chosen[name])}" for name in sorted(chosen)).encode()

    async def batches(self) -> AsyncIterator[Sequence[tuple[int, int, bytes]]]:
        """Lines in order of time, as many per batch as are available. Raises OSError."""
        options = self._options
        try:
            reader = await self._logs.open(
                self._live.record,
                trims=True,
                streams=tuple(number for number, wanted in ((1, options.stdout), (2, options.stderr)) if wanted),
                since_ns=options.since_ns or 0,
                until_ns=options.until_ns,
                tail=options.tail,
            )
            async for entries in follow(self._live, reader, follows=self._follows):
                yield entries
        finally:
            self._logs.trim_later(self._live.record)


class AttachedSession(AttachSession):
    """An attach session that publishes `detach` after the detach keys, and trims the log at its end."""

    def __init__(
        self, logs: Logs, events: ContainerEvents, supervisor: SupervisorClient, live: Live, /, **options: Any
    ) -> None:
        super().__init__(live, supervisor, **options)
        self._logs, self._events = logs, events

    def on_closed(self) -> None:
        self._logs.trim_later(self._live.record)

    async def detach(self, *, keys: bool = False) -> None:
        await super().detach(keys=keys)
        if keys:
            self._events.publish(self._live.record, "detach")


class Streams:
    """The verbs. All raise vmagent.errors."""

    def __init__(self, registry: Registry, events: ContainerEvents, supervisor: SupervisorClient, logs: Logs) -> None:
        self._registry, self._events, self._supervisor, self._logs = registry, events, supervisor, logs

    async def attach(self, ref: str, *, logs: bool, stream: bool, stdin: bool, stdout: bool, stderr: bool) -> Session:
        """ContainerAttach. Raises Conflict if the container is paused or restarting."""
        live = self._registry.find(ref)
        if live.record.state.status is Status.PAUSED:
            raise Conflict(f"container {live.id} is paused, unpause the container before attach")
        if live.record.state.status is Status.RESTARTING:
            raise Conflict(f"container {live.id} is restarting, wait until the container is running")
        streams = tuple(number for number, wanted in ((1, stdout), (2, stderr)) if wanted)
        session = AttachedSession(self._logs, self._events, self._supervisor, live, stream=stream, stdin=stdin)
        if streams:
            tail = None if logs else 0
            await session.open(self._logs.open(live.record, raw=True, streams=streams, tail=tail))
        self._events.publish(live.record, "attach")
        return session

    async def logs(self, ref: str, options: LogOptions) -> LogStream:
        """ContainerLogs. Raises BadRequest, Conflict, NotImplementedHere (driver none)."""
        live = self._registry.find(ref)
        record = live.record
        if not (options.stdout or options.stderr):
            raise BadRequest("Bad parameters: you must choose at least one stream")
        if record.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict("can not get logs from container which is dead or marked for removal")
        if record.host_config["LogConfig"]["Type"] == "none":
            raise NotImplementedHere("configured logging driver does not support reading")
        return LogStream(self._logs, live, options)

    async def resize(self, ref: str, *, height: int, width: int) -> None:
        """ContainerResize; without a terminal it does nothing. Raises Conflict if the container does not run."""
        live = self._registry.find(ref)
        if not live.record.state.running:
            raise Conflict(f"container {live.id} is not running")
        if not live.record.tty:
            return  # docker ignores it, too
        try:
            await self._supervisor.resize(live.id, height, width)
        except NotHeld as e:
            raise Conflict(f"container {live.id} is not running") from e
        self._events.publish(live.record, "resize", height=str(height), width=str(width))
