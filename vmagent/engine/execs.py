"""Further processes in running containers: the Engine API's exec verbs.

The supervisor makes the pipes and keeps the output in a window (`vmagent.supervisor.window`). The engine reads that
window for an attached client, and writes the client's input to a copy of the input pipe. So an exec outlives the
engine: the next engine rebuilds its `Exec` from the supervisor's list, and a client whose connection was lost may
start the exec again to attach to the rest of the output.

The exit code is recorded before the stream ends, because the CLI requests it right after the stream's end.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from signal import SIGKILL

import structlog

from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Live
from vmagent.containers.model import Container, Status
from vmagent.containers.spec import build_exec_process
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.exec_session import ATTACHABLE, Exec, ExecSession, leave
from vmagent.engine.launching import EXIT_FAILED, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND
from vmagent.engine.options import Session
from vmagent.engine.registry import Registry
from vmagent.engine.userns import UserNamespaces
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.linux.process import CLONE_NEWUSER
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.plan import compile_exec
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.execs import KEEP_S
from vmagent.supervisor.messages import (
    ExecExited,
    ExecGrew,
    ExecRequest,
    ExecStreams,
    HeldExec,
    NotHeld,
    SpawnError,
    SupervisorError,
)

log = structlog.get_logger(__name__)

ATTACH_AGAIN_S = 10.0  # how long after a take-over the output is kept for a client that lost its connection
RESIZE_LIMIT_S = 10.0  # how long a resize waits for the exec's start
# The API has no wait for execs, so a client that waits for an exec's end polls inspect. If less than POLL_S has passed
# since its last request or the start, the reply is delayed until the exec ends, or by POLL_PAUSE_S. Without the delay,
# client and engine take the processor time that the exec needs.
POLL_S = 0.05
POLL_PAUSE_S = 0.005
PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: "


class Execs:
    """`engine.execs`."""

    def __init__(
        self,
        registry: Registry,
        events: ContainerEvents,
        background: Background,
        supervisor: SupervisorClient,
        users: UserNamespaces,
        linked_env: Callable[[Container], Sequence[str]],
    ) -> None:
        """`linked_env`: the variables of a container's links."""
        self._registry, self._events, self._background = registry, events, background
        self._supervisor, self._users, self._linked_env = supervisor, users, linked_env
        self._execs: dict[str, Exec] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None

    async def create(self, ref: str, config: JsonObject) -> str:
        """ContainerExec: the new exec's id. Raises BadRequest, Conflict, NotFound."""
        live = self._registry.find(ref)
        command = config.get("Cmd")
        command = [command] if isinstance(command, str) else command
        if not command:
            raise BadRequest("No exec command specified")
        self._require_running(live)
        exec_ = Exec(secrets.token_hex(32), live, {**config, "Cmd": command}, live.record.state.run)
        self._execs[exec_.id] = exec_
        if self._sweep_timer is None:
            self._sweep_timer = asyncio.get_running_loop().call_later(KEEP_S, self._sweep)
        self._events.publish(live.record, f"exec_create: {' '.join(command)}", execID=exec_.id)
        return exec_.id

    @staticmethod
    def _require_running(live: Live) -> None:
        state = live.record.state
        if state.status is Status.PAUSED:
            raise Conflict(f"container {live.record.name} is paused, unpause the container before exec")
        if state.status is Status.RESTARTING:
            raise Conflict(f"container {live.id} is restarting, wait until the container is running")
        if not state.running:
            raise Conflict(f"container {live.id} is not running")

    def _find(self, exec_id: str) -> Exec:
        exec_ = self._execs.get(exec_id)
        if exec_ is None or exec_.is_void:
            raise NotFound(f"No such exec instance: {exec_id}")
        return exec_

    def _sweep(self) -> None:
        """Forget execs that can't be started any more. Repeats every five minutes, as dockerd does, while needed."""
        for exec_id in [exec_id for exec_id, exec_ in self._execs.items() if exec_.is_void]:
            del self._execs[exec_id]
        self._sweep_timer = None
        if any(not exec_.started for exec_ in self._execs.values()):
            self._sweep_timer = asyncio.get_running_loop().call_later(KEEP_S, self._sweep)

    async def check(self, exec_id: str) -> None:
        """Raise what `start` would raise for the exec's state, before the head of the reply is sent.

        Raises NotFound, Conflict.
        """
        exec_ = self._find(exec_id)
        if exec_.started:
            if not exec_.lost_client:
                state = "has already run" if exec_.ended.done() else "is already running"
                raise Conflict(f"Error: Exec command {exec_id} {state}")
            return
        self._require_running(exec_.live)

    async def start(
        self, exec_id: str, *, detach: bool, tty: bool, console_size: tuple[int, int] | None
    ) -> Session | None:
        """ExecStart: the session; None if detached. Raises what `check` raises, and EngineError if the start fails.

        If the exec's client lost its connection with an earlier engine, this attaches to the exec again (`take_over`).
        """
        await self.check(exec_id)
        exec_ = self._find(exec_id)
        if exec_.started:
            again = await self._attach_again(exec_)
            if not detach:
                return again
            await again.detach()
            return None
        exec_.started = exec_.running = True
        del tty  # create has decided it; docker's own client sends the same value here
        try:
            session = await self._start(exec_, attached=not detach, console_size=console_size)
        except (EngineError, LaunchError, OSError) as e:
            failure, exit_code = _exec_error(e)
            self._failed(exec_, exit_code)
            raise failure from e
        except BaseException:
            self._failed(exec_, EXIT_FAILED)
            self._background.spawn(leave(self._supervisor, exec_id), f"leave exec {exec_id[:12]}")  # it may be running
            raise
        exec_.begun.set()
        exec_.asked_at = asyncio.get_running_loop().time()
        exec_.live.exec_ids += (exec_.id,)
        self._background.spawn(self._settle(exec_), f"exec {exec_.id[:12]}")
        return session

    def _failed(self, exec_: Exec, exit_code: int) -> None:
        """Record that the exec never ran, and release everyone who waits for its start or end."""
        exec_.end(exit_code)
        exec_.begun.set()
        self._forget_later(exec_)

    async def _start(self, exec_: Exec, *, attached: bool, console_size: tuple[int, int] | None) -> ExecSession | None:
        record = exec_.live.record
        request = exec_.request
        if console_size and all(console_size):
            request = {**request, "ConsoleSize": list(console_size)}
        process, seccomp = build_exec_process(record, request, self._linked_env(record))
        user = request.get("User") or record.config["User"] or None
        users = self._users.of_running(record)
        compiled = compile_exec(
            process,
            seccomp=seccomp,
            user=user,
            group_add=record.host_config["GroupAdd"] or (),
            namespaces=CLONE_NEWUSER if users else 0,
        )
        size = request.get("ConsoleSize")
        streams = [name.removeprefix("Attach").lower() for name in ATTACHABLE if attached and request.get(name)]
        self._events.publish(record, f"exec_start: {' '.join(request['Cmd'])}", execID=exec_.id)
        exec_.pid, opened = await self._supervisor.exec(
            ExecRequest(
                exec_id=exec_.id,
                container_id=record.id,
                process=compiled,
                facts=exec_.facts(),
                tty=exec_.tty,
                tty_size=tuple(size) if size and all(size) else None,
                streams=streams,
                pipe_owner=users.root if users is not None and streams else None,
            )
        )
        if exec_.tty and "stdin" not in streams and opened.stdin_fd is not None:
            os.close(opened.stdin_fd)
            opened.stdin_fd = None
        if attached:
            return self._session(exec_, opened)
        opened.close()
        if exec_.tty:  # nobody reads the terminal's output: the supervisor drains it
            await leave(self._supervisor, exec_.id)
        return None

    def _session(self, exec_: Exec, streams: ExecStreams) -> ExecSession:
        return ExecSession(exec_, self._events, self._background, self._supervisor, streams)

    async def _attach_again(self, exec_: Exec) -> ExecSession:
        exec_.lost_client = False
        streams = await self._supervisor.exec_streams(exec_.id)
        if not exec_.request.get("AttachStdin") and streams.stdin_fd is not None:
            os.close(streams.stdin_fd)
            streams.stdin_fd = None
        return self._session(exec_, streams)

    def take_over(self, held: Iterable[HeldExec]) -> None:
        """Rebuild the execs of an earlier engine. The containers must be loaded.

        A client that was attached has lost its connection. It may start the exec again and gets the output that it has
        not received yet; after `ATTACH_AGAIN_S` the command no longer waits for it. A health check is killed, because
        only the earlier engine could use its result.
        """
        for one in held:
            live = self._registry.get(one.container_id)
            if live is None:
                if one.exit_code is not None:
                    continue  # its container was removed after it; the supervisor forgets it after five minutes
                log.warning("exec.of_unknown_container", exec=one.exec_id, container=one.container_id)
                self._background.spawn(self._kill(one.exec_id), f"kill exec {one.exec_id[:12]}")
                continue
            exec_ = self._execs[one.exec_id] = Exec.from_held(one, live)
            if one.exit_code is None:
                live.exec_ids += (exec_.id,)
                self._background.spawn(self._settle(exec_), f"exec {exec_.id[:12]}")
                if exec_.is_probe:
                    self._background.spawn(self._kill(exec_.id), f"kill exec {exec_.id[:12]}")
                else:
                    asyncio.get_running_loop().call_later(ATTACH_AGAIN_S, self._give_up_client, exec_)
            else:
                self._forget_later(exec_, KEEP_S - (time.time() - one.ended_at))
                if not one.is_closed:
                    self._publish_end(exec_)
                    self._close_unless_wanted(exec_)

    def _give_up_client(self, exec_: Exec) -> None:
        if exec_.session is None and exec_.running:
            self._background.spawn(leave(self._supervisor, exec_.id), f"leave exec {exec_.id[:12]}")

    async def _kill(self, exec_id: str) -> None:
        with suppress(SupervisorError):  # it has ended
            await self._supervisor.signal_exec(exec_id, SIGKILL)

    async def _settle(self, exec_: Exec) -> None:
        """Wait for the exit and publish it; forget the exec five minutes later."""
        await exec_.ended
        exec_.live.exec_ids = tuple(exec_id for exec_id in exec_.live.exec_ids if exec_id != exec_.id)
        self._publish_end(exec_)
        self._forget_later(exec_)

    def _publish_end(self, exec_: Exec) -> None:
        self._events.publish(exec_.live.record, "exec_die", execID=exec_.id, exitCode=str(exec_.exit_code))

    def _forget_later(self, exec_: Exec, delay_s: float = KEEP_S) -> None:
        asyncio.get_running_loop().call_later(max(0.0, delay_s), self._execs.pop, exec_.id, None)

    def _close_unless_wanted(self, exec_: Exec) -> None:
        """Let the supervisor close the streams, unless a client reads them or may attach again."""
        if exec_.session is None and not exec_.lost_client:
            self._supervisor.close_exec(exec_.id)

    def on_exited(self, event: ExecExited) -> None:
        """Handle the supervisor's report of an exit; it is repeated until `close_exec`."""
        exec_ = self._execs.get(event.exec_id)
        if exec_ is None:
            self._supervisor.close_exec(event.exec_id)
        else:
            exec_.end(event.exit_code)
            self._close_unless_wanted(exec_)

    def on_grew(self, event: ExecGrew) -> None:
        """Handle the supervisor's report of more output."""
        if (exec_ := self._execs.get(event.exec_id)) is not None:
            exec_.bell.ring()

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """ExecResize; nothing without a terminal. Waits for the start, because clients send both at the same time.

        Raises NotFound, Conflict.
        """
        exec_ = self._find(exec_id)
        if not exec_.tty:
            return
        try:
            async with asyncio.timeout(RESIZE_LIMIT_S):
                await exec_.begun.wait()
            await self._supervisor.resize_exec(exec_id, height, width)
        except (TimeoutError, NotHeld) as e:
            raise Conflict(f"exec {exec_id} is not running") from e

    async def inspect(self, exec_id: str) -> JsonObject:
        """ExecInspect."""
        exec_ = self._find(exec_id)
        if exec_.running:
            await self._slow_down(exec_)
        request = exec_.request
        return {
            "ID": exec_.id,
            "Running": exec_.running,
            "ExitCode": exec_.exit_code,
            "ProcessConfig": {
                "tty": exec_.tty,
                "entrypoint": request["Cmd"][0],
                "arguments": request["Cmd"][1:],
                "privileged": bool(request.get("Privileged")),
                **({"user": request["User"]} if request.get("User") else {}),
            },
            "OpenStdin": bool(request.get("AttachStdin")),
            "OpenStderr": bool(request.get("AttachStderr")),
            "OpenStdout": bool(request.get("AttachStdout")),
            "CanRemove": exec_.ended.done(),
            "ContainerID": exec_.live.id,
            "DetachKeys": request.get("DetachKeys") or "",
            "Pid": exec_.pid,
        }

    async def _slow_down(self, exec_: Exec) -> None:
        """Delay the reply to a client that polls for the exec's end, see POLL_S."""
        loop = asyncio.get_running_loop()
        if loop.time() - exec_.asked_at < POLL_S:
            await asyncio.wait([exec_.ended], timeout=POLL_PAUSE_S)
        exec_.asked_at = loop.time()

    async def run(
        self, live: Live, command: list[str], *, limit_s: float, output_bytes: int
    ) -> tuple[int | None, bytes]:
        """Run a command to its end, for a health check: (exit code, the first `output_bytes` of its output).

        The exit code is None if the command had to be killed after `limit_s` seconds. Raises EngineError.
        """
        config = {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
        exec_id = await self.create(live.id, config)
        exec_ = self._find(exec_id)
        exec_.is_probe = True
        collected = bytearray()
        try:
            async with asyncio.timeout(limit_s):
                session = await self.start(exec_id, detach=False, tty=False, console_size=None)
                assert session is not None
                async for _, data in session.output():
                    collected += data[: output_bytes - len(collected)]
        except TimeoutError:
            await self._kill(exec_id)
            return None, bytes(collected)
        assert exec_.exit_code is not None
        return exec_.exit_code, bytes(collected)


def _exec_error(error: Exception) -> tuple[EngineError, int]:
    """(the error for the client, the exec's exit code) for a failed start."""
    message = str(error)
    if isinstance(error, SpawnError | LaunchError):
        match error.kind:
            case "not-found":
                return BadRequest(PREFIX + message), EXIT_NOT_FOUND
            case "permission":
                return BadRequest(PREFIX + message), EXIT_NOT_EXECUTABLE
            case "user":
                return BadRequest(message), EXIT_NOT_EXECUTABLE
        return EngineError(PREFIX + message), EXIT_FAILED
    if isinstance(error, NotHeld):
        return Conflict("container is not running"), EXIT_FAILED
    if isinstance(error, EngineError):
        return error, EXIT_FAILED
    return EngineError(message), EXIT_FAILED
