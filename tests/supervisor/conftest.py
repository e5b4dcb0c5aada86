"""A keeper and a supervisor for each test, real containers of a static busybox, and checks for leftovers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.limits import HANG_S
from tests.support.logs import LOGS
from tests.support.tools import unpack_tar
from vmagent.linux.process import PR_SET_CHILD_SUBREAPER, prctl
from vmagent.runtime.cgroups import tree
from vmagent.runtime.example import example_spec
from vmagent.runtime.plan import compile_exec, compile_plan
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.logfile import LogEntry, LogReader, split_lines
from vmagent.supervisor.messages import ExecExited, ExecRequest, ExecStreams, Exited, SpawnRequest, SupervisorEvent
from vmagent.supervisor.windowreader import WindowReader

LIMIT_S = HANG_S


class Keeper:
    """Keeper, supervisor and engine with their own data root and exec root. The engine is a stub that only waits."""

    def __init__(self, *flags: str, stderr: int | None = None) -> None:
        """`flags`: more arguments of cove-agent; `stderr`: a descriptor for its stderr instead of the log file."""
        self._flags = flags
        self._stderr = stderr
        self.root = Path(tempfile.mkdtemp(prefix="r2-"))
        self.cgroup_parent = f"/cove-test-{uuid.uuid4().hex[:8]}"
        self.log = self.root / "keeper.log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.orphans: list[int] = []  # containers' processes whose keeper was killed
        self.start()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.processes[-1]

    @property
    def supervisor_socket(self) -> Path:
        return self.root / "exec" / "supervisor.sock"

    def start(self) -> None:
        command: list[str | Path] = [sys.executable, "-m", "tests.supervisor.harness"]
        command += ["-H", f"unix://{self.root}/e.sock", "--pidfile", self.root / "pid"]
        command += ["--data-root", self.root / "data", "--exec-root", self.root / "exec", *self._flags]
        LOGS.watch(self.log)
        with self.log.open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log if self._stderr is None else self._stderr,
                    cwd=Path(__file__).resolve().parents[2],
                )
            )
        for name in ("cove-supervisor", "cove-engine") if len(self.processes) == 1 else ("cove-engine",):
            self.pid_of(name)

    def pid_of(self, name: str, *, other_than: int = 0, limit_s: float = LIMIT_S) -> int:
        """Wait for a child of the keeper called `name` whose pid is not `other_than`."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            for pid in children_of(self.process.pid):
                # Before its execve, a container's process has the name of its parent, but its own session.
                if pid != other_than and comm(pid) == name and session(pid) == session(self.process.pid):
                    return pid
            time.sleep(0.002)
        raise AssertionError(f"no {name}:\n{self.log.read_text()}")

    def kill(self, name: str) -> None:
        """Send SIGKILL to engine or supervisor; returns when the keeper has restarted it."""
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        self.pid_of(name, other_than=pid)

    def stop(self) -> None:
        """Send SIGTERM to the keeper and wait for its exit with status 0."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(HANG_S)
        assert status == 0, self.log.read_text()

    def close(self) -> None:
        try:
            if self.process.poll() is None:
                self.stop()
            left = [path for path in self.root.rglob("*") if path.is_socket()]
            assert not left
            assert not (self.root / "pid").exists()
            roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
            assert not [root for root in roots if Path(f"{root}{self.cgroup_parent}").exists()]
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
            for pid in children_of(os.getpid()):  # orphans of killed keepers, see `adopting_orphans`
                # Not "cove-keeper": a keeper among our children is that of another engine, such as the session's.
                if name_of(pid) in ("cove-engine", "cove-supervisor", "cove-spawner") or pid in self.orphans:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
            with contextlib.suppress(OSError):
                tree().at(self.cgroup_parent).remove()
            LOGS.end(self.log)
            shutil.rmtree(self.root)


def children_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def comm(pid: int) -> str:
    """The name of a living process (/proc/PID/comm); "" for a zombie, or if there is no such process."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "" if state in "ZX" else Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def name_of(pid: int) -> str:
    """As `comm`, but also of a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def session(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)
    return -1


class Engine:
    """What a test uses in place of the engine: a client, the events it has received, and containers of busybox."""

    def __init__(self, keeper: Keeper, rootfs: Path) -> None:
        self.keeper = keeper
        self.rootfs = rootfs
        self.client = SupervisorClient()
        self.events: list[SupervisorEvent] = []
        self._came = asyncio.Event()

    def _on_event(self, event: SupervisorEvent) -> None:
        self.events.append(event)
        self._came.set()

    async def connect(self) -> None:
        await self.client.connect(self.keeper.supervisor_socket, self._on_event)

    async def wait_for(self, wanted: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
        """Call `wanted` again at each event until its result is true; returns the result."""
        async with asyncio.timeout(limit_s):
            while not (found := wanted()):
                self._came.clear()
                await self._came.wait()
        return found

    async def exit_of(self, container: Container) -> Exited:
        def found() -> Exited | None:
            for event in self.events:
                if isinstance(event, Exited) and (event.id, event.run) == (container.id, container.run):
                    return event
            return None

        exited = await self.wait_for(found)
        assert isinstance(exited, Exited)
        return exited

    async def exec_exit_of(self, exec_id: str) -> int:
        def found() -> list[int]:
            return [
                event.exit_code for event in self.events if isinstance(event, ExecExited) and event.exec_id == exec_id
            ]

        return int((await self.wait_for(found))[0])

    def container(self, *args: str, **options: Any) -> Container:
        return Container(self, args, **options)


class Container:
    """A container that runs the command `args`; `start` starts it."""

    def __init__(
        self, engine: Engine, args: tuple[str, ...], *, tty: bool = False, stdin: bool = False, logs: bool = True
    ) -> None:
        self.engine = engine
        self.id = uuid.uuid4().hex * 2
        self.run = 1
        self.args = args
        self.tty = tty
        self.stdin = stdin
        self.folder = engine.keeper.root / "data" / self.id
        self.folder.mkdir(parents=True)
        self.logs = logs
        self.cgroup_path = f"{engine.keeper.cgroup_parent}/{self.id}"

    def process(self, *args: str, tty: bool = False) -> dict[str, Any]:
        spec: dict[str, Any] = example_spec()
        return {**spec["process"], "args": list(args), "terminal": tty, "env": ["PATH=/bin"]}

    def request(self) -> SpawnRequest:
        spec: dict[str, Any] = example_spec()
        spec["root"] = {"path": str(self.engine.rootfs), "readonly": False}
        spec["process"] = self.process(*self.args, tty=self.tty)
        plan = compile_plan(spec, container_id=self.id, cgroup_path=self.cgroup_path)
        return SpawnRequest(
            id=self.id,
            run=self.run,
            plan=plan,
            log_dir=str(self.folder) if self.logs else None,
            open_stdin=self.stdin,
            tty=self.tty,
            tty_size=(24, 80) if self.tty else None,
        )

    async def start(self) -> int:
        return (await self.engine.client.spawn(self.request())).pid

    async def exec(self, *args: str, tty: bool = False, streams: tuple[str, ...] = ()) -> RunningExec:
        exec_id = uuid.uuid4().hex
        process = compile_exec(self.process(*args, tty=tty))
        request = ExecRequest(
            exec_id=exec_id, container_id=self.id, process=process, tty=tty, streams=streams, facts={"asked": args}
        )
        return RunningExec(self.engine, exec_id, *(await self.engine.client.exec(request)))

    async def end(self) -> Exited:
        """Wait for the exit and acknowledge it."""
        exited = await self.engine.exit_of(self)
        await self.engine.client.acknowledge(self.id, self.run)
        return exited

    def log(self) -> list[LogEntry]:
        return read_all(self.folder)


class RunningExec:
    """An exec as the engine sees it."""

    def __init__(self, engine: Engine, exec_id: str, pid: int, streams: ExecStreams) -> None:
        self.engine, self.id, self.pid, self.streams = engine, exec_id, pid, streams
        self.reader = WindowReader(*streams.window) if streams.window is not None else None
        self.output = b""  # of both streams together, as far as it has been read

    def write(self, data: bytes) -> None:
        assert self.streams.stdin_fd is not None
        os.write(self.streams.stdin_fd, data)

    def read(self) -> list[tuple[int, bytes]]:
        """The output that has arrived since the last call, as (stream, bytes)."""
        assert self.reader is not None
        parts = []
        while (part := self.reader.read(1 << 16)) is not None:
            parts.append(part)
            self.output += part[1]
            if self.reader.note_delivered():
                self.engine.client.exec_read(self.id)
        return parts

    async def read_until(self, wanted: bytes) -> bytes:
        """Wait until the output contains `wanted`; returns all output so far."""

        def found() -> bool:
            self.read()
            return wanted in self.output

        await self.engine.wait_for(found)
        return self.output

    async def end(self) -> int:
        """Wait for the exit, read the remaining output, close the exec; returns the exit code."""
        code = await self.engine.exec_exit_of(self.id)
        if self.reader is not None:
            self.read()
        self.close()
        self.engine.client.close_exec(self.id)
        return code

    def close(self) -> None:
        self.streams.close()


def cgroups_of(container: Container) -> list[Path]:
    """The container's cgroups that exist, one per hierarchy."""
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    return [path for root in roots if (path := Path(f"{root}{container.cgroup_path}")).is_dir()]


def by_line(entries: list[LogEntry]) -> list[LogEntry]:
    """An entry for each line."""
    return [entry._replace(data=line) for entry in entries for line in split_lines(entry.data)]


def read_all(folder: Path, *, raw: bool = False, **options: Any) -> list[LogEntry]:
    """A log's lines, or with `raw` its pieces as they arrived."""
    with LogReader(folder, raw=raw, **options) as reader:
        entries = []
        while more := reader.read():
            entries += more
        entries += reader.finish()
    return entries if raw else by_line(entries)


@pytest.fixture(scope="session")
def rootfs(busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rootfs")
    unpack_tar(busybox_tar, folder)
    return folder


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def adopting_orphans() -> Iterator[None]:
    """Make this process a subreaper: it gets the children of a killed keeper, not an init that may never reap."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


@pytest.fixture
def with_engine(keeper: Keeper, rootfs: Path) -> Callable[[], contextlib.AbstractAsyncContextManager[Engine]]:
    @contextlib.asynccontextmanager
    async def connected() -> AsyncIterator[Engine]:
        engine = Engine(keeper, rootfs)
        await engine.connect()
        try:
            yield engine
        finally:
            await engine.client.close()

    return connected
