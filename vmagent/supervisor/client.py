"""The engine's side of the supervisor's socket, for asyncio.

The client outlives the supervisor. When the connection breaks, it connects again (the keeper holds the listening
socket, so connecting succeeds as long as the keeper lives) and repeats every request that has no reply yet. That is
safe: the supervisor replies to a repeated `spawn` or `exec` with the existing process. A signal may be sent twice.

Events are passed to `on_event`, on the loop, in order. `Exited` is repeated after every reconnection until
`acknowledge`. `LogGrew` means only "read the log again"; after a reconnection it comes for every running container.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmagent.linux.packets import Link, PeerLost
from vmagent.runtime.fields import to_wire
from vmagent.runtime.plantypes import VERSION
from vmagent.supervisor.messages import (
    ExecExited,
    ExecGrew,
    ExecRequest,
    ExecStreams,
    Exited,
    Held,
    HeldExec,
    LogGrew,
    NotHeld,
    Spawned,
    SpawnError,
    SpawnRequest,
    SupervisorError,
    SupervisorEvent,
    SupervisorUnavailable,
)

REQUEST_LIMIT_S = 30.0
SPAWN_LIMIT_S = 120.0
_CLOSE_S = 0.01
_RETRY_S = 0.05  # between attempts while connecting fails: the keeper has ended or has not started yet


_Answer = tuple[dict[str, Any], list[int]]  # the message and its descriptors


class _Pending:
    """A request without a reply. It is kept, with its descriptors, to be sent again after a reconnection."""

    __slots__ = ("answer", "fds", "message")

    def __init__(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        self.message = message
        self.fds = [os.dup(fd) for fd in fds]
        self.answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()

    def give_up(self, limit_s: float) -> None:
        """No reply has come in time."""
        if not self.answer.done():
            text = f"the supervisor did not answer {self.message['op']} in {limit_s:g} s"
            self.answer.set_exception(SupervisorUnavailable(text))

    def drop_answer(self) -> None:
        """The caller was cancelled. Close descriptors that arrived with a simultaneous reply."""
        if self.answer.done() and not self.answer.cancelled() and self.answer.exception() is None:
            for fd in self.answer.result()[1]:
                os.close(fd)

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class SupervisorClient:
    """The engine's connection to the supervisor; one per engine. Use it on one event loop only."""

    def __init__(self) -> None:
        self._path = ""
        self._on_event: Callable[[SupervisorEvent], None] = lambda event: None
        self._link: Link | None = None
        self._pending: dict[int, _Pending] = {}
        self._numbers = itertools.count(1)
        self._reconnecting: asyncio.Task[None] | None = None
        self._is_writer_added = False
        self._is_opening = False
        self._closed = False

    async def connect(self, socket_path: Path | str, on_event: Callable[[SupervisorEvent], None]) -> None:
        """Connect, waiting for the socket up to `REQUEST_LIMIT_S`. Raises SupervisorUnavailable."""
        self._path = str(socket_path)
        self._on_event = on_event
        try:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                await self._open()
        except TimeoutError as e:
            raise SupervisorUnavailable(f"nothing answers at {self._path}") from e

    async def close(self) -> None:
        """Close the connection; pending requests raise SupervisorUnavailable. Containers are not touched."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.gather(self._reconnecting, return_exceptions=True)
        self._drop_link()
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(SupervisorUnavailable("the engine is stopping"))

    # Containers

    async def list(self) -> Sequence[Held]:
        """All runs of containers that have not been acknowledged yet."""
        answer, _ = await self._request({"op": "list"})
        return [Held(**entry) for entry in answer["held"]]

    async def spawn(self, request: SpawnRequest) -> Spawned:
        """Start a container. Raises SpawnError; SupervisorError."""
        message = {
            "op": "spawn",
            "id": request.id,
            "run": request.run,
            "version": VERSION,
            "plan": to_wire(request.plan),
            "log_dir": request.log_dir,
            "log_limits": request.log_limits,
            "open_stdin": request.open_stdin,
            "tty": request.tty,
            "tty_size": request.tty_size,
        }
        fds = [] if request.netns_fd is None else [request.netns_fd]
        answer, _ = await self._request(message, fds, limit_s=SPAWN_LIMIT_S)
        return Spawned(pid=answer["pid"], started_at_ns=answer["started_at_ns"], timings=answer["timings"])

    async def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to the container's first process. Raises NotHeld if it has ended."""
        await self._request({"op": "signal", "id": container_id, "signum": signum})

    async def pause(self, container_id: str) -> None:
        """Freeze the container's processes. Idempotent. Raises NotHeld, SupervisorError."""
        await self._request({"op": "pause", "id": container_id})

    async def resume(self, container_id: str) -> None:
        """Thaw the container's processes. Idempotent. Raises NotHeld, SupervisorError."""
        await self._request({"op": "resume", "id": container_id})

    async def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Change cgroup limits; `resources` is linux.resources of the OCI spec. Raises NotHeld, SupervisorError."""
        await self._request({"op": "update", "id": container_id, "resources": resources})

    async def stats(self, container_id: str) -> dict[str, Any]:
        """The cgroup's counters, in the form of vmagent.runtime.cgroups.base.empty_stats. Raises NotHeld."""
        answer, _ = await self._request({"op": "stats", "id": container_id})
        stats: dict[str, Any] = answer["stats"]
        return stats

    async def pids(self, container_id: str) -> Sequence[int]:
        """The pids of the container's processes in the host's pid namespace. Raises NotHeld."""
        answer, _ = await self._request({"op": "pids", "id": container_id})
        return [int(pid) for pid in answer["pids"]]

    async def resize(self, container_id: str, rows: int, cols: int) -> None:
        """Set the size of the container's terminal. Raises NotHeld; SupervisorError without a tty."""
        await self._request({"op": "resize", "id": container_id, "rows": rows, "cols": cols})

    async def stdin_fd(self, container_id: str) -> int:
        """A copy of the write end of stdin, or of the pty's master; the caller closes it. Raises NotHeld."""
        _, fds = await self._request({"op": "stdin_fd", "id": container_id})
        return fds[0]

    async def close_stdin(self, container_id: str) -> None:
        """Close the supervisor's copy of stdin's write end. Idempotent.

        The container reads end of file once all copies are closed.
        """
        await self._request({"op": "close_stdin", "id": container_id})

    async def acknowledge(self, container_id: str, run: int) -> None:
        """The engine has stored the exit status: drop the run, and its cgroup if that still exists. Idempotent."""
        await self._request({"op": "acknowledge", "id": container_id, "run": run})

    # Execs

    async def exec(self, request: ExecRequest) -> tuple[int, ExecStreams]:
        """Start another process in a container; returns its pid and streams.

        A full window blocks the command: read the output, or call `leave_exec`. Raises SpawnError; NotHeld if the
        container is not running.
        """
        message = {
            "op": "exec",
            "exec_id": request.exec_id,
            "id": request.container_id,
            "version": VERSION,
            "process": to_wire(request.process),
            "facts": request.facts,
            "tty": request.tty,
            "tty_size": request.tty_size,
            "streams": [*request.streams],
            "owner": request.pipe_owner,
        }
        reply, fds = await self._request(message, limit_s=SPAWN_LIMIT_S)
        return reply["pid"], _streams(reply, fds)

    async def list_execs(self) -> Sequence[HeldExec]:
        """Every exec that is running, or has ended in the last five minutes."""
        reply, _ = await self._request({"op": "list_execs"})
        return [HeldExec(**entry) for entry in reply["execs"]]

    async def exec_streams(self, exec_id: str) -> ExecStreams:
        """New descriptors of an exec's streams, for a client that attaches to an exec of an earlier engine.

        Raises NotHeld.
        """
        reply, fds = await self._request({"op": "exec_streams", "exec_id": exec_id})
        return _streams(reply, fds)

    def exec_read(self, exec_id: str) -> None:
        """Report that the client has read output, so that the supervisor can go on filling a window that was full."""
        self._post({"op": "exec_read", "exec_id": exec_id, "q": 0})

    async def leave_exec(self, exec_id: str) -> None:
        """The client has left: from now on only the latest output is kept, and the input is closed. Raises NotHeld."""
        await self._request({"op": "leave_exec", "exec_id": exec_id})

    async def close_exec_stdin(self, exec_id: str) -> None:
        """Let the command see the end of its input once the engine's copy is closed. Raises NotHeld."""
        await self._request({"op": "close_exec_stdin", "exec_id": exec_id})

    def close_exec(self, exec_id: str) -> None:
        """Let the supervisor close the streams: the engine knows the exit status and has delivered the output."""
        # Delayed so that the waiting client is answered first. If the message is lost with the connection, the exit
        # is reported again, and the engine closes the exec again.
        message = {"op": "close_exec", "exec_id": exec_id, "q": 0}
        asyncio.get_running_loop().call_later(_CLOSE_S, self._post, message)

    async def signal_exec(self, exec_id: str, signum: int) -> None:
        """Send a signal to an exec's process. Raises NotHeld if it has ended."""
        await self._request({"op": "signal_exec", "exec_id": exec_id, "signum": signum})

    async def resize_exec(self, exec_id: str, rows: int, cols: int) -> None:
        """Set the size of the exec's terminal. Raises NotHeld; SupervisorError without a tty."""
        await self._request({"op": "resize_exec", "exec_id": exec_id, "rows": rows, "cols": cols})

    # The connection

    async def _request(
        self, message: dict[str, Any], fds: Sequence[int] = (), *, limit_s: float = REQUEST_LIMIT_S
    ) -> _Answer:
        if self._closed:
            raise SupervisorUnavailable("the engine is stopping")
        number = next(self._numbers)
        pending = _Pending({**message, "q": number}, fds)
        self._pending[number] = pending
        timer = asyncio.get_running_loop().call_later(limit_s, pending.give_up, limit_s)
        try:
            self._send(pending)
            return await pending.answer
        except asyncio.CancelledError:
            pending.drop_answer()
            raise
        finally:
            timer.cancel()
            del self._pending[number]
            pending.close()

    def _send(self, pending: _Pending) -> None:
        if self._link is None:
            return  # `_open` sends it after reconnecting
        try:
            self._link.send(pending.message, pending.fds)
        except PeerLost:
            self._lost()
            return
        self._watch_writable()

    def _watch_writable(self) -> None:
        link = self._link
        if link is None or link.is_behind == self._is_writer_added:
            return
        loop = asyncio.get_running_loop()
        if link.is_behind:
            loop.add_writer(link.fd, self._on_writable)
        else:
            loop.remove_writer(link.fd)
        self._is_writer_added = link.is_behind

    def _on_writable(self) -> None:
        if self._link is None:
            return
        try:
            self._link.flush()
        except PeerLost:
            self._lost()
            return
        self._watch_writable()

    def _on_readable(self) -> None:
        for _ in range(64):  # then let the loop serve others
            if self._link is None:
                return
            try:
                received = self._link.receive()
            except PeerLost:
                self._lost()
                return
            if received is None:
                return
            self._take(*received)

    def _take(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        pending = self._pending.get(message["a"]) if "a" in message else None
        if pending is not None and not pending.answer.done():
            if "error" in message:
                pending.answer.set_exception(_error(message))
            else:
                pending.answer.set_result((message, [*fds]))
                return
        for fd in fds:  # the request was cancelled or has timed out
            os.close(fd)
        match message.get("e"):
            case "exited":
                self._on_event(
                    Exited(
                        id=message["id"],
                        run=message["run"],
                        exit_code=message["exit_code"],
                        oom_killed=message["oom_killed"],
                        at_ns=message["at_ns"],
                    )
                )
            case "exec_exited":
                self._on_event(ExecExited(exec_id=message["exec_id"], exit_code=message["exit_code"]))
            case "grew":
                for container_id in message["ids"]:
                    self._on_event(LogGrew(id=container_id))
                for exec_id in message["execs"]:
                    self._on_event(ExecGrew(exec_id=exec_id))

    def _post(self, message: dict[str, Any]) -> None:
        """Send a message that has no reply and is not repeated after a reconnection."""
        if self._link is not None:
            try:
                self._link.send(message)
            except PeerLost:
                self._lost()
                return
            self._watch_writable()

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(link.fd)
        if self._is_writer_added:
            loop.remove_writer(link.fd)
            self._is_writer_added = False
        link.close()

    def _lost(self) -> None:
        self._drop_link()
        if not self._closed and not self._is_opening:
            self._reconnecting = asyncio.create_task(self._open(), name="reconnect to the supervisor")

    async def _open(self) -> None:
        """Connect, however long it takes, then send all pending requests again."""
        self._is_opening = True
        try:
            while self._link is None:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                sock.setblocking(False)
                try:
                    sock.connect(self._path)  # never blocks on a unix socket: connected, ECONNREFUSED or EAGAIN
                except OSError:
                    sock.close()
                    await asyncio.sleep(_RETRY_S)
                    continue
                self._link = Link(sock)
                asyncio.get_running_loop().add_reader(self._link.fd, self._on_readable)
                for number in sorted(self._pending):
                    self._send(self._pending[number])  # if the link is lost here, the outer loop connects again
        finally:
            self._is_opening = False


def _streams(reply: Mapping[str, Any], fds: Sequence[int]) -> ExecStreams:
    rest = [*fds]
    window = (rest.pop(0), rest.pop(0)) if reply["has_output"] else None
    return ExecStreams(window=window, stdin_fd=rest[0] if rest else None)


def _error(message: Mapping[str, Any]) -> SupervisorError:
    text, kind = message["error"], message.get("kind", "")
    if kind == "not-held":
        return NotHeld(text)
    if kind == "refused":
        return SupervisorError(text)
    return SpawnError(kind, text)
