"""A small engine of plain host processes, so that the API can be tested by real clients without namespaces.

Its parts are subclasses of the real ones, so their signatures are checked against them, and replace what the tests
call. They keep the promises (order of events, waiters, sessions that end after the last output); what they start are
ordinary children of the test.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import secrets
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from vmagent.containers.live import Waiter
from vmagent.engine import containers, creating, files, lifecycle, streams, system
from vmagent.engine import execs as real_execs
from vmagent.engine.engine import Engine
from vmagent.engine.events import EventBus
from vmagent.engine.options import LogOptions, PathStat
from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.images import imagestore
from vmagent.images.archiving import Archive
from vmagent.images.outlet import Outlet
from vmagent.images.platforms import Platform
from vmagent.supervisor.logfile import LogEntry

Json = dict[str, Any]
ZERO = "0001-01-01T00:00:00Z"


class Process:
    """A child with its output kept; the base of containers and execs."""

    def __init__(self, argv: list[str], open_stdin: bool) -> None:
        self.argv, self.open_stdin, self.tty = argv, open_stdin, False
        self.output: list[LogEntry] = []
        self.exit_code: int | None = None
        self.news = asyncio.Condition()
        self.child: asyncio.subprocess.Process | None = None
        self.held_input = b""
        self.is_stdin_closed = False
        self.task: asyncio.Task[None] | None = None  # that follows the child

    async def run(self) -> None:
        pipe = asyncio.subprocess.PIPE
        stdin = pipe if self.open_stdin else asyncio.subprocess.DEVNULL
        try:
            self.child = await asyncio.create_subprocess_exec(*self.argv, stdin=stdin, stdout=pipe, stderr=pipe)
        except FileNotFoundError as e:
            self.exit_code = 127
            raise BadRequest(f'exec: "{self.argv[0]}": executable file not found in $PATH') from e

    async def follow(self) -> None:
        """Returns when the child has ended and all its output is kept."""
        assert self.child is not None
        if self.child.stdin is not None:
            if self.held_input:
                self.child.stdin.write(self.held_input)
            if self.is_stdin_closed:
                self.child.stdin.close()

        async def keep(stream: int, reader: asyncio.StreamReader) -> None:
            while line := await reader.readline():
                async with self.news:
                    self.output.append(LogEntry(stream, time.time_ns(), line))
                    self.news.notify_all()

        assert self.child.stdout is not None
        assert self.child.stderr is not None
        await asyncio.gather(keep(1, self.child.stdout), keep(2, self.child.stderr))
        code = await self.child.wait()
        if self.child.stdin is not None:
            self.child.stdin.close()
            with suppress(ConnectionError):  # the child left input unread; Python 3.11.2 logs an error nobody awaits
                await self.child.stdin.wait_closed()
        async with self.news:
            self.exit_code = code if code >= 0 else 128 - code
            self.news.notify_all()


class Session:
    def __init__(self, process: Process, streams: set[int], *, replay: bool, stdin: bool) -> None:
        self.process, self.streams, self.stdin = process, streams, stdin
        self.at = 0 if replay else len(process.output)
        self.tty = process.tty
        self.written = b""
        self.detached: concurrent.futures.Future[bool] = concurrent.futures.Future()  # by keys?

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        process = self.process
        while True:
            while self.at < len(process.output):
                entry = process.output[self.at]
                self.at += 1
                if entry.stream in self.streams:
                    yield entry.stream, entry.data
            async with process.news:
                if self.at == len(process.output):
                    if process.exit_code is not None:
                        return
                    await process.news.wait()

    async def write(self, data: bytes) -> None:
        self.written += data
        if not self.stdin:
            return
        if self.process.child is None:
            self.process.held_input += data
            return
        assert self.process.child.stdin is not None
        self.process.child.stdin.write(data)
        await self.process.child.stdin.drain()

    async def close_stdin(self) -> None:
        self.process.is_stdin_closed = True
        if self.stdin and self.process.child is not None and self.process.child.stdin is not None:
            self.process.child.stdin.close()

    async def detach(self, *, keys: bool = False) -> None:
        self.detached.set_result(keys)


class Container(Process):
    def __init__(self, name: str, config: Json) -> None:
        super().__init__([*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])], bool(config.get("OpenStdin")))
        self.tty = bool(config.get("Tty"))  # only what it says: there is no terminal behind it
        self.id = secrets.token_hex(32)
        self.name, self.config = name or f"fake_{self.id[:6]}", config
        self.waiters: list[tuple[str, asyncio.Future[Json]]] = []
        self.is_running = False


class LogStream(streams.LogStream):
    def __init__(self, container: Container, options: LogOptions) -> None:
        self.container, self.options = container, options

    @property
    def tty(self) -> bool:
        return False

    async def batches(self) -> AsyncIterator[Sequence[tuple[int, int, bytes]]]:
        options = self.options
        streams = {1} if options.stdout else set()
        streams |= {2} if options.stderr else set()
        at = 0 if options.tail is None else max(0, len(self.container.output) - options.tail)
        while True:
            batch = [entry for entry in self.container.output[at:] if entry.stream in streams]
            at = len(self.container.output)
            if batch:
                yield batch
            if not options.follow:
                return
            async with self.container.news:
                if at == len(self.container.output):
                    if self.container.exit_code is not None:
                        return
                    await self.container.news.wait()


class World:
    """All containers of a fake engine, and what the tests look at."""

    def __init__(self, events: EventBus) -> None:
        self.all: dict[str, Container] = {}
        self.events = events
        self.sessions: list[Session] = []
        self.put: bytes = b""
        self.most_held = 0

    def find(self, ref: str) -> Container:
        for container in self.all.values():
            if ref == container.name or container.id.startswith(ref):
                return container
        raise NotFound(f"No such container: {ref}")

    def publish(self, container: Container, action: str, **extra: str) -> None:
        attributes = (container.config.get("Labels") or {}) | {"image": container.config["Image"]}
        self.events.publish("container", action, container.id, attributes | {"name": container.name} | extra)


class Creator(creating.Creator):
    def __init__(self, world: World) -> None:
        self.world = world

    async def create(self, config: Json, *, name: str, platform: str, api_version: tuple[int, int]) -> tuple[str, Any]:
        if config.get("Image") == "missing":
            raise NotFound("No such image: missing:latest")
        container = Container(name, config)
        self.world.all[container.id] = container
        self.world.publish(container, "create")
        return container.id, []


class Lifecycle(lifecycle.Lifecycle):
    def __init__(self, world: World) -> None:
        self.world = world

    async def start(self, ref: str) -> None:
        c = self.world.find(ref)
        try:
            await c.run()
        except EngineError:
            await self.ended(c)
            raise
        c.is_running = True
        self.world.publish(c, "start")
        c.task = asyncio.create_task(self.reap(c))

    async def reap(self, c: Container) -> None:
        await c.follow()
        c.is_running = False
        self.world.publish(c, "die", exitCode=str(c.exit_code))
        await self.ended(c)

    async def ended(self, c: Container) -> None:
        removed = bool((c.config.get("HostConfig") or {}).get("AutoRemove"))
        for condition, waiter in c.waiters:
            if (condition != "removed" or removed) and not waiter.done():
                waiter.set_result({"StatusCode": c.exit_code or 0})
        if removed:
            del self.world.all[c.id]
            self.world.publish(c, "destroy")

    async def stop(self, ref: str, *, timeout_s: int | None, signal: str | None) -> None:
        await self.kill(ref, signal=signal or "TERM")

    async def kill(self, ref: str, *, signal: str) -> None:
        c = self.world.find(ref)
        if not c.is_running or c.child is None:
            raise Conflict(f"container {c.id} is not running")
        name = signal.removeprefix("SIG")
        c.child.send_signal(getattr(__import__("signal").Signals, f"SIG{name}"))
        self.world.publish(c, "kill", signal=name)

    async def remove(self, ref: str, *, force: bool, volumes: bool, restorable: bool = False) -> None:
        c = self.world.find(ref)
        if c.is_running and c.child is not None and c.task is not None:
            c.child.kill()
            await c.task
        self.world.all.pop(c.id, None)
        self.world.publish(c, "destroy")

    async def waiter(self, ref: str, condition: str) -> Waiter:
        c = self.world.find(ref)
        waiter: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        if condition == "not-running" and not c.is_running:
            waiter.set_result({"StatusCode": c.exit_code or 0})
        else:
            c.waiters.append((condition, waiter))
        return Waiter(waiter)


class Containers(containers.Containers):
    def __init__(self, world: World) -> None:
        self.world = world

    async def list(self, *, all: bool, limit: int, size: bool, filters: Any) -> Any:
        return [
            {
                "Id": c.id,
                "Names": ["/" + c.name],
                "Image": c.config["Image"],
                "Command": " ".join(c.argv),
                "Created": 0,
                "Ports": [],
                "Labels": {},
                "State": "running" if c.is_running else "exited",
                "Status": "Up 1 second" if c.is_running else "Exited (0)",
            }
            for c in self.world.all.values()
            if all or c.is_running
        ]

    async def inspect(self, ref: str, *, size: bool = False) -> Json:
        c = self.world.find(ref)
        state = {"Running": c.is_running, "ExitCode": c.exit_code or 0, "Status": "running", "StartedAt": ZERO}
        log_config = {"Type": "json-file", "Config": {}}
        config = c.config | {"Tty": False, "Labels": {}}
        return {
            "Id": c.id,
            "Name": "/" + c.name,
            "State": state,
            "Config": config,
            "Image": "sha256:0",
            "HostConfig": {"LogConfig": log_config},
            "NetworkSettings": {},
        }

    async def usage(self, *, interval_s: float) -> AsyncIterator[Json]:
        while True:
            yield {"containers": []}
            await asyncio.sleep(interval_s)

    async def stats(self, ref: str) -> Json:
        c = self.world.find(ref)
        return {"id": c.id, "name": "/" + c.name, "read": ZERO, "cpu_stats": {}, "memory_stats": {}}


class Streams(streams.Streams):
    def __init__(self, world: World) -> None:
        self.world = world

    async def attach(self, ref: str, *, logs: bool, stream: bool, stdin: bool, stdout: bool, stderr: bool) -> Session:
        c = self.world.find(ref)
        streams = ({1} if stdout else set()) | ({2} if stderr else set())
        session = Session(c, streams, replay=logs, stdin=stdin and c.open_stdin)
        self.world.sessions.append(session)
        return session

    async def logs(self, ref: str, options: LogOptions) -> LogStream:
        return LogStream(self.world.find(ref), options)


class Files(files.Files):
    def __init__(self, world: World) -> None:
        self.world = world

    async def stat(self, ref: str, path: str) -> PathStat:
        self.world.find(ref)
        return PathStat("f", 3, 0o644, "2024-01-01T00:00:00Z", "")

    async def put(self, ref: str, path: str, chunks: AsyncIterator[bytes], **_: Any) -> None:
        async for chunk in chunks:
            self.world.put += chunk[:1]
            self.world.most_held = max(self.world.most_held, len(chunk))


class Execs(real_execs.Execs):
    def __init__(self, world: World) -> None:
        self.world = world
        self.all: dict[str, Process] = {}

    async def create(self, ref: str, config: Json) -> str:
        if not self.world.find(ref).is_running:
            raise Conflict(f"container {ref} is not running")
        exec_id = secrets.token_hex(32)
        self.all[exec_id] = Process(config["Cmd"], bool(config.get("AttachStdin")))
        return exec_id

    async def check(self, exec_id: str) -> None:
        if exec_id not in self.all:
            raise NotFound(f"No such exec instance: {exec_id}")

    async def start(self, exec_id: str, *, detach: bool, tty: bool, console_size: Any) -> Session | None:
        process = self.all[exec_id]
        await process.run()
        session = Session(process, {1, 2}, replay=True, stdin=process.open_stdin)
        process.task = asyncio.create_task(process.follow())
        return None if detach else session

    async def inspect(self, exec_id: str) -> Json:
        await self.check(exec_id)
        process = self.all[exec_id]
        running = process.exit_code is None
        return {"ID": exec_id, "Running": running, "ExitCode": process.exit_code, "Pid": 1, "ContainerID": "x"}


class Images(imagestore.ImageStore):
    def __init__(self) -> None:
        self.loaded = 0

    async def pull(
        self, from_image: str, tag: str = "", platform: str | None = None, auth: Any = None
    ) -> AsyncGenerator[Json, None]:
        if from_image.endswith("nowhere"):
            raise NotFound("manifest for nowhere:latest not found: manifest unknown: manifest unknown")
        yield {"status": f"Pulling from {from_image}", "id": tag}
        if from_image.endswith("broken"):
            raise EngineError("the <registry> & its blobs")
        yield {"status": f"Status: Downloaded newer image for {from_image}:{tag}"}

    async def load(
        self, chunks: AsyncIterator[bytes], quiet: bool = True, platform: Platform | None = None
    ) -> AsyncGenerator[Json, None]:
        async for chunk in chunks:
            self.loaded += len(chunk)
        yield {"stream": "Loaded image: x:1\n"}

    @contextlib.asynccontextmanager
    async def archive(self, refs: Sequence[str], platforms: Sequence[Platform] = ()) -> AsyncIterator[Archive]:
        if refs == ["nope"]:
            raise NotFound("No such image: nope")
        yield FakeArchive()

    async def inspect(self, ref: str, platform: Platform | None = None, *, manifests: bool = False) -> Json:
        return {"Id": "sha256:0", "RepoTags": [ref], "Size": 1}


class FakeArchive(Archive):
    def __init__(self) -> None:
        pass

    async def write(self, fd: int, *, chunked: bool) -> bool:
        def write() -> None:
            outlet = Outlet(fd, chunked=chunked)
            for _ in range(64):
                outlet.write(b"x" * 65536)

        await asyncio.to_thread(write)
        return True


class System(system.System):
    def __init__(self) -> None:
        pass

    async def version(self) -> Json:
        return {"Version": "0.1.0", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}

    async def info(self) -> Json:
        return {"ID": "x", "OSType": "linux", "ServerVersion": "0.1.0", "Swarm": {"LocalNodeState": "inactive"}}


class FakeEngine(Engine):
    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.events = EventBus()
        self.world = world = World(self.events)
        self.creator, self.lifecycle, self.containers = Creator(world), Lifecycle(world), Containers(world)
        self.streams, self.files, self.fake_execs = Streams(world), Files(world), Execs(world)
        self.execs, self.images, self.system = self.fake_execs, Images(), System()

    async def open(self) -> None:
        self.is_open = True

    async def close(self, *, stop_containers: bool = True) -> None:
        """Kill and reap what still runs."""
        for process in [*self.world.all.values(), *self.fake_execs.all.values()]:
            if process.child is not None and process.child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.child.pid, signal.SIGKILL)
            if process.task is not None:
                await process.task
