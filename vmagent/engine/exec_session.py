"""One exec and the client that is attached to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Bell, Live
from vmagent.containers.streams import write_all
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.messages import ExecStreams, HeldExec, NotHeld, SupervisorError
from vmagent.supervisor.windowreader import WindowReader

ATTACHABLE = ("AttachStdin", "AttachStdout", "AttachStderr")
READ_BYTES = 128 << 10  # at most, for one write to the client
_SHOWN = ("Cmd", "Tty", "Privileged", "User", "DetachKeys", *ATTACHABLE)  # fields of the request that inspect shows


@dataclass(slots=True, eq=False)
class Exec:
    """One exec: its request and its state."""

    id: str
    live: Live
    request: JsonObject
    run: int  # the container's run number at the exec's creation
    started: bool = False
    running: bool = False
    exit_code: int | None = None
    pid: int = 0
    asked_at: float = -1000.0  # loop time of the start, then of the last inspect
    is_probe: bool = False  # a health check
    lost_client: bool = False  # its client was attached through a killed engine, and may attach again
    session: ExecSession | None = None
    ended: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    bell: Bell = field(default_factory=Bell)  # rung when there is more output, and at the end

    @property
    def tty(self) -> bool:
        return bool(self.request.get("Tty"))

    @property
    def is_void(self) -> bool:
        """It was never started, and its container's run has ended, so it can't be started any more."""
        return not self.started and self.live.run_is_over(self.run)

    def facts(self) -> JsonObject:
        """The data that the supervisor keeps for the next engine, see `from_held`."""
        shown = {name: self.request[name] for name in _SHOWN if self.request.get(name)}
        return {"request": shown, "run": self.run, "is_probe": self.is_probe}

    @classmethod
    def from_held(cls, held: HeldExec, live: Live) -> Exec:
        """Rebuild an exec that an earlier engine started."""
        exec_ = cls(held.exec_id, live, dict(held.facts["request"]), held.facts["run"], started=True, running=True)
        exec_.pid = held.pid
        exec_.is_probe = held.facts["is_probe"]
        exec_.lost_client = held.has_output and held.is_attended
        exec_.begun.set()
        if held.exit_code is not None:
            exec_.end(held.exit_code)
        return exec_

    def end(self, exit_code: int) -> None:
        """Record the exit; a repeated report has no effect."""
        if not self.ended.done():
            self.exit_code, self.running = exit_code, False
            self.ended.set_result(None)
            self.bell.ring()


class ExecSession:
    """One client attached to an exec. After it detaches, the process continues, and only the latest output is kept."""

    def __init__(
        self,
        exec_: Exec,
        events: ContainerEvents,
        background: Background,
        supervisor: SupervisorClient,
        streams: ExecStreams,
    ) -> None:
        """Takes ownership of the descriptors in `streams`."""
        self._exec, self._events, self._background = exec_, events, background
        self._supervisor, self._streams = supervisor, streams
        self._reader = WindowReader(*streams.window) if streams.window is not None else None
        self._is_left = self._is_closed = False
        exec_.session = self
        if streams.stdin_fd is not None:
            os.set_blocking(streams.stdin_fd, False)

    @property
    def tty(self) -> bool:
        return self._exec.tty

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1 or 2, bytes) until the process has ended and all its output was yielded."""
        try:
            while not self._is_left:
                news = self._exec.bell.next()
                has_ended = self._exec.ended.done()  # read this before the window, else the last output could be missed
                while self._reader is not None and (part := self._reader.read(READ_BYTES)) is not None:
                    yield part
                    self._note_delivered()
                if has_ended:
                    return
                await news
        finally:
            self._close()

    def _note_delivered(self) -> None:
        if self._reader is not None and self._reader.note_delivered():
            self._supervisor.exec_read(self._exec.id)

    async def write(self, data: bytes) -> None:
        """Write to the process's stdin; waits while the pipe is full. Raises BrokenPipeError once it has ended."""
        if self._streams.stdin_fd is not None:
            await write_all(self._streams.stdin_fd, data)

    async def close_stdin(self) -> None:
        """Close the process's stdin, so that it reads end-of-file. Has no effect with a terminal."""
        if not self.tty and self._streams.stdin_fd is not None:
            self._close_stdin_fd()
            with suppress(SupervisorError):  # it has ended
                await self._supervisor.close_exec_stdin(self._exec.id)

    async def detach(self, *, keys: bool = False) -> None:
        """End the session; the process continues. `keys`: the client sent the detach keys."""
        self._is_left = True
        self._close()
        self._exec.bell.ring()
        if keys:
            self._events.publish(self._exec.live.record, "exec_detach", execID=self._exec.id)

    def _close_stdin_fd(self) -> None:
        fd, self._streams.stdin_fd = self._streams.stdin_fd, None
        if fd is not None:
            os.close(fd)

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._reader = None
        self._streams.close()
        self._exec.session = None
        if self._exec.ended.done():
            self._supervisor.close_exec(self._exec.id)
        else:
            self._background.spawn(leave(self._supervisor, self._exec.id), f"leave exec {self._exec.id[:12]}")


async def leave(supervisor: SupervisorClient, exec_id: str) -> None:
    """Detach from an exec: its output no longer waits for a reader, and its input is closed."""
    with suppress(NotHeld):  # it has ended, or was never started
        await supervisor.leave_exec(exec_id)
