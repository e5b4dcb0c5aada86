"""Further processes in running containers: the Engine API's exec verbs.

The engine makes the pipes and hands their far ends to the supervisor; it reads and writes the near ends on its loop.
The exit code is known before the stream ends: the CLI reads it right after.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from vmagent.containers.live import Live
from vmagent.containers.model import JsonObject, Status
from vmagent.containers.spec import build_exec_process
from vmagent.containers.streams import Outputs, write_all
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.launching import EXIT_FAILED, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND
from vmagent.engine.options import Session
from vmagent.engine.registry import Registry
from vmagent.engine.userns import UserNamespaces
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.linux.process import CLONE_NEWUSER
from vmagent.linux.subids import IdMaps
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.plan import compile_exec
from vmagent.supervisor.client import ExecExited, ExecRequest, NotHeld, SpawnError, SupervisorClient, SupervisorError

log = structlog.get_logger(__name__)

KEEP_S = 300.0  # an ended exec stays to be inspected, as docker keeps it
TERMINAL_DRAIN_S = 0.5  # from a terminal's process's exit to the end of its output
RESIZE_LIMIT_S = 10.0  # a resize may come before the start
# A client that waits for an exec's end can only ask again and again (the API has no wait for execs). One that asked
# or started it so short a time ago is answered when the exec ends, or a moment later: else the two of them keep both
# processors busy, and what is waited for gets none.
POLL_S = 0.05
POLL_PAUSE_S = 0.005
PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: "


@dataclass(slots=True, eq=False)
class Exec:
    """One exec: what was asked, and what became of it."""

    id: str
    live: Live
    request: JsonObject
    run: int  # of the container it belongs to
    started: bool = False
    running: bool = False
    exit_code: int | None = None
    pid: int = 0
    asked_at: float = -1000.0  # loop time of the start, then of the last inspect
    ended: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def tty(self) -> bool:
        return bool(self.request.get("Tty"))

    @property
    def is_void(self) -> bool:
        """It was never started and can't be any more."""
        return not self.started and self.live.run_is_over(self.run)

    def end(self, exit_code: int) -> None:
        """Note the exit; a second word of it changes nothing."""
        if not self.ended.done():
            self.exit_code, self.running = exit_code, False
            self.ended.set_result(None)


class ExecSession:
    """The streams of one attached exec. Left by its client, the process goes on and its output is read to nowhere."""

    def __init__(
        self,
        exec_: Exec,
        events: ContainerEvents,
        background: Background,
        outputs: Outputs,
        stdin_fd: int | None,
        *,
        is_terminal: bool,
    ) -> None:
        """Owns `outputs` and `stdin_fd`; with a terminal stdin's descriptor is a copy of the master."""
        self._exec, self._events, self._background, self._outputs = exec_, events, background, outputs
        self._stdin_fd, self._is_terminal = stdin_fd, is_terminal
        if stdin_fd is not None:
            os.set_blocking(stdin_fd, False)

    @property
    def tty(self) -> bool:
        return self._is_terminal

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(stream, bytes) until the process has ended and everything it wrote was given."""
        try:
            async for part in self._read():
                yield part
            await self._exec.ended
        finally:
            self._close_stdin_fd()
            if self._exec.ended.done():
                self._outputs.close()
            else:
                self._background.spawn(self._drain(), f"drain exec {self._exec.id[:12]}")

    async def _read(self) -> AsyncIterator[tuple[int, bytes]]:
        deadline: float | None = None
        while not self._outputs.at_end:
            has_ended = self._exec.ended.done()  # first this, then what it wrote
            if parts := self._outputs.take():
                for part in parts:
                    yield part
                continue
            if not has_ended:
                await self._outputs.wait(self._exec.ended)
                continue
            # What the process itself wrote has been read; a child of its may keep a pipe open for ever. A terminal's
            # bytes come through a work queue of the kernel, so its end (EIO) is waited for a moment.
            now = asyncio.get_running_loop().time()
            deadline = deadline or now + TERMINAL_DRAIN_S
            if not self._is_terminal or now >= deadline:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline - now):
                    await self._outputs.wait()

    async def _drain(self) -> None:
        """Read to nowhere, so that the process is never stopped by a client that left."""
        try:
            async for _ in self._read():
                pass
        finally:
            self._outputs.close()

    async def write(self, data: bytes) -> None:
        """To the process's stdin, waiting while it doesn't read. Raises BrokenPipeError at its end."""
        if self._stdin_fd is not None:
            await write_all(self._stdin_fd, data)

    async def close_stdin(self) -> None:
        """The process sees the end of its input. A terminal has none."""
        if not self._is_terminal:
            self._close_stdin_fd()

    async def detach(self, *, keys: bool = False) -> None:
        """The client leaves; the process goes on."""
        self._close_stdin_fd()
        if keys:
            self._events.publish(self._exec.live.record, "exec_detach", execID=self._exec.id)

    def _close_stdin_fd(self) -> None:
        if self._stdin_fd is not None:
            os.close(self._stdin_fd)
            self._stdin_fd = None


class Execs:
    """`engine.execs`."""

    def __init__(
        self,
        registry: Registry,
        events: ContainerEvents,
        background: Background,
        supervisor: SupervisorClient,
        users: UserNamespaces,
    ) -> None:
        self._registry, self._events, self._background = registry, events, background
        self._supervisor, self._users = supervisor, users
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
        """Forget what was never started of runs that are over; as dockerd every five minutes, while there is any."""
        for exec_id in [exec_id for exec_id, exec_ in self._execs.items() if exec_.is_void]:
            del self._execs[exec_id]
        self._sweep_timer = None
        if any(not exec_.started for exec_ in self._execs.values()):
            self._sweep_timer = asyncio.get_running_loop().call_later(KEEP_S, self._sweep)

    async def check(self, exec_id: str) -> None:
        """What `start` would refuse, before the reply's head is out. Raises NotFound, Conflict."""
        exec_ = self._find(exec_id)
        if exec_.started:
            words = "has already run" if exec_.ended.done() else "is already running"
            raise Conflict(f"Error: Exec command {exec_id} {words}")
        self._require_running(exec_.live)

    async def start(
        self, exec_id: str, *, detach: bool, tty: bool, console_size: tuple[int, int] | None
    ) -> Session | None:
        """ExecStart: the session, None where detached. Raises what `check` does, and EngineError if it can't start."""
        await self.check(exec_id)
        exec_ = self._find(exec_id)
        exec_.started = exec_.running = True
        del tty  # decided when the exec was made, as docker's own client sends the same here
        try:
            session = await self._start(exec_, attached=not detach, console_size=console_size)
        except (EngineError, LaunchError, OSError) as e:
            failure, exit_code = _exec_error(e)
            self._failed(exec_, exit_code)
            raise failure from e
        except BaseException:
            self._failed(exec_, EXIT_FAILED)
            raise
        exec_.begun.set()
        exec_.asked_at = asyncio.get_running_loop().time()
        exec_.live.exec_ids += (exec_.id,)
        self._background.spawn(self._settle(exec_), f"exec {exec_.id[:12]}")
        return session

    def _failed(self, exec_: Exec, exit_code: int) -> None:
        """It never ran: nobody waits for its end any more."""
        exec_.end(exit_code)
        exec_.begun.set()
        self._forget_later(exec_)

    async def _start(self, exec_: Exec, *, attached: bool, console_size: tuple[int, int] | None) -> ExecSession | None:
        record = exec_.live.record
        request = exec_.request
        if console_size and all(console_size):
            request = {**request, "ConsoleSize": list(console_size)}
        process, seccomp = build_exec_process(record, request)
        user = request.get("User") or record.config["User"] or None
        users = self._users.of_running(record)
        plan = compile_exec(
            process,
            seccomp=seccomp,
            user=user,
            group_add=record.host_config["GroupAdd"] or (),
            namespaces=CLONE_NEWUSER if users else 0,
        )
        size = request.get("ConsoleSize")
        base: dict[str, Any] = {
            "exec_id": exec_.id,
            "container_id": record.id,
            "plan": plan,
            "tty": exec_.tty,
            "tty_size": tuple(size) if size and all(size) else None,
        }
        self._events.publish(record, f"exec_start: {' '.join(request['Cmd'])}", execID=exec_.id)
        if exec_.tty:
            exec_.pid, master = await self._supervisor.exec(ExecRequest(**base))
            assert master is not None
            stdin = os.dup(master) if request.get("AttachStdin") and attached else None
            session = ExecSession(exec_, self._events, self._background, Outputs({master: 1}), stdin, is_terminal=True)
        else:
            session = await self._start_piped(exec_, base, users, attached=attached)
        if not attached:
            await session.close_stdin()
            self._background.spawn(session._drain(), f"drain exec {exec_.id[:12]}")
            return None
        return session

    async def _start_piped(
        self, exec_: Exec, base: dict[str, Any], users: IdMaps | None, *, attached: bool
    ) -> ExecSession:
        far: dict[str, Any] = {}
        near: dict[int, int] = {}
        stdin_fd: int | None = None
        try:
            if attached and exec_.request.get("AttachStdin"):
                far["stdin_fd"], stdin_fd = os.pipe2(os.O_CLOEXEC)
            for name, stream, wanted in (
                ("stdout_fd", 1, "AttachStdout"), ("stderr_fd", 2, "AttachStderr"),
            ):  # fmt: skip
                if attached and exec_.request.get(wanted):
                    read_fd, far[name] = os.pipe2(os.O_CLOEXEC)
                    near[read_fd] = stream
            if users is not None:
                for fd in far.values():  # a root of its own can't take them, and it may open /dev/stdout
                    os.fchown(fd, *users.root)
            exec_.pid, _ = await self._supervisor.exec(ExecRequest(**base, **far))
        except BaseException:
            for fd in [*near, *([stdin_fd] if stdin_fd is not None else [])]:
                os.close(fd)
            raise
        finally:
            for fd in far.values():
                os.close(fd)
        return ExecSession(exec_, self._events, self._background, Outputs(near), stdin_fd, is_terminal=False)

    async def _settle(self, exec_: Exec) -> None:
        """After the exit: tell of it, and forget the exec in five minutes."""
        await exec_.ended
        exec_.live.exec_ids = tuple(exec_id for exec_id in exec_.live.exec_ids if exec_id != exec_.id)
        self._events.publish(exec_.live.record, "exec_die", execID=exec_.id, exitCode=str(exec_.exit_code))
        self._forget_later(exec_)

    def _forget_later(self, exec_: Exec) -> None:
        asyncio.get_running_loop().call_later(KEEP_S, self._execs.pop, exec_.id, None)

    def on_exited(self, event: ExecExited) -> None:
        """The supervisor's word; may be repeated, and may speak of an exec of an engine that is gone."""
        if (exec_ := self._execs.get(event.exec_id)) is not None:
            exec_.end(event.exit_code)

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """ExecResize: waits for the start, as clients send it right after. Raises NotFound, Conflict."""
        exec_ = self._find(exec_id)
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
        """Let who asks in a loop wait for the end instead, for a moment."""
        loop = asyncio.get_running_loop()
        if loop.time() - exec_.asked_at < POLL_S:
            await asyncio.wait([exec_.ended], timeout=POLL_PAUSE_S)
        exec_.asked_at = loop.time()

    async def run(self, live: Live, command: list[str], *, limit_s: float, output_bytes: int) -> tuple[int, bytes]:
        """Run a command to its end: (exit code, the first `output_bytes` of what it wrote). For health checks.

        Raises TimeoutError (the command is killed then), EngineError.
        """
        config = {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
        exec_id = await self.create(live.id, config)
        exec_ = self._find(exec_id)
        collected = bytearray()
        try:
            async with asyncio.timeout(limit_s):
                session = await self.start(exec_id, detach=False, tty=False, console_size=None)
                assert session is not None
                async for _, data in session.output():
                    collected += data[: output_bytes - len(collected)]
        except TimeoutError:
            with suppress(SupervisorError):
                await self._supervisor.signal_exec(exec_id, 9)
            raise
        assert exec_.exit_code is not None
        return exec_.exit_code, bytes(collected)


def _exec_error(error: Exception) -> tuple[EngineError, int]:
    """What the client is told, and the exec's exit code."""
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
